//! The rows of the queue: leasing them, and storing the outcome.

use std::time::Duration;

use serde_json::Value;
use tenancy::{Db, Error, Jobs, TenantId, Tx, Write};
use uuid::Uuid;

use crate::{JobKind, NO_OWNER};

/// A leased row.
pub(crate) struct LeasedJob {
    pub(crate) id: Uuid,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) owner: Uuid,
    pub(crate) payloads: Vec<Value>,
    pub(crate) omitted: i32,
    pub(crate) about: String,
    pub(crate) request: Uuid,
    pub(crate) tries: i32,
    /// It was retried for long enough.
    pub(crate) last_try: bool,
}

/// Leases jobs that are due: the oldest of each owner, beginning with the owner after `after`, and none of the owners in `busy`.
///
/// Owners are found one after the other in the index, so a long queue of one owner does not slow down the others.
pub(crate) async fn lease(
    db: &Db,
    kind: &JobKind,
    urgent: bool,
    after: Uuid,
    busy: &[Uuid],
    limit: usize,
) -> Result<Vec<LeasedJob>, Error> {
    let mut tx = db.begin_jobs().await?;
    let taken = sqlx::query_as!(
        LeasedJob,
        r#"with recursive turns (owner) as (
             (select q.owner from jobs.queue q
               where q.kind = $1 and q.urgent = $2 and q.failed_at is null and q.owner > $3 order by q.owner limit 1)
             union all
             select (select q.owner from jobs.queue q
                      where q.kind = $1 and q.urgent = $2 and q.failed_at is null and q.owner > t.owner order by q.owner limit 1)
               from turns t where t.owner is not null
           ), due as materialized (
             select job.id from turns t cross join lateral (
               select q.id from jobs.queue q
                where q.kind = $1 and q.urgent = $2 and q.failed_at is null and q.owner = t.owner and q.due_at <= now()
                  and coalesce(q.expires_at > now(), true)
                order by q.due_at limit 1 for update skip locked) job
              where t.owner <> all($4) limit $5)
           update jobs.queue q
              set tries = tries + 1, waiting = false, due_at = now() + make_interval(secs => $6)
             from due where q.id = due.id
           returning q.id as "id!", tenant_id as "tenant: TenantId", owner as "owner!", payloads as "payloads!", omitted as "omitted!",
                     about as "about!", request_id as "request!", tries as "tries!",
                     (coalesce(retried_at, created_at) < now() - make_interval(secs => $7)) as "last_try!""#,
        kind.name,
        urgent,
        after,
        busy,
        i64::try_from(limit).unwrap_or(i64::MAX),
        (kind.timeout + EXTRA_LEASE).as_secs_f64(),
        kind.retry_for.as_secs_f64(),
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(taken)
}

/// How much longer than its timeout a job is leased.
const EXTRA_LEASE: Duration = Duration::from_mins(2);

/// Deletes a job that succeeded. `false`: another worker has it now.
pub(crate) async fn complete(db: &Db, job: &LeasedJob) -> Result<bool, Error> {
    let mut tx = db.begin_jobs().await?;
    let deleted = sqlx::query!("delete from jobs.queue where id = $1 and tries = $2", job.id, job.tries);
    let ours = deleted.execute(&mut *tx).await?.rows_affected() == 1;
    tx.commit().await?;
    Ok(ours)
}

/// Schedules a retry after 5, 10, 20 minutes and so on, at most an hour. Up to a quarter is added at random, so that jobs that
/// failed together are not retried together.
pub(crate) async fn retry(db: &Db, job: &LeasedJob) -> Result<bool, Error> {
    let mut tx = db.begin_jobs().await?;
    let postponed = sqlx::query!(
        "update jobs.queue
            set due_at = now() + interval '5 minutes' * least(power(2, least(tries, 6) - 1), 12) * (1 + random() / 4)
          where id = $1 and tries = $2",
        job.id,
        job.tries,
    );
    let ours = postponed.execute(&mut *tx).await?.rows_affected() == 1;
    tx.commit().await?;
    Ok(ours)
}

/// Postpones a job that was not attempted. More payloads may be added while it waits. If a newer job with its key already waits,
/// it is merged into that one.
pub(crate) async fn postpone(db: &Db, job: &LeasedJob, wait: Duration) -> Result<bool, Error> {
    let mut tx = db.begin_jobs().await?;
    let into_newer = sqlx::query!(
        "with mine as (
           select id, owner, kind, key, payloads, omitted from jobs.queue
            where id = $1 and tries = $2 and key is not null for update),
         newer as (
           update jobs.queue q
              set payloads = (mine.payloads || q.payloads)[1:10],
                  omitted = q.omitted + mine.omitted + greatest(cardinality(mine.payloads) + cardinality(q.payloads) - 10, 0)
             from mine where q.owner = mine.owner and q.kind = mine.kind and q.key = mine.key and q.waiting and q.id <> mine.id
           returning mine.id)
         delete from jobs.queue q using newer where q.id = newer.id",
        job.id,
        job.tries,
    );
    if into_newer.execute(&mut *tx).await?.rows_affected() == 1 {
        tx.commit().await?;
        return Ok(true);
    }
    let postponed = sqlx::query!(
        "update jobs.queue set due_at = now() + make_interval(secs => $3), waiting = true where id = $1 and tries = $2",
        job.id,
        job.tries,
        wait.as_secs_f64(),
    );
    // If a newer one was queued at this moment, the caller tries again and finds it.
    let ours = postponed.execute(&mut *tx).await?.rows_affected() == 1;
    tx.commit().await?;
    Ok(ours)
}

/// Marks a job as failed. It stays as a dead letter. The handler continues the transaction. `None`: another worker has the job
/// now.
pub(crate) async fn fail(db: &Db, job: &LeasedJob, why: &str) -> Result<Option<Tx<Write, Jobs>>, Error> {
    let mut tx = db.begin_jobs().await?;
    let why: String = why.chars().take(200).collect();
    let on_failure = sqlx::query!(
        "update jobs.queue set failed_at = now(), failure = $3 where id = $1 and tries = $2",
        job.id,
        job.tries,
        if why.is_empty() { "no reason" } else { &why },
    );
    let ours = on_failure.execute(&mut *tx).await?.rows_affected() == 1;
    Ok(ours.then_some(tx))
}

/// Queues the scheduled job of this interval, unless another process has.
pub(crate) async fn schedule(db: &Db, kind: &JobKind, every: Duration) -> Result<(), Error> {
    let mut tx = db.begin_jobs().await?;
    sqlx::query!(
        "with begun as (
           insert into jobs.periods as known (kind, period)
           values ($1, date_bin(make_interval(secs => $2), now(), timestamptz 'epoch'))
           on conflict (kind) do update set period = excluded.period where known.period < excluded.period
           returning kind)
         insert into jobs.queue (id, kind, owner, key, payloads, about, request_id)
         select $3, kind, $4, 'period', array['null'::jsonb], '', $3 from begun
         on conflict do nothing",
        kind.name,
        every.as_secs_f64(),
        Uuid::now_v7(),
        NO_OWNER,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
