use chrono::Duration;
use sha2::{Digest, Sha256};
use tenancy::Write;
use web::Error;

use crate::Authn;

/// How often something may be tried: so many at once, and then one whenever `every` has passed (the generic cell rate
/// algorithm, ITU-T I.371, with one time for each key).
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// What is limited.
    pub name: &'static str,
    /// Tries that may come without a pause.
    pub at_once: u32,
    /// Time after which one more may.
    pub every: Duration,
}

impl Authn {
    /// Counts a try of `whose`, or refuses it with [`Error::TooMany`].
    ///
    /// Kept in the database, so that it holds across instances and restarts, and counted before the try is made, so that
    /// many at once are no more than one after the other. A key is a hash; its row is worth nothing once its time has
    /// passed, and every try that is counted removes up to 20 such rows, so there are never more than tries within the
    /// longest limit. What is refused changes nothing.
    pub async fn count(&self, limit: Limit, whose: &str) -> Result<(), Error> {
        let now = self.0.clock.now();
        let key = Sha256::new().chain_update(limit.name).chain_update("\0").chain_update(whose).finalize();
        let slack = limit.every * i32::try_from(limit.at_once.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = |time: Duration| time.as_seconds_f64();
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let counted = sqlx::query!(
            "with paid as (
               delete from identity.limits where key in
                 (select key from identity.limits where free_at < $2 and key <> $1 order by free_at limit 20)
                 and (select pg_try_advisory_xact_lock(hashtextextended('identity.limits', 0))))
             insert into identity.limits as known (key, free_at) values ($1, $2::timestamptz + make_interval(secs => $3))
             on conflict (key) do update set free_at = greatest(known.free_at, $2) + make_interval(secs => $3)
               where known.free_at <= $2::timestamptz + make_interval(secs => $4)",
            &key[..],
            now,
            seconds(limit.every),
            seconds(slack),
        );
        if counted.execute(&mut *tx).await?.rows_affected() == 0 {
            let free_at = sqlx::query_scalar!("select free_at from identity.limits where key = $1", &key[..]);
            let wait = (free_at.fetch_one(&mut *tx).await? - slack - now).num_seconds().max(1);
            tracing::warn!(limit = limit.name, wait, "too many tries");
            return Err(Error::TooMany(wait.unsigned_abs()));
        }
        tx.commit().await?;
        Ok(())
    }
}
