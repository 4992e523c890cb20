use audit::Event;
use axum::http::HeaderMap;
use chrono::Duration;
use encryption::{Column, EncryptionContext};
use serde_json::json;
use tenancy::{Account, Identity as IdentityPlane, TenantId, Tx, UserId, Write};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use uuid::Uuid;
use web::{DigitCode, Error};

use crate::rate_limit::RateLimit;
use crate::secret::{Token, hash};
use crate::{AccountNotification, Authn, NewCookie, SignedIn, StepUpOutcome, session_cookie};

/// The time to enter the first code of a new app.
const LIFETIME: Duration = Duration::minutes(15);
const SET_UP_EXPIRED: Error = Error::Conflict("This setup has expired. Please start over.", None);
/// Keys that one person creates, and first codes that they try.
const SET_UP_LIMIT: RateLimit = RateLimit { name: "authenticator app", burst: 10, period: Duration::minutes(1) };
/// The number of 30-second steps by which the clock of a phone may be wrong.
const SKEW: u16 = 1;

/// The secret of an authenticator app during setup, for the page that shows it.
pub struct TotpSecret {
    /// For a QR code: `otpauth://totp/...`.
    pub uri: String,
    /// For typing: base 32 in groups of four.
    pub text: String,
}

/// Proof that the first code of a new app was right.
#[derive(Debug)]
pub struct ConfirmedTotp(());

impl Authn {
    /// Counts a new key or a first code. Call it before the transaction, because a request never holds two connections.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit.
    pub async fn check_set_up_rate_limit(&self, who: &SignedIn) -> Result<(), Error> {
        self.check_person_rate_limit(SET_UP_LIMIT, who).await
    }

