use audit::Event;
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{Identity as IdentityPlane, Mode, Plane, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::Error;

use crate::rate_limit::seconds;
use crate::{AccountNotification, Authn, SignedIn};

/// The number of wrong codes without a wait.
const FREE_ATTEMPTS: i32 = 5;
/// The owner is notified at most this often.
const NOTIFY_INTERVAL: Duration = Duration::days(1);

/// A code that may now be checked. It counts as wrong until [`succeed`](Self::succeed) is called.
#[derive(Debug)]
#[must_use = "the attempt must be told whether the code was right"]
pub(crate) struct CodeAttempt {
    user: UserId,
    sso_tenant: Option<TenantId>,
    failures: i32,
    /// When the next code may be checked, if this one is wrong.
    locked_until: DateTime<Utc>,
}

impl CodeAttempt {
    /// Records that the code was right. Earlier wrong codes are forgotten.
    pub(crate) async fn succeed<P: Plane>(self, tx: &mut Tx<Write, P>) -> Result<(), Error> {
        forget_failures(tx, self.user, self.sso_tenant).await
    }
}

/// Forgets the wrong codes of a person in sessions of one bond, after they have verified a factor that is stronger than
/// a code.
pub(crate) async fn forget_failures<P: Plane>(
    tx: &mut Tx<Write, P>,
    user: UserId,
    sso_tenant: Option<TenantId>,
) -> Result<(), Error> {
    sqlx::query!(
        "delete from identity.lockouts where user_id = $1 and sso_tenant_id is not distinct from $2",
        user.uuid(),
        sso_tenant.map(TenantId::uuid) as Option<Uuid>,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn refuse_locked<M: Mode>(
    tx: &mut Tx<M, IdentityPlane>,
    who: &SignedIn,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let locked_until = sqlx::query_scalar!(
        "select locked_until from identity.lockouts where user_id = $1 and sso_tenant_id is not distinct from $3 and locked_until > $2",
        who.user.uuid(),
        now,
        who.sso_tenant.map(TenantId::uuid) as Option<Uuid>,
    );
    let Some(locked_until) = locked_until.fetch_optional(&mut **tx).await? else { return Ok(()) };
    let wait = seconds((locked_until - now).num_microseconds().unwrap_or_default());
    tracing::warn!(user = %who.user, wait, "account locked out: too many wrong codes");
    Err(Error::TooMany(wait))
}

impl Authn {
    /// Allows one code of the person to be checked. Five wrong codes are free. After the next one the person waits a
    /// minute. Each further wrong code doubles the wait, up to a day. Attempts of others in the same network do not
    /// count.
    ///
    /// The attempt is counted in one statement before the code is checked. Parallel attempts therefore count like
    /// sequential ones, and an attempt counts even if the process dies. A refused attempt changes nothing. There is one
    /// row for each person who ever entered a wrong code.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] while the person is locked out.
    pub(crate) async fn begin_code_attempt(&self, who: &SignedIn) -> Result<CodeAttempt, Error> {
        let now = self.0.clock.now();
        let mut tx = self.begin_for(who).await?;
        let counted = sqlx::query_as!(
            CodeAttempt,
            r#"insert into identity.lockouts as known (user_id, failures, locked_until, sso_tenant_id) values ($1, 1, $2, $4)
               on conflict (user_id, sso_tenant_id) do update
                 set failures = known.failures + 1,
                     locked_until = $2 + case when known.failures >= $3
                       then least(interval '1 minute' * power(2, least(known.failures - $3, 11)), interval '1 day')
                       else interval '0' end
                 where known.locked_until <= $2
               returning user_id as "user", sso_tenant_id as "sso_tenant: TenantId", failures, locked_until"#,
            who.user.uuid(),
            now,
            FREE_ATTEMPTS,
            who.sso_tenant.map(TenantId::uuid) as Option<Uuid>,
        );
        if let Some(attempt) = counted.fetch_optional(&mut *tx).await? {
            tx.commit().await?;
            return Ok(attempt);
        }
        refuse_locked(&mut tx, who, now).await?;
        // A parallel attempt locked the person out, and the row was deleted at the same moment.
        Err(Error::TooMany(seconds(0)))
    }

    /// Records that the code was wrong. If that locks the person out, it is recorded, and they are notified at most
    /// once a day.
    pub(crate) async fn fail_code_attempt(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        attempt: CodeAttempt,
    ) -> Result<(), Error> {
        if attempt.failures <= FREE_ATTEMPTS {
            return Ok(());
        }
        let now = self.0.clock.now();
        let details = json!({ "failures": attempt.failures, "until": attempt.locked_until });
        let event = Event { kind: "account.locked_out", target: format!("User::{}", attempt.user), details };
        event.record(tx, &who.actor()).await?;
        let due = sqlx::query!(
            "update identity.lockouts set notified_at = $2
              where user_id = $1 and sso_tenant_id is not distinct from $4 and (notified_at is null or notified_at <= $3)",
            attempt.user.uuid(),
            now,
            now - NOTIFY_INTERVAL,
            attempt.sso_tenant.map(TenantId::uuid) as Option<Uuid>,
        );
        if due.execute(&mut **tx).await?.rows_affected() == 1 {
            let notification = AccountNotification::LockedOut { until: attempt.locked_until };
            self.notify(tx, attempt.user, &notification, who.context()).await?;
        }
        Ok(())
    }
}
