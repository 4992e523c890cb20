use chrono::{DateTime, Duration, Utc};
use tenancy::{Identity, Tx, Write};
use uuid::Uuid;
use web::Error;

use crate::secret::{self, Hash};
use secrecy::zeroize::Zeroizing;

/// Maximum number of refresh tokens in one family. All are stored. A token every 15 minutes for the lifetime of a secret is less.
const MAX_ROTATIONS: i32 = 10_000;
/// How long a refresh token is valid.
pub(crate) const LIFETIME: Duration = Duration::hours(24);
/// How long after its use a token may be used again, because the response was lost.
const GRACE: Duration = Duration::minutes(1);

/// The result of presenting a refresh token.
pub(crate) enum Rotation {
    /// It was valid, and this is the next one.
    Next(Zeroizing<String>),
    /// It was used before by a client that had the next one. The family is revoked.
    Reused,
    /// It is unknown, has expired, or its family is full.
    Invalid,
}

/// The first refresh token of a family, or the one after another. Earlier tokens stay as long as the family, so their reuse
/// is detected. A family ends with the secret it began with, after 90 days at the latest.
pub(crate) async fn new(
    tx: &mut Tx<Write, Identity>,
    family: Uuid,
    previous: Option<Hash>,
    now: DateTime<Utc>,
) -> Result<Zeroizing<String>, Error> {
    let (token, expires_at) = (secret::random()?, now + LIFETIME);
    sqlx::query!(
        "insert into identity.refresh_tokens (token_hash, family_id, previous_hash, expires_at) values ($1, $2, $3, $4)",
        &secret::hash(&token),
        family,
        previous.as_ref().map(|hash| &hash[..]),
        expires_at,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update identity.token_families set expires_at = $2, rotations = rotations + 1 where id = $1",
        family,
        expires_at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(token)
}

/// Uses up a refresh token. The transaction must have locked the row of its family.
///
/// The token before the last one works once more within a minute, if the last one was never used: its response was lost. The
/// last one is then invalid. If somebody presents it, two clients have the same tokens.
pub(crate) async fn rotate(
    tx: &mut Tx<Write, Identity>,
    family: Uuid,
    shown: Hash,
    now: DateTime<Utc>,
) -> Result<Rotation, Error> {
    let token = sqlx::query!(
        "select t.used_at, t.repeated, t.expires_at, f.rotations,
                exists (select from identity.refresh_tokens n where n.family_id = $2 and n.previous_hash = $1 and n.used_at is not null)
                  as \"followed!\"
           from identity.refresh_tokens t join identity.token_families f on f.id = t.family_id
          where t.token_hash = $1 and t.family_id = $2",
        &shown,
        family,
    );
    let Some(token) = token.fetch_optional(&mut **tx).await? else { return Ok(Rotation::Invalid) };
    if token.used_at.is_some_and(|used| token.repeated || token.followed || now - used > GRACE) {
        sqlx::query!("update identity.token_families set revoked_at = $2 where id = $1", family, now)
            .execute(&mut **tx)
            .await?;
        return Ok(Rotation::Reused);
    }
    if token.expires_at <= now || token.rotations >= MAX_ROTATIONS {
        return Ok(Rotation::Invalid);
    }
    sqlx::query!(
        "update identity.refresh_tokens set used_at = $3, repeated = (token_hash <> $1 or used_at is not null)
          where family_id = $2 and (token_hash = $1 or previous_hash = $1)",
        &shown,
        family,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(Rotation::Next(new(tx, family, Some(shown), now).await?))
}
