//! The data of the benchmark: organizations with contacts, sessions of their owners, and an API client.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{Failure, http};

pub(super) const TENANTS: i32 = 1_000;
pub(super) const CONTACTS: i32 = 200;
/// Organizations that are requested in turn, each with a session of its own.
const SESSIONS: i64 = 100;

/// A request of the benchmark: one organization, its workspace, and the session of its owner.
pub(super) struct Request {
    tenant: Uuid,
    workspace: Uuid,
    token: String,
}

impl Request {
    pub(super) fn product(&self) -> (String, String) {
        (format!("/o/{}/w/{}/contacts", self.tenant, self.workspace), format!("__Host-Http-session={}", self.token))
    }

    pub(super) fn hand_written(&self) -> (String, String) {
        (format!("/hand-written/{}/{}", self.tenant, self.workspace), self.product().1)
    }

    pub(super) fn bound(&self) -> (String, String) {
        (format!("/bound/{}/{}", self.tenant, self.workspace), self.product().1)
    }

    pub(super) fn bare(&self) -> (String, String) {
        (format!("/{}/{}", self.tenant, self.workspace), String::new())
    }
}

/// Fills the database, and returns a request for each of the first organizations.
pub(super) async fn fill(owner: &str) -> Result<Vec<Request>, Failure> {
    let mut connection = PgConnection::connect(owner).await?;
    insert_organizations(&mut connection).await?;
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
    let organizations: Vec<(Uuid, Uuid, Uuid)> =
        sqlx::query_as("select tenant, workspace, person from places order by number limit $1")
            .bind(SESSIONS)
            .fetch_all(&mut connection)
            .await?;
    let mut requests = Vec::new();
    for (tenant, workspace, person) in organizations {
        let token = insert_session(&mut connection, person).await?;
        requests.push(Request { tenant, workspace, token });
    }
    connection.close().await?;
    Ok(requests)
}

/// Inserts all organizations with their owners, workspaces and contacts. Leaves their ids in the table `places`.
async fn insert_organizations(connection: &mut PgConnection) -> Result<(), Failure> {
    for statement in [
        "create temporary table places as
           select number, gen_random_uuid() as tenant, gen_random_uuid() as workspace, gen_random_uuid() as person
             from generate_series(1, $1) as number",
        "insert into identity.users (id, display_name, created_at) select person, 'Owner ' || number, now() from places",
        "insert into tenant.organizations (tenant_id, name) select tenant, 'Organization ' || number from places",
        "insert into tenant.workspaces (tenant_id, id, name, name_key) select tenant, workspace, 'Main', sha256('Main') from places",
        "insert into tenant.memberships (tenant_id, user_id, role) select tenant, person, 'owner' from places",
    ] {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(TENANTS) } else { query };
        query.execute(&mut *connection).await?;
    }
    sqlx::query(
        "insert into tenant.contacts (tenant_id, id, workspace_id, name, email, company, created_by)
         select tenant, gen_random_uuid(), workspace, 'Contact ' || md5(number || '-' || n),
                'contact' || n || '@example.com', 'Company ' || n % 20, person
           from places, generate_series(1, $1) as n",
    )
    .bind(CONTACTS)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Inserts a session with a passkey, and returns its token.
async fn insert_session(connection: &mut PgConnection, person: Uuid) -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    sqlx::query(
        "insert into identity.sessions
           (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, passkey_at, passkey_id, device,
            network, last_device, last_network, new_device, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
         values (gen_random_uuid(), $1, $2, 'bench', 'bench', 'bench', now(), '{oidc,passkey}', now(),
                 gen_random_uuid(), 'Unknown device', '127.0.0.0/24', 'Unknown device', '127.0.0.0/24', false, now(), now(), now(), now() + interval '1 hour', now() + interval '1 hour')",
    )
    .bind(person)
    .bind(Sha256::digest(&token).to_vec())
    .execute(connection)
    .await?;
    Ok(token)
}

/// An API client of one organization.
pub(super) struct Client {
    id: Uuid,
    secret: String,
    list: String,
}

impl Client {
    pub(super) async fn create(owner: &str, request: &Request) -> Result<Self, Failure> {
        let (id, secret) = (Uuid::now_v7(), Uuid::now_v7().to_string());
        let mut connection = PgConnection::connect(owner).await?;
        sqlx::query(
            "insert into tenant.api_clients
               (tenant_id, id, name, name_key, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
             values ($1, $2, 'Benchmark', sha256('Benchmark'), 'viewer', '{ListContacts}', false, false, $3, now(), $2, now())",
        )
        .bind(request.tenant)
        .bind(id)
        .bind(Sha256::digest(&secret).to_vec())
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Self { id, secret, list: format!("/api/v1{}", request.product().0) })
    }

    /// Gets an access token from the token endpoint.
    pub(super) async fn token(&self, port: u16) -> Result<String, Failure> {
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", self.id, self.secret);
        let body = http::post(port, "/api/oauth/token", "", &form).await?.json()?;
        Ok(body["access_token"].as_str().ok_or("the token endpoint gave no token")?.to_owned())
    }

    /// The script of `wrk` that requests the list with a token.
    pub(super) fn script(&self, token: &str) -> String {
        format!("wrk.path = {:?}\nwrk.headers[\"Authorization\"] = \"Bearer {token}\"\n", self.list)
    }
}
