use authn::Authn;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use tokens::{NewSecret, Scopes};
use uuid::Uuid;
use web::{Error, Result, SingleLine, name_key};

use super::{
    API_CLIENT_CREATED, API_CLIENT_SECRET_ROTATED, CLIENT_REVOKED, SERVICE_ACCOUNT_CREATED,
    SERVICE_ACCOUNT_SECRET_ROTATED,
};
use crate::base::{AnnouncementContext, BoxFuture, Deleted, Justification, Organization, Role, lock_tenant_quota};

/// A client of the API, as the organization sees it.
#[derive(Debug)]
pub(crate) struct ApiClient {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) member: Option<UserId>,
    pub(super) member_name: Option<String>,
    pub(super) member_email: Option<String>,
    pub(super) member_verified: Option<bool>,
    pub(super) role: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) dpop: bool,
    pub(super) signs: bool,
    pub(super) secret_created_at: DateTime<Utc>,
    pub(super) secret_days: i32,
    pub(super) secret_version: i32,
    pub(super) last_used_at: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
    /// The member who created it, as long as they are a member.
    pub(super) created_by: Option<String>,
    pub(super) maker_email: Option<String>,
    pub(super) maker_verified: Option<bool>,
}

pub(super) fn list_url(organization: TenantId) -> String {
    format!("/o/{organization}/clients")
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

/// All of them, which are at most `MAX_CLIENTS`, or one.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<Vec<ApiClient>> {
    Ok(sqlx::query_as!(
        ApiClient,
        r#"select c.tenant_id as "organization: TenantId", c.id, c.name, c.member as "member: UserId",
                  u.display_name as "member_name?", u.email as "member_email?",
                  u.verified_email is not null as "member_verified?", c.role, c.scopes, c.dpop, c.signs, c.secret_created_at,
                  c.secret_days, c.secret_version, c.last_used_at, c.created_at, maker.display_name as "created_by?",
                  maker.email as "maker_email?", maker.verified_email is not null as "maker_verified?"
             from tenant.api_clients c left join identity.users u on u.id = c.member
             left join identity.users maker on maker.id = c.created_by
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

/// How it proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tokens,
    BoundTokens,
    Signatures,
}

impl Kind {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::BoundTokens => "bound",
            Self::Signatures => "signatures",
            Self::Tokens => "tokens",
        }
    }
}

/// For how many days each of its secrets is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SecretDays(pub(super) i32);

/// A client about to be made.
#[derive(Debug)]
pub(super) struct NewClient {
    pub(super) name: Name,
    pub(super) acts_as: ActsAs,
    pub(super) kind: Kind,
    pub(super) days: SecretDays,
    pub(super) scopes: Scopes,
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

/// Adds a client, if there is room for it. `taken` is the error for a name that people would take for that of another
/// one, or of a member.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    (id, new, secret): (Uuid, &NewClient, &NewSecret),
    justification: &Justification,
    now: DateTime<Utc>,
    doing: &AnnouncementContext<'_>,
    taken: impl FnOnce() -> Error,
) -> Result<()> {
    let by = doing.who.actor();
    let (member, role) = match new.acts_as {
        ActsAs::Oneself => (by.user, None),
        ActsAs::Service(role) => (None, Some(role.key())),
    };
    let key = name_key(&new.name);
    lock_tenant_quota(tx).await?;
    if is_name_of_a_member(tx, &key).await? {
        return Err(taken());
    }
    let made = sqlx::query!(
        "insert into tenant.api_clients
           (id, name, name_key, member, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at, secret_days)
         select $1, $2, $14, $3, $4, $5, $6, $7, $8, $9, $10, $9, $13
          where (select count(*) from tenant.api_clients) < $11
            and ($3::uuid is null or (select count(*) from tenant.api_clients where member = $3) < $12)",
        id,
        &*new.name,
        member.map(UserId::uuid),
        role,
        new.scopes.names(),
        new.kind == Kind::BoundTokens,
        new.kind == Kind::Signatures,
        secret.stored,
        now,
        by.user.map(UserId::uuid),
        MAX_CLIENTS,
        MAX_CLIENTS_PER_MEMBER,
        new.days.0,
        &key[..],
    )
    .execute(&mut **tx)
    .await
    .on_constraint("api_clients_name_unique", taken)?;
    if made.rows_affected() == 0 {
        return Err(TOO_MANY_CLIENTS_ERROR);
    }
    let details = json!({
        "name": *new.name,
        "role": role.unwrap_or("their own"),
        "scopes": new.scopes.names(),
        "proves": new.kind.key(),
        "secret_days": new.days.0,
    });
    let details = justification.details(details);
    match new.acts_as {
        ActsAs::Oneself => API_CLIENT_CREATED.record(tx, target(id), details, &by).await?,
        // It outlives the membership of its creator.
        ActsAs::Service(_) => {
            SERVICE_ACCOUNT_CREATED.announce(tx, doing, target(id), details).await?.record(tx).await?;
        }
    }
    Ok(())
}

/// Whether people would take the name for that of a member. Members may have the name of each other: theirs comes from
/// their providers.
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

/// Gives it another secret. The one before and every token that came of it have ended.
pub(super) async fn renew(
    tx: &mut Tx<Write>,
    (client, secret): (&ApiClient, &NewSecret),
    justification: &Justification,
    now: DateTime<Utc>,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
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
    Ok(())
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

/// Deletes those of an organization that is deleted.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, _: &'a Authn) -> BoxFuture<'a, Result<Deleted>> {
    Box::pin(async move {
        let deleted = sqlx::query!("delete from tenant.api_clients").execute(&mut **tx).await?;
        Ok(Some(("clients", deleted.rows_affected())))
    })
}
