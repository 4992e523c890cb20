use authn::Authn;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use tokens::{NewSecret, Scopes};
use uuid::Uuid;
use web::{Error, Result, SingleLine, name_key};

use super::{
    API_CLIENT_CREATED, API_CLIENT_SECRET_ROTATED, CLIENT_REVOKED, SERVICE_ACCOUNT_CREATED,
    SERVICE_ACCOUNT_SECRET_ROTATED,
};
use crate::base::{
    AnnouncementContext, BoxFuture, DeletionCount, DisplayActor, Justification, Organization, Role, lock_tenant_quota,
};

/// A client of the API.
#[derive(Debug)]
pub(crate) struct ApiClient {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) member: Option<UserId>,
    member_name: Option<String>,
    member_email: Option<String>,
    member_verified: Option<bool>,
    role: Option<String>,
    pub(super) scopes: Vec<String>,
    dpop: bool,
    pub(super) signs: bool,
    pub(super) secret_created_at: DateTime<Utc>,
    secret_days: i32,
    secret_version: i32,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
    /// The member who created it, as long as they are a member.
    created_by: Option<String>,
    creator_email: Option<String>,
    creator_verified: Option<bool>,
}

pub(super) fn list_url(organization: TenantId) -> String {
    format!("/o/{organization}/clients")
}

/// How long before its expiry a secret is marked for renewal.
const EXPIRY_WARNING: Duration = Duration::days(15);

impl ApiClient {
    /// Who it acts as.
    pub(super) fn acts_as(&self) -> DisplayActor {
        if self.role.is_some() {
            return DisplayActor::Service { name: self.name.clone() };
        }
        DisplayActor::person(self.member_name.clone(), self.member_email.as_deref(), self.member_verified)
    }

    /// The member who created it.
    pub(super) fn creator(&self) -> DisplayActor {
        DisplayActor::person(self.created_by.clone(), self.creator_email.as_deref(), self.creator_verified)
    }

    /// The role of a service account.
    pub(super) fn role_label(&self) -> Option<&'static str> {
        self.role.as_deref().map(Role::label_of)
    }

    /// How it authenticates.
    pub(super) fn kind_label(&self) -> &'static str {
        match (self.dpop, self.signs) {
            (true, _) => "Tokens bound to a key",
            (_, true) => "Signed requests",
            _ => "Bearer tokens",
        }
    }

    /// When its secret expires.
    pub(super) fn secret_expires_at(&self) -> DateTime<Utc> {
        tokens::ends_at(self.secret_created_at, self.secret_days)
    }

    /// What to do about the age of its secret.
    pub(super) fn secret_warning(&self, now: &DateTime<Utc>) -> Option<&'static str> {
        let expires_at = self.secret_expires_at();
        if expires_at <= *now {
            Some("Too old")
        } else if expires_at - *now <= EXPIRY_WARNING.min((expires_at - self.secret_created_at) / 3) {
            Some("Renew soon")
        } else {
            None
        }
    }
}

impl Resource for ApiClient {
    type Plane = Tenant;
    type View = super::ViewClient;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("client") else { return Ok(None) };
        Ok(find(tx, Some(id)).await?.pop())
    }

    fn entity(&self) -> Entity {
        let entity = Entity::new("ApiClient", self.id);
        let entity = match self.member {
            Some(member) => entity.reference("member", &Entity::new("Member", member)),
            None => entity,
        };
        entity.inside(Organization::as_entity(self.organization))
    }
}

/// All clients, at most `MAX_CLIENTS`. With an id, only that one.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<Vec<ApiClient>> {
    Ok(sqlx::query_as!(
        ApiClient,
        r#"select c.tenant_id as "organization: TenantId", c.id, c.name, c.member as "member: UserId",
                  u.display_name as "member_name?", u.email as "member_email?",
                  u.verified_email is not null as "member_verified?", c.role, c.scopes, c.dpop, c.signs, c.secret_created_at,
                  c.secret_days, c.secret_version, c.last_used_at, c.created_at, creator.display_name as "created_by?",
                  creator.email as "creator_email?", creator.verified_email is not null as "creator_verified?"
             from tenant.api_clients c left join identity.users u on u.id = c.member
             left join identity.users creator on creator.id = c.created_by
            where $1::uuid is null or c.id = $1
            order by c.name collate "und-x-icu", c.id"#,
        id,
    )
    .fetch_all(&mut **tx)
    .await?)
}

pub(super) type Name = SingleLine<1, 80>;

/// Who a client acts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActsAs {
    Oneself,
    Service(Role),
}

/// How it authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Tokens,
    BoundTokens,
    Signatures,
}

impl Authentication {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::BoundTokens => "bound",
            Self::Signatures => "signatures",
            Self::Tokens => "tokens",
        }
    }
}

/// How many days each of its secrets works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SecretDays(pub(super) i32);

/// A client that is about to be created.
pub(super) struct NewClient {
    pub(super) id: Uuid,
    pub(super) name: Name,
    pub(super) acts_as: ActsAs,
    pub(super) kind: Authentication,
    pub(super) days: SecretDays,
    pub(super) scopes: Scopes,
    pub(super) secret: NewSecret,
}

impl NewClient {
    /// The role of a service account.
    fn role(&self) -> Option<&'static str> {
        match self.acts_as {
            ActsAs::Oneself => None,
            ActsAs::Service(role) => Some(role.key()),
        }
    }
}

fn target(id: Uuid) -> String {
    Entity::new("ApiClient", id).to_string()
}

/// Most clients of one organization.
const MAX_CLIENTS: i64 = 200;
/// Most clients that act as one member.
const MAX_CLIENTS_PER_MEMBER: i64 = 10;
const TOO_MANY_CLIENTS_ERROR: Error = Error::Conflict(
    "There are 200 clients already, or 10 that act as you. Revoke those that are not used first.",
    None,
);

