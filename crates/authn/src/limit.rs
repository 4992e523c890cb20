use chrono::Duration;
use sha2::{Digest, Sha256};
use tenancy::{Identity as IdentityPlane, Mode, Tx, Write};
use web::{Context, Error, Quota};

use crate::Authn;
use crate::secret::Hash;

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

impl Limit {
    fn micros(self) -> i64 {
        self.every.num_microseconds().unwrap_or(i64::MAX)
    }

    /// What is left where everything tried so far is paid for in `debt` microseconds from now.
    pub(crate) fn left(self, debt: i64) -> Quota {
        let every = self.micros().max(1);
        let whole = every.saturating_mul(self.at_once.into());
        let left = (whole.saturating_sub(debt) / every).clamp(0, self.at_once.into());
        // One more when so much is paid that it fits below the whole.
        let more = debt.saturating_add(every.saturating_mul(left + 1)).saturating_sub(whole);
        Quota {
            name: self.name,
            quota: self.at_once,
            window: seconds(whole),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            more_in: seconds(more),
        }
    }
}

/// Whole seconds, after which so many microseconds have passed.
pub(crate) fn seconds(micros: i64) -> u64 {
    micros.max(1).unsigned_abs().div_ceil(1_000_000)
}

pub(crate) fn too_many(quota: Quota) -> Error {
    tracing::warn!(limit = quota.name, wait = quota.more_in, "too many tries");
    Error::TooMany(quota.more_in)
}

impl Authn {
    /// Counts a try of `whose`, or refuses it with [`Error::TooMany`]. The answer to the request says what is left.
    ///
    /// `whose` is who has shown something: a client that has shown its secret, a provider that signed, a person
    /// ([`count_person`](Self::count_person)). What strangers share, a network or an address, is never counted by itself: one of them would use it up for
    /// all. [`admit`](Self::admit) is how they begin.
    ///
    /// Kept in the database, so that it holds across instances and restarts, and counted before the try is made, so that
    /// many at once are no more than one after the other. A key is a hash; its row is worth nothing once its time has
    /// passed, and the janitor removes it. What is refused changes nothing.
    pub async fn count(&self, limit: Limit, whose: &str, context: &Context) -> Result<(), Error> {
        let (counted, quota) = self.spend(limit, whose).await?;
        context.tell(quota);
        if counted { Ok(()) } else { Err(too_many(quota)) }
    }

    /// The same where `whose` is not who asks, such as the address of somebody else: what others have done with it stands
    /// in no header.
    pub async fn count_untold(&self, limit: Limit, whose: &str) -> Result<(), Error> {
        let (counted, quota) = self.spend(limit, whose).await?;
        if counted { Ok(()) } else { Err(too_many(quota)) }
    }

    /// Whether `whose` has used up all of a limit. Counts nothing: for what is counted once it is done.
    pub async fn is_spent(&self, limit: Limit, whose: &str) -> Result<bool, Error> {
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        match self.refuse_spent(&mut tx, limit, whose).await {
            Ok(()) => Ok(false),
            Err(Error::TooMany(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Refuses `whose` where they have used up all of a limit. Counts nothing: for what only failures spend, before it is
    /// tried.
    pub async fn refuse_spent<M: Mode>(
        &self,
        tx: &mut Tx<M, IdentityPlane>,
        limit: Limit,
        whose: &str,
    ) -> Result<(), Error> {
        let debt = sqlx::query_scalar!(
            r#"select (extract(epoch from free_at - $2) * 1000000)::bigint as "debt!" from identity.limits where key = $1"#,
            &key(limit, whose)[..],
            self.0.clock.now(),
        );
        match debt.fetch_optional(&mut **tx).await? {
            Some(debt) if limit.left(debt).left == 0 => Err(too_many(limit.left(debt))),
            _ => Ok(()),
        }
    }

    async fn spend(&self, limit: Limit, whose: &str) -> Result<(bool, Quota), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let (counted, debt) = self.spend_in(&mut tx, limit, limit.at_once, whose).await?;
        if counted {
            tx.commit().await?;
        }
        Ok((counted, limit.left(debt)))
    }

    /// Counts a try as long as there are fewer than `at_once` of the limit. Returns whether, and the debt in microseconds.
    pub(crate) async fn spend_in(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        limit: Limit,
        at_once: u32,
        whose: &str,
    ) -> Result<(bool, i64), Error> {
        let now = self.0.clock.now();
        let key = key(limit, whose);
        let slack = limit.every * i32::try_from(at_once.saturating_sub(1)).unwrap_or(i32::MAX);
        let debt = sqlx::query_scalar!(
            r#"insert into identity.limits as known (key, free_at) values ($1, $2::timestamptz + make_interval(secs => $3))
             on conflict (key) do update set free_at = greatest(known.free_at, $2) + make_interval(secs => $3)
               where known.free_at <= $2::timestamptz + make_interval(secs => $4)
             returning (extract(epoch from free_at - $2) * 1000000)::bigint as "debt!""#,
            &key[..],
            now,
            limit.every.as_seconds_f64(),
            slack.as_seconds_f64(),
        );
        if let Some(debt) = debt.fetch_optional(&mut **tx).await? {
            return Ok((true, debt));
        }
        let debt = sqlx::query_scalar!(
            r#"select (extract(epoch from free_at - $2) * 1000000)::bigint as "debt!" from identity.limits where key = $1"#,
            &key[..],
            now,
        );
        Ok((false, debt.fetch_one(&mut **tx).await?))
    }
}

fn key(limit: Limit, whose: &str) -> Hash {
    Sha256::new().chain_update(limit.name).chain_update("\0").chain_update(whose).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: API-01
    #[test]
    fn what_is_left_and_when_there_is_more_is_told_in_whole_seconds() {
        let limit = Limit { name: "start", at_once: 4, every: Duration::seconds(15) };
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
