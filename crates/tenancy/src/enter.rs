use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::tx::{Mode, Plane, Read};
use crate::{Db, Error, TenantId, Tx, UserId, WorkspaceId};

/// What the URL of a request selects. It selects, it does not grant: membership is read from the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The organization in the path.
    pub tenant: Option<TenantId>,
    /// The workspace in the path.
    pub workspace: Option<WorkspaceId>,
}

/// What somebody is where the URL points.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The person. A service account is none.
    pub user: Option<UserId>,
    /// Their membership in the selected organization. The transaction is bound to it.
    pub membership: Option<Membership>,
    /// The selected workspace of that organization.
    pub workspace: Option<WorkspaceFacts>,
}

/// What `identity.enter` and `identity.enter_client` answer.
#[derive(Deserialize)]
struct Found<W> {
    session: W,
    membership: Option<Membership>,
    workspace: Option<WorkspaceFacts>,
}

/// What is stored of a client of the API that may still act.
#[derive(Clone, Debug, Deserialize)]
pub struct ClientFacts {
    /// The client.
    pub client: Uuid,
    /// The organization it belongs to.
    pub tenant: TenantId,
    /// Whom it acts as. `None`: as itself, a service account.
    pub user: Option<UserId>,
    /// What people call it.
    pub name: String,
    /// The actions it was given.
    pub scopes: Vec<String>,
    /// It takes a proof of a key with every token.
    pub dpop: bool,
}

/// What a client of the API has shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Which client it is.
    pub client: Uuid,
    /// Family of its token. `None` where it signed the request itself.
    pub family: Option<Uuid>,
    /// Id of its token.
    pub jti: Option<Uuid>,
}

/// What is stored of a live session and of its person.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionFacts {
    /// The person.
    pub user: UserId,
    /// The session (its id, not its token).
    pub session: Uuid,
    /// Display name, as the provider gave it.
    pub name: String,
    /// E-mail address, as the provider gave it. Never a key.
    pub email: String,
    /// The address is known to be theirs: the provider says so, or they have proved it to us.
    pub email_verified: bool,
    /// Who vouches for them. `None` where they came with a passkey alone.
    pub issuer: Option<String>,
    /// Under which subject.
    pub subject: Option<String>,
    /// The organization on whose word alone they came, by its own provider or by a passkey that was made in such a session:
    /// this one is for nothing but that organization.
    pub sign_on: Option<TenantId>,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How: `oidc` and what the provider says it did, `passkey`.
    pub methods: Vec<String>,
    /// When they last proved a passkey in this session.
    pub passkey_at: Option<DateTime<Utc>>,
    /// When a recovery was accepted in this session.
    pub recovered_at: Option<DateTime<Utc>>,
    /// When they last proved a code of an authenticator app in this session.
    pub totp_at: Option<DateTime<Utc>>,
    /// What they can prove.
    pub enrolled: Enrolled,
    /// Device family where the session began, or where a passkey was last proved in it.
    pub device: String,
    /// Network there.
    pub network: String,
    /// What was unusual since. `None`: nothing, and the last request came from there.
    pub drift: Option<Drift>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When its token was last replaced.
    pub rotated_at: DateTime<Utc>,
    /// When its use was last noted.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// The cookie carried the token before the last rotation.
    pub by_previous: bool,
}

/// The factors a person has.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Enrolled {
    /// They have a passkey, if only a disabled one.
    pub passkey: bool,
    /// They have an authenticator app. Not looked for where they have proved a passkey in the session: nothing takes a code
    /// then.
    pub totp: bool,
}

/// What was unusual about the requests of a session.
#[derive(Clone, Debug, Deserialize)]
pub struct Drift {
    /// The person had not come with this device family before.
    pub new_device: bool,
    /// Device family of the last request.
    pub seen_device: String,
    /// Network of the last request.
    pub seen_network: String,
    /// How often one of the two changed, without a pause between.
    pub changes: i32,
    /// How often they changed back to what they had just been.
    pub returns: i32,
    /// When they last changed.
    pub changed_at: Option<DateTime<Utc>>,
}

