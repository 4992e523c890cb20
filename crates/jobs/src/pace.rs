use std::time::Duration;

use tenancy::Db;

/// How often something may be done: so many at once, and then one whenever `period` has passed. What comes too early is not
/// refused: it is told how long to wait, and its place is kept.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What is counted.
    pub name: &'static str,
    /// How many may be done without a pause.
    pub burst: u32,
    /// After which time one more may.
    pub period: Duration,
    /// Nothing waits longer than this.
    pub longest: Duration,
}

/// Counts one of `whose` for each pace, and returns how long it has to wait: the longest time any of them says.
///
/// Counted once, however often the job is tried: see [`Job::first`](crate::Job::first). Kept in the database, across instances,
/// as hashes.
pub async fn pace(db: &Db, paces: &[(Pace, String)]) -> Result<Duration, tenancy::Error> {
    let mut tx = db.begin_jobs().await?;
    let mut wait = Duration::ZERO;
    for (pace, whose) in paces {
        let (period, longest) = (pace.period.as_secs_f64(), pace.longest.as_secs_f64());
        let ahead = period * f64::from(pace.burst);
        let seconds = sqlx::query_scalar!(
            r#"insert into jobs.paces as known (key, free_at)
               values (sha256(convert_to($1, 'UTF8')), now() + make_interval(secs => $2))
               on conflict (key) do update set
                 free_at = least(greatest(known.free_at, now()) + make_interval(secs => $2), now() + make_interval(secs => $3))
               returning extract(epoch from free_at - now())::float8 as "seconds!""#,
            format!("{} {whose}", pace.name),
            period,
            ahead + longest,
        )
        .fetch_one(&mut *tx)
        .await?;
        wait = wait.max(Duration::try_from_secs_f64(seconds - ahead).unwrap_or_default());
    }
    tx.commit().await?;
    Ok(wait)
}
