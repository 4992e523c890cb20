use chrono::{DateTime, Utc};
use tenancy::{Plane, Tx, UserId, Write};

/// The number of factors that were removed from a person.
#[derive(Clone, Copy, Debug)]
pub struct RemovedFactors {
    /// Passkeys.
    pub passkeys: u64,
    /// Authenticator apps. A person can have one of their own, and another one for each organization whose provider
    /// they use.
    pub authenticator_apps: u64,
    /// Recovery codes.
    pub recovery_codes: u64,
}

/// Removes every factor of a locked-out person, and ends their sessions. `by` names who did it, as in "by an operator".
///
/// # Errors
///
/// The database refuses a statement. In that case the caller does not commit.
pub async fn remove_factors<P: Plane>(
    tx: &mut Tx<Write, P>,
    user: UserId,
    by: &str,
    now: DateTime<Utc>,
) -> Result<RemovedFactors, sqlx::Error> {
    let (user, why) = (user.uuid(), format!("factors reset {by}"));
    // Sessions end first. If a session is adding a factor at this moment, the factor is either removed below or never
    // added.
    sqlx::query!(
        "update identity.sessions set ended_at = $2, ended_reason = $3
          where user_id = $1 and ended_at is null and expires_at > $2",
        user,
        now,
        why,
    )
    .execute(&mut **tx)
    .await?;
    // The database refuses to delete the last usable passkey, so all passkeys are disabled first.
    sqlx::query!(
        "update identity.passkeys set disabled_at = $2, disabled_reason = $3 where user_id = $1 and disabled_at is null",
        user,
        now,
        why,
    )
    .execute(&mut **tx)
    .await?;
    let passkeys = sqlx::query!("delete from identity.passkeys where user_id = $1", user).execute(&mut **tx).await?;
    let apps = sqlx::query!("delete from identity.totp where user_id = $1", user).execute(&mut **tx).await?;
    let codes = sqlx::query!("delete from identity.recovery_codes where user_id = $1", user).execute(&mut **tx).await?;
    sqlx::query!("delete from identity.recoveries where user_id = $1", user).execute(&mut **tx).await?;
    Ok(RemovedFactors {
        passkeys: passkeys.rows_affected(),
        authenticator_apps: apps.rows_affected(),
        recovery_codes: codes.rows_affected(),
    })
}