/// Creates a client, unless there are too many. `taken` is the error for a name that looks like that of another client
/// or of a member. Returns when its secret expires.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    new: &NewClient,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
    taken: impl FnOnce() -> Error,
) -> Result<DateTime<Utc>> {
    let now = doing.authn.clock().now();
    insert_row(tx, new, doing.who.user, now, taken).await?;
    let details = justification.details(json!({
        "name": *new.name,
        "role": new.role().unwrap_or("their own"),
        "scopes": new.scopes.names(),
        "proves": new.kind.key(),
        "secret_days": new.days.0,
    }));
    match new.acts_as {
        ActsAs::Oneself => API_CLIENT_CREATED.record(tx, target(new.id), details, &doing.who.actor()).await?,
        // It outlives the membership of its creator.
        ActsAs::Service(_) => {
            SERVICE_ACCOUNT_CREATED.announce(tx, doing, target(new.id), details).await?.record(tx).await?;
        }
    }
    Ok(tokens::ends_at(now, new.days.0))
}

async fn insert_row(
    tx: &mut Tx<Write>,
    new: &NewClient,
    creator: UserId,
    now: DateTime<Utc>,
    taken: impl FnOnce() -> Error,
) -> Result<()> {
    let key = name_key(&new.name);
    lock_tenant_quota(tx).await?;
    if is_name_of_a_member(tx, &key).await? {
        return Err(taken());
    }
    let created = sqlx::query!(
        "insert into tenant.api_clients
           (id, name, name_key, member, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at, secret_days)
         select $1, $2, $14, $3, $4, $5, $6, $7, $8, $9, $10, $9, $13
          where (select count(*) from tenant.api_clients) < $11
            and ($3::uuid is null or (select count(*) from tenant.api_clients where member = $3) < $12)",
        new.id,
        &*new.name,
        (new.acts_as == ActsAs::Oneself).then(|| creator.uuid()),
        new.role(),
        new.scopes.names(),
        new.kind == Authentication::BoundTokens,
        new.kind == Authentication::Signatures,
        new.secret.stored,
        now,
        creator.uuid(),
        MAX_CLIENTS,
        MAX_CLIENTS_PER_MEMBER,
        new.days.0,
        &key[..],
    )
    .execute(&mut **tx)
    .await
    .on_constraint("api_clients_name_unique", taken)?;
    if created.rows_affected() == 0 { Err(TOO_MANY_CLIENTS_ERROR) } else { Ok(()) }
}

/// Whether the name looks like that of a member. Two members may have the same name, which comes from their providers.
async fn is_name_of_a_member(tx: &mut Tx<Write>, key: &[u8; 32]) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from identity.users u join tenant.memberships m on m.user_id = u.id
                           where u.name_key = $1) as "found!""#,
        &key[..],
    );
    Ok(found.fetch_one(&mut **tx).await?)
}

const CLIENT_CHANGED_ERROR: Error =
    Error::Conflict("This client has been changed or revoked. Nothing was changed.", None);

/// Gives it a new secret, and ends the previous one with its tokens. Returns when the new one expires.
pub(super) async fn renew(
    tx: &mut Tx<Write>,
    client: &ApiClient,
    secret: &NewSecret,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<DateTime<Utc>> {
    let now = doing.authn.clock().now();
    let renewed = sqlx::query!(
        "update tenant.api_clients set secret = $3, secret_created_at = $4, secret_version = secret_version + 1
          where id = $1 and secret_version = $2",
        client.id,
        client.secret_version,
        secret.stored,
        now,
    );
    if renewed.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(CLIENT_CHANGED_ERROR);
    }
    let (details, by) = (justification.details(json!({ "name": client.name })), doing.who.actor());
    if client.member.is_some() {
        API_CLIENT_SECRET_ROTATED.record(tx, target(client.id), details, &by).await?;
    } else {
        SERVICE_ACCOUNT_SECRET_ROTATED.announce(tx, doing, target(client.id), details).await?.record(tx).await?;
    }
    Ok(tokens::ends_at(now, client.secret_days))
}

/// Ends a client with all its tokens.
pub(super) async fn revoke(
    tx: &mut Tx<Write>,
    client: &ApiClient,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let details = justification.details(json!({ "name": client.name }));
    let announcement = CLIENT_REVOKED.announce(tx, doing, target(client.id), details).await?;
    let revoked = sqlx::query!("delete from tenant.api_clients where id = $1", client.id);
    if revoked.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(CLIENT_CHANGED_ERROR);
    }
    announcement.record(tx).await
}

/// The name of the client with this id.
pub(super) fn name_of(tx: &mut Tx<Read>, id: Uuid) -> BoxFuture<'_, Result<Option<String>>> {
    Box::pin(async move {
        let name = sqlx::query_scalar!("select name from tenant.api_clients where id = $1", id);
        Ok(name.fetch_optional(&mut **tx).await?)
    })
}

/// Those of these names that clients have.
pub(super) fn names_in_use<'a>(tx: &'a mut Tx<Read>, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Vec<u8>>>> {
    Box::pin(async move {
        let found = sqlx::query_scalar!("select name_key from tenant.api_clients where name_key = any($1)", keys);
        Ok(found.fetch_all(&mut **tx).await?)
    })
}

/// Deletes the clients of a deleted organization.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, _: &'a Authn) -> BoxFuture<'a, Result<DeletionCount>> {
    Box::pin(async move {
        let deleted = sqlx::query!("delete from tenant.api_clients").execute(&mut **tx).await?;
        Ok(Some(("clients", deleted.rows_affected())))
    })
}
