use chrono::Duration;
use sha2::{Digest, Sha256};
use tenancy::{Identity as IdentityPlane, Mode, Tx, Write};
use web::{Context, Error, Quota};

use crate::Authn;
use crate::secret::Hash;

/// A rate limit: a burst, and then one request per period. It uses the generic cell rate algorithm (GCRA, ITU-T I.371).
/// The database stores one theoretical arrival time (TAT) for each key.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// The name of what is limited.
    pub name: &'static str,
    /// How many requests are allowed without a pause.
    pub burst: u32,
    /// The time after which one more request is allowed.
    pub period: Duration,
}

impl RateLimit {
    fn micros(self) -> i64 {
        self.period.num_microseconds().unwrap_or(i64::MAX)
    }

    /// Returns what is left if the TAT is `backlog` microseconds from now.
    pub(crate) fn left(self, backlog: i64) -> Quota {
        let period = self.micros().max(1);
        let whole = period.saturating_mul(self.burst.into());
        let left = (whole.saturating_sub(backlog) / period).clamp(0, self.burst.into());
        // One more request is allowed as soon as the backlog has shrunk by this much.
        let more = backlog.saturating_add(period.saturating_mul(left + 1)).saturating_sub(whole);
        Quota {
            name: self.name,
            quota: self.burst,
            window: seconds(whole),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            more_in: seconds(more),
        }
    }
}

/// Converts microseconds to whole seconds, rounded up.
pub(crate) fn seconds(micros: i64) -> u64 {
    micros.max(1).unsigned_abs().div_ceil(1_000_000)
}

pub(crate) fn rate_limited(quota: Quota) -> Error {
    tracing::warn!(limit = quota.name, wait = quota.more_in, "rate limit exceeded");
    Error::TooMany(quota.more_in)
}

impl Authn {
    /// Counts one request of `whose`, and reports in the response what is left.
    ///
    /// `whose` must be authenticated: a client that proved its secret, a provider that signed, or a person
    /// ([`check_person_rate_limit`](Self::check_person_rate_limit)). Strangers share a network or an email address, so
    /// neither is ever a key by itself: one stranger could use up the limit for all.
    /// [`check_sign_in`](Self::check_sign_in) limits how sign-ins start.
    ///
    /// The count is in the database, so it holds across instances and restarts. The count comes before the attempt, so
    /// parallel attempts count like sequential ones. A key is stored as a hash. The janitor deletes rows whose time has
    /// passed. A refused request is not counted.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub async fn check_rate_limit(&self, limit: RateLimit, whose: &str, context: &Context) -> Result<(), Error> {
        let (counted, quota) = self.consume(limit, whose).await?;
        context.report_quota(quota);
        if counted { Ok(()) } else { Err(rate_limited(quota)) }
    }

    /// Counts one request of `whose`, if that is not the caller, such as another person's email address. The response
    /// does not report what is left, because that would reveal what others did.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub async fn check_rate_limit_silently(&self, limit: RateLimit, whose: &str) -> Result<(), Error> {
        let (counted, quota) = self.consume(limit, whose).await?;
        if counted { Ok(()) } else { Err(rate_limited(quota)) }
    }

    /// Refuses `whose` if they have used up a limit. This counts nothing. It is for limits that only failed attempts
    /// use up, and is called before the attempt.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub async fn refuse_if_limited<M: Mode>(
        &self,
        tx: &mut Tx<M, IdentityPlane>,
        limit: RateLimit,
        whose: &str,
    ) -> Result<(), Error> {
        let backlog = sqlx::query_scalar!(
            r#"select (extract(epoch from tat - $2) * 1000000)::bigint as "backlog!" from identity.rate_limits where key = $1"#,
            &key(limit, whose)[..],
            self.0.clock.now(),
        );
        match backlog.fetch_optional(&mut **tx).await? {
            Some(backlog) if limit.left(backlog).left == 0 => Err(rate_limited(limit.left(backlog))),
            _ => Ok(()),
        }
    }

    async fn consume(&self, limit: RateLimit, whose: &str) -> Result<(bool, Quota), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let (counted, backlog) = self.consume_in(&mut tx, limit, limit.burst, whose).await?;
        if counted {
            tx.commit().await?;
        }
        Ok((counted, limit.left(backlog)))
    }

    /// Counts one request if fewer than `burst` are used up. Returns whether it did, and the backlog in microseconds.
    pub(crate) async fn consume_in(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        limit: RateLimit,
        burst: u32,
        whose: &str,
    ) -> Result<(bool, i64), Error> {
        let now = self.0.clock.now();
        let key = key(limit, whose);
        let slack = limit.period * i32::try_from(burst.saturating_sub(1)).unwrap_or(i32::MAX);
        let backlog = sqlx::query_scalar!(
            r#"insert into identity.rate_limits as known (key, tat) values ($1, $2::timestamptz + make_interval(secs => $3))
             on conflict (key) do update set tat = greatest(known.tat, $2) + make_interval(secs => $3)
               where known.tat <= $2::timestamptz + make_interval(secs => $4)
             returning (extract(epoch from tat - $2) * 1000000)::bigint as "backlog!""#,
            &key[..],
            now,
            limit.period.as_seconds_f64(),
            slack.as_seconds_f64(),
        );
        if let Some(backlog) = backlog.fetch_optional(&mut **tx).await? {
            return Ok((true, backlog));
        }
        let backlog = sqlx::query_scalar!(
            r#"select (extract(epoch from tat - $2) * 1000000)::bigint as "backlog!" from identity.rate_limits where key = $1"#,
            &key[..],
            now,
        );
        Ok((false, backlog.fetch_one(&mut **tx).await?))
    }
}

fn key(limit: RateLimit, whose: &str) -> Hash {
    Sha256::new().chain_update(limit.name).chain_update("\0").chain_update(whose).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: API-01
    #[test]
    fn the_rest_of_a_limit_and_its_reset_are_in_whole_seconds() {
        let limit = RateLimit { name: "start", burst: 4, period: Duration::seconds(15) };
        let told = |millis: i64| {
            let Quota { left, more_in, window, .. } = limit.left(millis * 1000);
            (left, more_in, window)
        };
        assert_eq!(told(15_000), (3, 15, 60), "after the first one");
        assert_eq!(told(14_100), (3, 15, 60), "never too early");
        assert_eq!(told(30_000), (2, 15, 60));
        assert_eq!(told(45_001), (0, 1, 60), "the fourth is not there yet");
        assert_eq!(told(60_000), (0, 15, 60));
    }
}
