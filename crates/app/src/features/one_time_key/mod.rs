//! A form that creates something carries a key, and sent twice it creates one thing: the second answer is the first one's.
//!
//! The key is written by the transaction that creates. Of two requests at once, the database lets one write it, and the
//! other waits until that one is done.

use authn::SignedIn;
use authz::{Action, Authorized, Resource};
use tenancy::{RetentionRule, Tenant, Tx, Write};
use web::{Error, OneTimeKey, Result, see_other};

use crate::base::Feature;

/// Written with 24 hours to go.
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

/// Begins to create what a form asks for. `location` and `message` are the redirect that it will be answered with, or where
/// the answer shows a secret, what is said in its place.
///
/// # Errors
///
/// Those of [`Authorized::begin`] and of [`claim`].
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

/// The same for a transaction that has to read first what the answer will be.
///
/// # Errors
///
/// [`Error::Answered`] with the answer of then, where the form was sent before. [`Error::Conflict`] where another form was
/// sent with its key.
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
    // What was decided about this request is recorded all the same.
    tx.commit().await?;
    if before.request_hash != request_hash {
        return Err(OTHER_CONTENT);
    }
    Err(Error::Answered(Box::new(see_other(&before.location, &before.message))))
}
