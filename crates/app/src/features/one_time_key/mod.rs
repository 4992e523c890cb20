//! One-time keys. A form that creates something contains one. If it is submitted twice, it creates one thing, and the
//! second response repeats the first.
//!
//! The creating transaction writes the key. Of two parallel requests, the database lets one write the key. The other
//! waits for it.

use authn::SignedIn;
use authz::{Action, Authorized, Resource};
use tenancy::{RetentionRule, Tenant, Tx, Write};
use web::{Error, OneTimeKey, Result, see_other};

use crate::base::Feature;

/// Keys are kept for 24 hours.
const RETENTION: &[RetentionRule] =
    &[tenancy::retention_rule!("identity.one_time_keys", "user_id, key", "expires_at", tenancy::HOUR)];

pub(crate) fn feature() -> Feature {
    Feature::new("one_time_key").retention(RETENTION)
}

const OTHER_CONTENT: Error = Error::Conflict(
    "This form was sent before, with other content, and that was done. Nothing was done now. To send it again with what it says \
     now, load its page again.",
    None,
);

/// Begins the transaction of a form that creates something. `location` and `message` describe its redirect. If the
/// response shows a secret, a repeated request gets the redirect instead.
///
/// # Errors
///
/// The errors of [`Authorized::begin`] and [`claim`].
pub(crate) async fn begin<A>(
    ok: &mut Authorized<A, SignedIn>,
    key: OneTimeKey,
    location: &str,
    message: &str,
) -> Result<Tx<Write>>
where
    A: Action<Mode = Write, On: Resource<Plane = Tenant>>,
{
    claim(ok.begin().await?, key, location, message).await
}

/// Claims the key for a transaction that must read something before the response is known.
///
/// # Errors
///
/// [`Error::AlreadySubmitted`] with the first response, if the form was submitted before. [`Error::Conflict`] if another form
/// was submitted with the same key.
pub(crate) async fn claim(
    mut tx: Tx<Write>,
    OneTimeKey { key, request_hash }: OneTimeKey,
    location: &str,
    message: &str,
) -> Result<Tx<Write>> {
    let Some(key) = key else { return Ok(tx) };
    let first = sqlx::query!(
        "insert into identity.one_time_keys (key, request_hash, location, message) values ($1, $2, $3, $4)
         on conflict do nothing",
        key,
        &request_hash[..],
        location,
        message,
    );
    if first.execute(&mut *tx).await?.rows_affected() == 1 {
        return Ok(tx);
    }
    let before = sqlx::query!("select request_hash, location, message from identity.one_time_keys where key = $1", key);
    let before = before.fetch_optional(&mut *tx).await?.ok_or(Error::Unavailable)?;
    // The decisions about this request are recorded in any case.
    tx.commit().await?;
    if before.request_hash != request_hash {
        return Err(OTHER_CONTENT);
    }
    Err(Error::AlreadySubmitted(Box::new(see_other(&before.location, &before.message))))
}