/// Membership of the person in the selected organization.
#[derive(Clone, Debug, Deserialize)]
pub struct Membership {
    /// The organization.
    pub tenant: TenantId,
    /// Its name.
    pub organization: String,
    /// One of the seven roles, as stored.
    pub role: String,
    /// Why the organization does not take the way the session began, where it does not.
    pub unaccepted: Option<Unaccepted>,
    /// The other role they act in for a while, where somebody approved that. Clients of the API have none.
    pub elevation: Option<Elevation>,
}

/// Another role for a while, beside the one of the membership.
#[derive(Clone, Debug, Deserialize)]
pub struct Elevation {
    /// Its id.
    pub id: Uuid,
    /// The role.
    pub role: String,
    /// When it ends by itself.
    pub ends_at: DateTime<Utc>,
}

/// Why an organization does not take the way a session began.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Unaccepted {
    /// With a link by mail, which it does not allow.
    Link,
    /// With the provider that another organization brings.
    Elsewhere,
    /// Not with the provider it brings itself, which it wants of everybody. Owners come in with a passkey, too, so that a
    /// provider that is down locks nobody out.
    SignOn,
}

/// The selected workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkspaceFacts {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
}

impl Db {
    /// Finds the session behind a cookie and binds a reading transaction to what it may see, in one round trip.
    ///
    /// `None` where no live session has this token. On the tenant plane the transaction is bound to the organization
    /// only if the entry has a membership; without one every query on tenant rows fails.
    pub async fn enter<P: Plane>(
        &self,
        token_hash: &[u8; 32],
        now: DateTime<Utc>,
        scope: Scope,
    ) -> Result<Option<(SessionFacts, Tx<Read, P>, Entry)>, Error> {
        let mut hash = String::with_capacity(64);
        for byte in token_hash {
            let _ = write!(hash, "{byte:02x}");
        }
        let call = format!("identity.enter('\\x{hash}', to_timestamp({}), {})", now.timestamp(), scope.sql());
        let found = self.find::<P, SessionFacts>(&call).await?;
        Ok(found.map(|(tx, found)| {
            let Found { session, membership, workspace } = found;
            let entry = Entry { user: Some(session.user), membership, workspace };
            (session, tx, entry)
        }))
    }

    /// Finds a client of the API and binds a reading transaction to what it may see, in one round trip. `None` where it is
    /// gone, or what it shows was taken back.
    pub async fn enter_client<P: Plane>(
        &self,
        shown: Shown,
        scope: Scope,
    ) -> Result<Option<(ClientFacts, Tx<Read, P>, Entry)>, Error> {
        let Shown { client, family, jti } = shown;
        let call = format!("identity.enter_client({}, '{client}', {}, {})", scope.sql(), id(family), id(jti));
        let found = self.find::<P, ClientFacts>(&call).await?;
        Ok(found.map(|(tx, found)| {
            let Found { session: client, membership, workspace } = found;
            let entry = Entry { user: client.user, membership, workspace };
            (client, tx, entry)
        }))
    }

    async fn find<P: Plane, W: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        call: &str,
    ) -> Result<Option<(Tx<Read, P>, Found<W>)>, Error> {
        let mut connection = self.connection().await?;
        let sql = format!("{}; SET LOCAL ROLE identity_rows; SELECT {call}; SET LOCAL ROLE {}", Read::BEGIN, P::ROLE);
        // SECURITY: constants, hex, UUIDs and an integer that we print ourselves; nothing in it is anybody's string.
        // One simple message carries begin, the look-up and the role, because a round trip is what costs here.
        #[expect(clippy::disallowed_methods, reason = "nothing in it is anybody's string")]
        let row = connection.fetch_one(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        let found: Option<Json<Found<W>>> = row.try_get(0)?;
        Ok(found.map(|Json(found)| (Tx::begun(connection), found)))
    }
}

impl Scope {
    fn sql(self) -> String {
        format!("{}, {}", id(self.tenant.map(TenantId::uuid)), id(self.workspace.map(WorkspaceId::uuid)))
    }
}

fn id(id: Option<Uuid>) -> String {
    id.map_or_else(|| "null".to_owned(), |id| format!("'{id}'"))
}
