use std::time::Duration;

use tenancy::Db;

/// How often something may happen: a burst, and then one per period. What comes too early is not refused. It waits its turn.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    /// What is throttled.
    pub name: &'static str,
    /// How many may happen without a pause.
    pub burst: u32,
    /// The time after which one more may happen.
    pub period: Duration,
    /// Nothing waits longer than this.
    pub max_wait: Duration,
}

/// Counts one for each throttle and its key, and returns how long to wait: the longest wait of all of them.
///
/// A job is counted once, however often it is retried: see [`Job::first`](crate::Job::first). The counts are in the database, so
/// they hold across instances. Keys are stored as hashes.
///
/// # Errors
///
/// The database fails.
pub async fn throttle(db: &Db, throttles: &[(Throttle, String)]) -> Result<Duration, tenancy::Error> {
    let mut tx = db.begin_jobs().await?;
    let mut wait = Duration::ZERO;
    for (throttle, whose) in throttles {
        let (period, max_wait) = (throttle.period.as_secs_f64(), throttle.max_wait.as_secs_f64());
        let ahead = period * f64::from(throttle.burst);
        let seconds = sqlx::query_scalar!(
            r#"insert into jobs.rate_limits as known (key, tat)
               values (sha256(convert_to($1, 'UTF8')), now() + make_interval(secs => $2))
               on conflict (key) do update set
                 tat = least(greatest(known.tat, now()) + make_interval(secs => $2), now() + make_interval(secs => $3))
               returning extract(epoch from tat - now())::float8 as "seconds!""#,
            format!("{} {whose}", throttle.name),
            period,
            ahead + max_wait,
        )
        .fetch_one(&mut *tx)
        .await?;
        wait = wait.max(Duration::try_from_secs_f64(seconds - ahead).unwrap_or_default());
    }
    tx.commit().await?;
    Ok(wait)
}
