use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use tenancy::{Identity, Tx, Write};
use web::Error;

/// How long to remember a value whose time may be `skew` seconds from ours: as long as it could be accepted again, plus the
/// difference between the clocks of our instances.
pub(crate) fn retention(skew: i64) -> Duration {
    Duration::seconds(3 * skew)
}

/// A value that its owner may use once.
pub(crate) struct SingleUse<'a> {
    /// What kind of value it is.
    pub(crate) kind: &'a str,
    /// The key or client that made it.
    pub(crate) owner: &'a str,
    pub(crate) value: &'a str,
}

/// Registers a value until `until`. `false` if it was seen before. Of two parallel requests, one is the first.
pub(crate) async fn is_first_use(
    tx: &mut Tx<Write, Identity>,
    SingleUse { kind, owner, value }: SingleUse<'_>,
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut key = Sha256::new();
    for part in [kind, owner, value] {
        key.update((part.len() as u64).to_be_bytes());
        key.update(part);
    }
    let seen = sqlx::query!(
        "insert into identity.used_nonces (key, expires_at) values ($1, $2) on conflict do nothing",
        &key.finalize()[..],
        until,
    );
    Ok(seen.execute(&mut **tx).await?.rows_affected() == 1)
}