    /// Creates the secret of an authenticator app. The app is not a factor until [`confirm_totp`](Self::confirm_totp)
    /// succeeds. The secret replaces one that was never confirmed.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if an app is in use.
    pub async fn new_totp(&self, tx: &mut Tx<Write, Account>, who: &SignedIn) -> Result<TotpSecret, Error> {
        let mut secret = [0; 20];
        getrandom::fill(&mut secret)?;
        let made = sqlx::query!(
            "insert into identity.totp as known (user_id, secret, created_at, created_in) values ($1, $2, $3, $4)
             on conflict (user_id, sso_tenant_id) do update set secret = $2, created_at = $3, created_in = $4
               where known.confirmed_at is null",
            who.user.uuid(),
            self.0.keys.encrypt(encryption_context(who.user), &secret)?,
            self.0.clock.now(),
            who.session,
        );
        if made.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(Error::Conflict("You have an authenticator app already. Remove it first.", None));
        }
        shown(&totp(&secret, who)?)
    }

    /// Checks the first code of the app that this session is setting up, and enables the app. Returns `None` if the
    /// code is wrong.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if this session created no secret in the last 15 minutes.
    pub async fn confirm_totp(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        code: &DigitCode<6>,
    ) -> Result<Option<ConfirmedTotp>, Error> {
        let Some(secret) = self.unconfirmed(tx, who).await? else { return Err(SET_UP_EXPIRED) };
        let now = self.0.clock.now();
        let Some(step) = step(&totp(&secret, who)?, code, now)? else { return Ok(None) };
        let confirmed = sqlx::query!(
            "update identity.totp set confirmed_at = $2, last_step = $3 where created_in = $1 and confirmed_at is null",
            who.session,
            now,
            step,
        );
        if confirmed.execute(&mut **tx).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let target = format!("User::{}", who.user);
        Event { kind: "totp.enrolled", target, details: json!({}) }.record(tx, &who.actor()).await?;
        self.notify(tx, who.user, &AccountNotification::TotpAdded, who.context()).await?;
        Ok(Some(ConfirmedTotp(())))
    }

    async fn unconfirmed(&self, tx: &mut Tx<Write, Account>, who: &SignedIn) -> Result<Option<Vec<u8>>, Error> {
        let encrypted = sqlx::query_scalar!(
            "select secret from identity.totp where created_in = $1 and confirmed_at is null and created_at > $2 for update",
            who.session,
            self.0.clock.now() - LIFETIME,
        );
        let encrypted = encrypted.fetch_optional(&mut **tx).await?;
        Ok(encrypted
            .map(|encrypted| self.0.keys.decrypt(encryption_context(who.user), &encrypted))
            .transpose()?
            .map(|secret| secret.to_vec()))
    }

    /// Removes the app and ends the person's other sessions.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if there is no app.
    pub async fn remove_totp(&self, tx: &mut Tx<Write, Account>, who: &SignedIn) -> Result<(), Error> {
        let removed = sqlx::query!("delete from identity.totp where confirmed_at is not null");
        if removed.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(Error::Conflict("You no longer have an authenticator app.", None));
        }
        // Another person with the app may have begun one of the other sessions.
        let ended = sqlx::query_scalar!(
            "update identity.sessions set ended_at = $2, ended_reason = 'the authenticator app was removed'
              where id <> $1 and ended_at is null and expires_at > $2 returning id",
            who.session,
            self.0.clock.now(),
        );
        let ended = ended.fetch_all(&mut **tx).await?;
        let target = format!("User::{}", who.user);
        Event { kind: "totp.removed", target, details: json!({ "sessions_ended": ended }) }
            .record(tx, &who.actor())
            .await?;
        self.notify(tx, who.user, &AccountNotification::TotpRemoved, who.context()).await
    }

    /// Counts a new app as verified in this session. The session gets a new token.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] if the session has ended.
    pub async fn step_up_by_new_totp(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        ConfirmedTotp(()): ConfirmedTotp,
    ) -> Result<NewCookie, Error> {
        let mut tx = self.begin_for(who).await?;
        let cookie = self.record_code(&mut tx, who, headers).await?;
        tx.commit().await?;
        Ok(cookie)
    }

    /// Accepts a code of the person's authenticator app for this session, replaces the session's token, and takes the
    /// deferred request. Either all of this happens or none of it. Returns `None` if the code is wrong or used.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] during a lockout, [`Error::Unauthenticated`] if the session has ended.
    pub async fn verify_totp(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        code: &DigitCode<6>,
        deferred: Option<Uuid>,
    ) -> Result<Option<StepUpOutcome>, Error> {
        let attempt = self.begin_code_attempt(who).await?;
        let mut tx = self.begin_for(who).await?;
        let target = format!("Session::{}", who.session);
        if !self.take_totp(&mut tx, who, code).await? {
            tracing::warn!(user = %who.user, "authenticator code rejected");
            Event { kind: "totp.refused", target, details: json!({}) }.record(&mut tx, &who.actor()).await?;
            self.fail_code_attempt(&mut tx, who, attempt).await?;
            tx.commit().await?;
            return Ok(None);
        }
        attempt.succeed(&mut tx).await?;
        let cookie = self.record_code(&mut tx, who, headers).await?;
        let deferred = match deferred {
            Some(id) => self.take_deferred_request_in(&mut tx, who, headers, id).await?,
            None => None,
        };
        Event { kind: "session.code_verified", target, details: json!({}) }.record(&mut tx, &who.actor()).await?;
        tx.commit().await?;
        Ok(Some(StepUpOutcome { cookie, deferred }))
    }

    /// Uses up a code of one of the apps that count in this session. If the same code or an earlier one is used again,
    /// it is refused (RFC 6238, section 5.2).
    pub(crate) async fn take_totp(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        code: &DigitCode<6>,
    ) -> Result<bool, Error> {
        let apps = sqlx::query_scalar!(
            "select secret from identity.totp
              where user_id = $1 and confirmed_at is not null and (sso_tenant_id is null or sso_tenant_id = $2)",
            who.user.uuid(),
            who.sso_tenant.map(TenantId::uuid) as Option<Uuid>,
        );
        for encrypted in apps.fetch_all(&mut **tx).await? {
            let (secret, now) = (self.0.keys.decrypt(encryption_context(who.user), &encrypted)?, self.0.clock.now());
            let Some(step) = step(&builder(&secret).build()?, code, now)? else { continue };
            // The secret is encrypted again each time, so that ciphertexts under a previous encryption key disappear.
            let taken = sqlx::query!(
                "update identity.totp set secret = $2, last_step = $3, last_used_at = $4
                  where user_id = $1 and secret = $5 and last_step < $3",
                who.user.uuid(),
                self.0.keys.encrypt(encryption_context(who.user), &secret)?,
                step,
                now,
                encrypted,
            );
            if taken.execute(&mut **tx).await?.rows_affected() == 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Records a code in the session and replaces its token at once, like [`record_proof`](Self::record_proof). A code
    /// can be phished, so it does not reset the risk of an unusual session.
    async fn record_code(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
    ) -> Result<NewCookie, Error> {
        let token = Token::new()?;
        let given = session_cookie::token_of(headers).map(hash).ok_or(Error::Unauthenticated)?;
        let noted = sqlx::query!(
            "update identity.sessions
                set token_hash = $2, previous_hash = null, previous_until = null, rotated_at = $3, totp_at = $3,
                    methods = case when 'totp' = any (methods) then methods else array_append(methods, 'totp') end
              where id = $1 and (token_hash = $4 or previous_hash = $4) and ended_at is null",
            who.session,
            &token.hash()[..],
            self.0.clock.now(),
            &given[..],
        );
        if noted.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(Error::Unauthenticated);
        }
        Ok(NewCookie::of(&token))
    }
}

