use audit::Actor;
use authn::RateLimit;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{Read, RequestAccess, Tenant, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::JOB_RETRIED;
use crate::base::{Organization, truncate};

/// Retries by one person. Each retry may send an email.
pub(super) const RETRY_LIMIT: RateLimit = RateLimit { name: "job retry", burst: 20, period: Duration::minutes(1) };
/// The maximum number of jobs that the page shows.
const MAX_SHOWN: usize = 500;
const ALREADY_RETRIED_ERROR: Error = Error::Conflict("This job is already being retried. Nothing was changed.", None);
const JOB_EXPIRED_ERROR: Error =
    Error::Conflict("This job has expired and can't be tried again. Nothing was done.", None);

/// A job that failed permanently.
#[derive(Debug)]
pub(crate) struct FailedJob {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) about: String,
    pub(super) tries: i32,
    pub(super) failed_at: DateTime<Utc>,
    pub(super) failure: String,
    /// Whether the job was only valid for a limited time, and has expired.
    pub(super) expired: bool,
}

impl Resource for FailedJob {
    type Plane = Tenant;
    type View = super::ViewFailedJob;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("job") else { return Ok(None) };
        Ok(find(tx, Some(id)).await?.0.pop())
    }

    fn entity(&self) -> Entity {
        Entity::new("FailedJob", self.id).inside(Organization::as_entity(self.organization))
    }
}

/// Returns the newest jobs first, and whether there are more. With an id, returns only that job.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<(Vec<FailedJob>, bool)> {
    let found = sqlx::query_as!(
        FailedJob,
        r#"select tenant_id as "organization!: TenantId", id, kind, about, tries, failed_at as "failed_at!",
                  failure as "failure!", coalesce(expires_at <= now(), false) as "expired!"
             from jobs.queue where failed_at is not null and ($1::uuid is null or id = $1)
            order by failed_at desc, id limit 501"#,
        id,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// Queues the job again. Its count of attempts continues. That fences off a worker that believes it still has the job.
///
/// # Errors
/// [`Error::Conflict`] if the job has expired or is already being retried.
pub(super) async fn retry(tx: &mut Tx<Write>, job: &FailedJob, by: &Actor) -> Result<()> {
    if job.expired {
        return Err(JOB_EXPIRED_ERROR);
    }
    let retried = sqlx::query!(
        "update jobs.queue set failed_at = null, failure = null, due_at = now(), retried_at = now()
          where id = $1 and failed_at is not null and coalesce(expires_at > now(), true)",
        job.id,
    );
    if retried.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(ALREADY_RETRIED_ERROR);
    }
    let details = json!({ "job": job.kind, "about": job.about, "failure": job.failure });
    JOB_RETRIED.record(tx, job.entity().to_string(), details, by).await
}
