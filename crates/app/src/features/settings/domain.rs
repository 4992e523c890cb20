use audit::Actor;
use authn::{RateLimit, domain_record};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::DOMAIN_ADDED;
use super::{DOMAIN_REMOVED, DOMAIN_VERIFIED};
use crate::base::{AnnouncementContext, Justification, Organization, lock_tenant_quota};

/// How often a domain is checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::days(1);
/// Most domains of one organization.
const MAX_DOMAINS: i64 = 20;
/// DNS checks of one person.
pub(super) const DOMAIN_CHECK_LIMIT: RateLimit =
    RateLimit { name: "domain proof", burst: 10, period: Duration::minutes(1) };

const DOMAIN_REMOVED_ERROR: Error = Error::Conflict("This domain has already been removed. Nothing was changed.", None);
const DOMAIN_TAKEN_ERROR: Error = Error::Conflict("Another organization has already verified this domain.", None);
const DOMAIN_LISTED_ERROR: Error = Error::Conflict("This domain has already been added.", None);
const TOO_MANY_DOMAINS_ERROR: Error =
    Error::Conflict("An organization has at most 20 domains. Remove one first.", None);
const DOMAIN_ENFORCED_ERROR: Error =
    Error::Conflict("Your provider is required for sign-in and needs this domain. Stop requiring it first.", None);

/// A domain of an organization, verified or not.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) token: String,
    pub(super) verified_at: Option<DateTime<Utc>>,
    /// When its record was first missing.
    pub(super) missing_since: Option<DateTime<Utc>>,
    /// The organization has no other verified domain.
    pub(super) last: bool,
}

impl Domain {
    /// Name of its DNS record.
    pub(super) fn record(&self) -> String {
        domain_record(&self.name)
    }

    /// Its name, for people.
    pub(super) fn shown(&self) -> String {
        web::display_domain(&self.name)
    }

    pub(super) fn url(&self) -> String {
        format!("/o/{}/settings/domains/{}", self.organization, self.id)
    }
}

impl Resource for Domain {
    type Plane = Tenant;
    type View = super::VerifyDomain;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("domain") else { return Ok(None) };
        Ok(find(tx, Some(id)).await?.pop())
    }

    fn entity(&self) -> Entity {
        Entity::new("Domain", self.id).inside(Organization::as_entity(self.organization))
    }
}

/// All domains by name, at most `MAX_DOMAINS`. With an id, only that one.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<Vec<Domain>> {
    Ok(sqlx::query_as!(
        Domain,
        r#"select d.tenant_id as "organization: TenantId", d.id, d.name, d.token, d.verified_at, d.missing_since,
                  not exists (select from tenant.domains o where o.id <> d.id and o.verified_at is not null) as "last!"
             from tenant.domains d where $1::uuid is null or d.id = $1 order by d.name"#,
        id,
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Adds a domain, unless there are too many.
pub(super) async fn add(
    tx: &mut Tx<Write>,
    name: &web::Domain,
    token: &str,
    justification: &Justification,
    now: DateTime<Utc>,
    by: &Actor,
) -> Result<()> {
    let id = Uuid::now_v7();
    lock_tenant_quota(tx).await?;
    let added = sqlx::query!(
        "insert into tenant.domains (id, name, token, created_at)
         select $1, $2, $3, $4 where (select count(*) from tenant.domains) < $5",
        id,
        &**name,
        token,
        now,
        MAX_DOMAINS,
    )
    .execute(&mut **tx)
    .await
    .on_constraint("domains_name_unique", || DOMAIN_LISTED_ERROR)?;
    if added.rows_affected() == 0 {
        return Err(TOO_MANY_DOMAINS_ERROR);
    }
    let details = justification.details(json!({ "domain": **name }));
    DOMAIN_ADDED.record(tx, format!("Domain::{id}"), details, by).await?;
    Ok(())
}

pub(super) async fn verify(
    tx: &mut Tx<Write>,
    domain: &Domain,
    now: DateTime<Utc>,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let (target, details) = (format!("Domain::{}", domain.id), json!({ "domain": domain.name }));
    let announcement = DOMAIN_VERIFIED.announce(tx, doing, target, details).await?;
    let verified = sqlx::query!(
        "update tenant.domains set verified_at = $2, next_check_at = $3, missing_since = null where id = $1",
        domain.id,
        now,
        now + CHECK_INTERVAL,
    )
    .execute(&mut **tx)
    .await
    .on_constraint("domains_verified_unique", || DOMAIN_TAKEN_ERROR)?;
    if verified.rows_affected() == 0 {
        return Err(DOMAIN_REMOVED_ERROR);
    }
    announcement.record(tx).await
}

pub(super) async fn any_verified(tx: &mut Tx<Write>) -> Result<bool> {
    let any =
        sqlx::query_scalar!(r#"select exists (select from tenant.domains where verified_at is not null) as "any!""#);
    Ok(any.fetch_one(&mut **tx).await?)
}

pub(super) async fn remove(
    tx: &mut Tx<Write>,
    domain: &Domain,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let details = justification.details(json!({ "domain": domain.name }));
    let announcement = DOMAIN_REMOVED.announce(tx, doing, format!("Domain::{}", domain.id), details).await?;
    let removed = sqlx::query!("delete from tenant.domains where id = $1", domain.id)
        .execute(&mut **tx)
        .await
        .on_constraint("sso_requires_provider", || DOMAIN_ENFORCED_ERROR)?;
    if removed.rows_affected() == 0 {
        return Err(DOMAIN_REMOVED_ERROR);
    }
    announcement.record(tx).await
}
