use chrono::{DateTime, Duration, Utc};
use sha2::{Digest, Sha256};
use tenancy::{Identity, Tx, Write};
use web::Error;

/// How long something is remembered whose time may be `skew` seconds from ours: as long as it could be taken again, and as
/// much longer as the clocks of our instances may be apart.
pub(crate) fn retention(skew: i64) -> Duration {
    Duration::seconds(3 * skew)
}

/// Notes that `value` was seen of `whose`. `false` where it was seen before: of two at once, one is the first.
pub(crate) async fn is_first_use(
    tx: &mut Tx<Write, Identity>,
    (what, whose, value): (&str, &str, &str),
    until: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut key = Sha256::new();
    for part in [what, whose, value] {
        key.update((part.len() as u64).to_be_bytes());
        key.update(part);
    }
    let seen = sqlx::query!(
        "insert into identity.seen (key, expires_at) values ($1, $2) on conflict do nothing",
        &key.finalize()[..],
        until,
    );
    Ok(seen.execute(&mut **tx).await?.rows_affected() == 1)
}