fn encryption_context(user: UserId) -> EncryptionContext {
    EncryptionContext { column: Column::Totp, row: user.uuid() }
}

/// Returns the settings that every app supports: SHA-1, six digits, 30 seconds (RFC 6238).
fn builder(secret: &[u8]) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(SKEW)
        .with_step_duration(30)
        .with_secret(Secret::new(secret.into()))
        .with_account_name("account")
}

/// Returns a TOTP with the name that the app displays.
fn totp(secret: &[u8], who: &SignedIn) -> Result<Totp, Error> {
    let name = if who.email.is_empty() { &who.name } else { &who.email };
    Ok(builder(secret).with_account_name(name.replace(':', " ")).with_issuer(Some("Holdfast")).build()?)
}

fn shown(totp: &Totp) -> Result<TotpSecret, Error> {
    let text = totp.secret().to_base32();
    let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    Ok(TotpSecret { uri: totp.to_url()?, text: groups.join(" ") })
}

/// Returns the time step of a code, if the code is current.
fn step(totp: &Totp, code: &DigitCode<6>, now: chrono::DateTime<chrono::Utc>) -> Result<Option<i64>, Error> {
    let step = totp.check(code, now.timestamp().unsigned_abs());
    Ok(step.map(i64::try_from).transpose()?)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    // control: IDN-11
    #[test]
    fn codes_follow_the_standard_and_are_valid_for_one_step_before_and_after() {
        // These are the last six digits of the SHA-1 values in RFC 6238, appendix B.
        let totp = builder(b"12345678901234567890").build().unwrap();
        let step = |code: &str, at| step(&totp, &code.try_into().unwrap(), at).unwrap();
        for (time, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            let at = |time| DateTime::from_timestamp(time, 0).unwrap();
            let own = Some(time / 30);
            assert_eq!(step(code, at(time)), own);
            assert_eq!(step(&format!(" {} {} ", &code[..3], &code[3..]), at(time)), own);
            assert_eq!(step(code, at(time / 30 * 30 - 30)), own);
            assert_eq!(step(code, at(time / 30 * 30 + 59)), own);
            assert_eq!(step(code, at(time / 30 * 30 + 60)), None);
        }
        for (time, code) in [(1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            let early = DateTime::from_timestamp(time / 30 * 30 - 31, 0).unwrap();
            assert_eq!(step(code, early), None);
        }
    }
}
