use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use tenancy::{Identity as IdentityPlane, Tx, Write};
use web::{Context, Error, ProofOfWork};

use crate::Authn;
use crate::rate_limit::{RateLimit, rate_limited};
use crate::secret::{Hash, base64url};

/// The difficulty as a power of two. The work takes 0.5 s on average in Chromium on a server with two cores, and 70 ms
/// with OpenSSL on one of the cores.
const BITS: u32 = 18;
/// How long a challenge is valid.
const LIFETIME: Duration = Duration::minutes(5);
/// The parts of a challenge: the second at which it expires, random bytes, and our MAC.
const TIME: usize = 8;
const RANDOM: usize = 16;
const MAC: usize = 32;
/// The purpose of our MAC on challenges.
const PURPOSE: &str = "challenge to work";

/// The solution of a challenge, as a form submits it. It is empty if there was no challenge.
#[derive(Clone, Debug, Default)]
pub struct ProofOfWorkSolution {
    /// The challenge.
    pub challenge: String,
    /// The number that solves it.
    pub solution: String,
}

impl Authn {
    /// Checks whether a network may start another sign-in at `endpoint`.
    ///
    /// The first part of the limit needs no proof of work. After that, a solution is required. At the end of the limit,
    /// all sign-ins are refused. A solution is valid for one network and endpoint, and counts once: the transaction
    /// that counts the sign-in uses it up. A refused request changes nothing. Returns whether a solution was used.
    ///
    /// # Errors
    ///
    /// [`Error::ProofOfWork`] if a solution is required, [`Error::TooMany`] if the limit is used up.
    pub(crate) async fn check_sign_in(
        &self,
        endpoint: &str,
        solution: &ProofOfWorkSolution,
        context: &Context,
    ) -> Result<bool, Error> {
        let (limit, free, network) =
            (self.0.limits.sign_in("start"), self.0.limits.free_sign_ins(), &context.client.network);
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let solved = match self.solved(endpoint, network, solution) {
            Some((mac, until)) => self.use_up(&mut tx, &mac, until).await?,
            None => false,
        };
        let burst = if solved { limit.burst } else { free };
        let (counted, backlog) = self.consume_in(&mut tx, limit, burst, network).await?;
        let quota = limit.left(backlog);
        context.report_quota(quota);
        if counted {
            tx.commit().await?;
            return Ok(solved);
        }
        if quota.left == 0 {
            return Err(rate_limited(quota));
        }
        Err(self.require_proof_of_work(endpoint, context, RateLimit { burst: free, ..limit }.left(backlog).more_in)?)
    }

    /// Returns the error that asks for a proof of work, or for a wait of this many seconds.
    pub(crate) fn require_proof_of_work(&self, endpoint: &str, context: &Context, wait: u64) -> Result<Error, Error> {
        let challenge = self.challenge_for(endpoint, &context.client.network)?;
        Ok(Error::ProofOfWork(ProofOfWork { challenge, bits: BITS, wait }, None))
    }

    fn challenge_for(&self, endpoint: &str, network: &str) -> Result<String, Error> {
        let mut challenge = [0; TIME + RANDOM + MAC];
        challenge[..TIME].copy_from_slice(&(self.0.clock.now() + LIFETIME).timestamp().to_be_bytes());
        getrandom::fill(&mut challenge[TIME..TIME + RANDOM])?;
        let (begin, mac) = challenge.split_at_mut(TIME + RANDOM);
        mac.copy_from_slice(&self.0.keys.mac(PURPOSE, &mac_input(endpoint, network, begin)));
        Ok(base64url(&challenge))
    }

    /// Returns the MAC and the expiry of one of our challenges, if it was solved in time.
    fn solved(&self, endpoint: &str, network: &str, given: &ProofOfWorkSolution) -> Option<(Hash, DateTime<Utc>)> {
        let challenge: [u8; TIME + RANDOM + MAC] = URL_SAFE_NO_PAD.decode(&given.challenge).ok()?.try_into().ok()?;
        let (begin, mac) = challenge.split_first_chunk::<{ TIME + RANDOM }>()?;
        let mac: Hash = mac.try_into().ok()?;
        let until = DateTime::from_timestamp(i64::from_be_bytes(*begin.first_chunk()?), 0)?;
        let ours = self.0.keys.verify_mac(PURPOSE, &mac_input(endpoint, network, begin), &mac);
        let number: u32 = given.solution.parse().ok()?;
        let worked = zeros(Sha256::new().chain_update(mac).chain_update(number.to_be_bytes()).finalize().into());
        (ours && until > self.0.clock.now() && worked >= BITS).then_some((mac, until))
    }

    /// Uses up a solution. Returns `false` if it was used before.
    async fn use_up(&self, tx: &mut Tx<Write, IdentityPlane>, mac: &Hash, until: DateTime<Utc>) -> Result<bool, Error> {
        let used = sqlx::query!(
            "insert into identity.proof_of_work_solutions (mac, expires_at) values ($1, $2) on conflict do nothing",
            &mac[..],
            until,
        );
        Ok(used.execute(&mut **tx).await?.rows_affected() == 1)
    }
}

fn mac_input(endpoint: &str, network: &str, begin: &[u8]) -> Vec<u8> {
    // Neither text contains a NUL, and the rest has a fixed length.
    [endpoint.as_bytes(), b"\0", network.as_bytes(), b"\0", begin].concat()
}

fn zeros(hash: Hash) -> u32 {
    let whole = hash.iter().take_while(|byte| **byte == 0).count();
    let bits = 8 * whole + hash.get(whole).map_or(0, |byte| byte.leading_zeros() as usize);
    u32::try_from(bits).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_counted_in_bits() {
        let hash = |begin: &[u8]| {
            let mut hash = [0xff; 32];
            hash[..begin.len()].copy_from_slice(begin);
            hash
        };
        assert_eq!([zeros(hash(&[])), zeros(hash(&[0, 0x20])), zeros(hash(&[0, 0, 0x7f]))], [0, 10, 17]);
        assert_eq!(zeros([0; 32]), 256);
    }
}
