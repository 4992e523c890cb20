use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use audit::Event;
use axum::http::HeaderMap;
use axum::response::{IntoResponseParts, ResponseParts};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{Account, Identity as IdentityPlane, TenantId, Tx, Write};
use tokio::sync::Semaphore;
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Control, DigitCode, Error, FieldError, FieldSpec, FieldText, typed_code};

use crate::lockout::forget_failures;
use crate::rate_limit::RateLimit;
use crate::secret::{Token, hash};
use crate::session::lock_session;
use crate::{AccountNotification, Authn, SignedIn};

const COOKIE: &str = "recovery";
/// The number of codes of one person.
const CODES: usize = 10;
/// Limit on new sets of codes for one person.
const CODES_LIMIT: RateLimit = RateLimit { name: "recovery codes", burst: 3, period: Duration::minutes(1) };
/// How long a recovery can be continued after its wait.
const RECOVERY_WINDOW: Duration = Duration::days(7);
/// The characters of a code. I, L, O and U are missing, because people write codes down and read them again
/// (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The number of characters that find a code (20 bits), and the number of all characters (80 bits).
const SELECTOR: usize = 4;
const LENGTH: usize = 16;

/// A hash takes 19 MiB (OWASP's first choice of parameters), so at most two run at a time.
static HASHING: Semaphore = Semaphore::const_new(2);

/// New codes that nobody has seen and that are not stored yet.
pub struct RecoveryCodes {
    shown: Vec<String>,
    selectors: Vec<String>,
    hashes: Vec<String>,
}

/// The input of a person who recovers their account. It has the form of a code, so other input does not count as an
/// attempt.
pub enum RecoveryInput {
    /// A code of the person's authenticator app.
    TotpCode(DigitCode<6>),
    /// One of the person's recovery codes.
    RecoveryCode(String),
}

impl TryFrom<&str> for RecoveryInput {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        if let Ok(code) = DigitCode::try_from(text) {
            return Ok(Self::TotpCode(code));
        }
        let code = normalized(text);
        if code.len() == LENGTH && code.bytes().all(|byte| ALPHABET.contains(&byte)) {
            Ok(Self::RecoveryCode(code))
        } else {
            Err("Enter a recovery code, which has 16 letters and digits, or the six digits that your app shows.".into())
        }
    }
}

impl FieldText for RecoveryInput {
    const SPEC: FieldSpec = FieldSpec {
        label: "Code",
        noun: "a code",
        control: Control::Code,
        autocomplete: "one-time-code",
        single_use: true,
        ..FieldSpec::TEXT
    };
}

/// What an accepted code allows. As part of a response, it binds a pending recovery to this browser.
#[derive(Debug)]
pub enum Recovery {
    /// A new passkey can be created in this session, for 15 minutes.
    Now,
    /// The recovery can be continued in this browser at the given time.
    Pending(DateTime<Utc>, PendingRecoveryCookie),
}

/// The cookie of the browser that has a pending recovery.
#[derive(Debug)]
pub struct PendingRecoveryCookie(String);

impl IntoResponseParts for PendingRecoveryCookie {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let seconds = (RECOVERY_WINDOW + Duration::days(30)).num_seconds().unsigned_abs();
        cookie::set(response.headers_mut(), COOKIE, &self.0, SameSite::Strict, Some(seconds));
        Ok(response)
    }
}

impl Authn {
    /// Generates ten new codes. They are not valid until [`store_recovery_codes`](Self::store_recovery_codes) stores
    /// them. This happens before the transaction, because hashing is slow and no connection should wait for it.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit.
    pub async fn new_recovery_codes(&self, who: &SignedIn) -> Result<RecoveryCodes, Error> {
        self.check_person_rate_limit(CODES_LIMIT, who).await?;
        let (mut shown, mut selectors, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        while shown.len() < CODES {
            let code = new_code()?;
            let (selector, secret) = code.split_at(SELECTOR);
            if selectors.iter().any(|known| known == selector) {
                continue;
            }
            shown.push(in_groups(&code));
            selectors.push(selector.to_owned());
            secrets.push(secret.to_owned());
        }
        Ok(RecoveryCodes { shown, selectors, hashes: hashed(secrets).await? })
    }

    /// Stores the hashes of new codes and deletes the old codes. Returns the new codes, which are shown only once.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] if the session has ended.
    pub async fn store_recovery_codes(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        codes: RecoveryCodes,
    ) -> Result<Vec<String>, Error> {
        if !lock_session(tx, who).await? {
            return Err(Error::Unauthenticated);
        }
        sqlx::query!("delete from identity.recovery_codes where user_id = $1", who.user.uuid())
            .execute(&mut **tx)
            .await?;
        forget_failures(tx, who.user, who.sso_tenant).await?;
        sqlx::query!(
            "insert into identity.recovery_codes (user_id, selector, hash, created_at)
             select $1, selector, hash, $4 from unnest($2::text[], $3::text[]) as codes (selector, hash)",
            who.user.uuid(),
            &codes.selectors,
            &codes.hashes,
            self.0.clock.now(),
        )
        .execute(&mut **tx)
        .await?;
        let target = format!("User::{}", who.user);
        let details = json!({ "codes": codes.shown.len() });
        Event { kind: "recovery.codes_generated", target, details }.record(tx, &who.actor()).await?;
        self.notify(tx, who.user, &AccountNotification::RecoveryCodesGenerated, who.context()).await?;
        Ok(codes.shown)
    }

    /// Accepts a recovery code of the signed-in person, or a code of their authenticator app. The code allows nothing
    /// but the creation of a new passkey. The person must wait first if they have a passkey or a privileged role.
    /// Otherwise they can create it immediately. Returns `None` if the code is wrong or used.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] during a lockout. [`Error::Conflict`] in a session that began with a link by email, because
    /// access to a mailbox must not recover an account.
    pub async fn recover(&self, who: &SignedIn, code: &RecoveryInput) -> Result<Option<Recovery>, Error> {
        refuse_link(who)?;
        let now = self.0.clock.now();
        let attempt = self.begin_code_attempt(who).await?;
        let (mut tx, taken) = match code {
            RecoveryInput::TotpCode(code) => {
                let mut tx = self.begin_for(who).await?;
                let taken = self.take_totp(&mut tx, who, code).await?;
                (tx, taken)
            }
            RecoveryInput::RecoveryCode(code) => self.take_code(who, code, now).await?,
        };
        if !taken {
            tracing::warn!(user = %who.user, "recovery code rejected");
            let target = format!("User::{}", who.user);
            Event { kind: "recovery.refused", target, details: json!({}) }.record(&mut tx, &who.actor()).await?;
            self.fail_code_attempt(&mut tx, who, attempt).await?;
            tx.commit().await?;
            return Ok(None);
        }
        attempt.succeed(&mut tx).await?;
        let recovery = self.begin_recovery(&mut tx, who, now).await?;
        tx.commit().await?;
        Ok(Some(recovery))
    }

    /// Uses up a recovery code. Returns the transaction, and whether the code was valid.
    async fn take_code(
        &self,
        who: &SignedIn,
        code: &str,
        now: DateTime<Utc>,
    ) -> Result<(Tx<Write, IdentityPlane>, bool), Error> {
        let (selector, secret) = code.split_at(code.len().min(SELECTOR));
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let stored = sqlx::query_scalar!(
            "select hash from identity.recovery_codes
              where user_id = $1 and sso_tenant_id is not distinct from $3 and selector = $2 and used_at is null",
            who.user.uuid(),
            selector,
            bond(who),
        )
        .fetch_optional(&mut *tx)
        .await?;
        // Hashing is slow, and no connection should wait for it.
        drop(tx);
        let matches = matches(stored.clone(), secret.to_owned()).await?;

        let mut tx = self.begin_for(who).await?;
        let taken = sqlx::query!(
            "update identity.recovery_codes set used_at = $4
              where user_id = $1 and sso_tenant_id is not distinct from $6 and selector = $2 and hash = $3 and used_at is null and $5",
            who.user.uuid(),
            selector,
            stored.unwrap_or_default(),
            now,
            matches,
            bond(who),
        );
        let taken = taken.execute(&mut *tx).await?.rows_affected() == 1;
        Ok((tx, taken))
    }

    async fn begin_recovery(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        now: DateTime<Utc>,
    ) -> Result<Recovery, Error> {
        let target = format!("User::{}", who.user);
        // A code can be phished. A person with a passkey, or with a role that needs one, gets time to stop the
        // recovery.
        let waits = sqlx::query_scalar!(
            r#"select exists (select from identity.passkeys
                               where user_id = $1 and (sso_tenant_id is null or sso_tenant_id = $2))
                   or tenant.needs_passkey($1) as "is!""#,
            who.user.uuid(),
            bond(who),
        )
        .fetch_one(&mut **tx)
        .await?;
        let wait = Duration::seconds(self.0.recovery.wait_seconds.into());
        if !waits || wait.is_zero() {
            self.record_recovery(tx, who, now).await?;
            Event { kind: "recovery.code_used", target, details: json!({}) }.record(tx, &who.actor()).await?;
            self.notify(tx, who.user, &AccountNotification::CodeUsed, who.context()).await?;
            return Ok(Recovery::Now);
        }
        let (token, ready) = (Token::new()?, now + wait);
        sqlx::query!(
            "insert into identity.recoveries (user_id, handle_hash, ready_at, expires_at, sso_tenant_id) values ($1, $2, $3, $4, $5)
             on conflict (user_id, sso_tenant_id) do update set handle_hash = $2, ready_at = $3, expires_at = $4",
            who.user.uuid(),
            &token.hash()[..],
            ready,
            ready + RECOVERY_WINDOW,
            bond(who),
        )
        .execute(&mut **tx)
        .await?;
        let details = json!({ "ready_at": ready });
        Event { kind: "recovery.started", target, details }.record(tx, &who.actor()).await?;
        self.notify(tx, who.user, &AccountNotification::RecoveryPending { ready }, who.context()).await?;
        Ok(Recovery::Pending(ready, PendingRecoveryCookie(token.reveal().to_owned())))
    }

    /// Returns when the pending recovery of this browser can be continued, and whether that time has come.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn pending_recovery(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
    ) -> Result<Option<(DateTime<Utc>, bool)>, Error> {
        let Some(token) = cookie::get(headers, COOKIE) else { return Ok(None) };
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let ready = sqlx::query_scalar!(
            "select ready_at from identity.recoveries
              where user_id = $1 and sso_tenant_id is not distinct from $4 and handle_hash = $2 and expires_at > $3",
            who.user.uuid(),
            &hash(token)[..],
            now,
            bond(who),
        );
        Ok(ready.fetch_optional(&mut *tx).await?.map(|ready| (ready, ready <= now)))
    }

    /// Continues a recovery after its wait. This works once, and only in the browser that began it. Returns `false` if
    /// there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] in a session that began with a link by email, [`Error::Unauthenticated`] if the session has ended.
    pub async fn continue_recovery(&self, who: &SignedIn, headers: &HeaderMap) -> Result<bool, Error> {
        refuse_link(who)?;
        let Some(token) = cookie::get(headers, COOKIE) else { return Ok(false) };
        let now = self.0.clock.now();
        let mut tx = self.begin_for(who).await?;
        let waited = sqlx::query!(
            "delete from identity.recoveries
              where user_id = $1 and sso_tenant_id is not distinct from $4 and handle_hash = $2 and ready_at <= $3 and expires_at > $3",
            who.user.uuid(),
            &hash(token)[..],
            now,
            bond(who),
        );
        if waited.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        self.record_recovery(&mut tx, who, now).await?;
        let target = format!("User::{}", who.user);
        Event { kind: "recovery.continued", target, details: json!({}) }.record(&mut tx, &who.actor()).await?;
        self.notify(&mut tx, who.user, &AccountNotification::RecoveryContinued, who.context()).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn record_recovery(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let noted = sqlx::query!(
            "update identity.sessions set recovered_at = $2 where id = $1 and ended_at is null",
            who.session,
            now,
        );
        if noted.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(Error::Unauthenticated);
        }
        Ok(())
    }
}

/// Refuses a session that began with a link by email. Notifications about a recovery go to the same mailbox, so they
/// would not warn the owner.
fn refuse_link(who: &SignedIn) -> Result<(), Error> {
    if who.is_by_link() {
        return Err(Error::Conflict(
            "You signed in with a link by email, which is not enough to recover your account. Sign in with your provider \
             first.",
            None,
        ));
    }
    Ok(())
}

fn bond(who: &SignedIn) -> Option<Uuid> {
    who.sso_tenant.map(TenantId::uuid)
}

fn new_code() -> Result<String, getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    // 256 is a multiple of 32, so every character is equally likely.
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

fn in_groups(code: &str) -> String {
    code.as_bytes().chunks(SELECTOR).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-")
}

/// Removes separators from a typed code, and corrects look-alike characters.
fn normalized(typed: &str) -> String {
    let meant = |c: char| match c.to_ascii_uppercase() {
        'O' => Some('0'),
        'I' | 'L' => Some('1'),
        c => (!c.is_ascii_punctuation()).then_some(c),
    };
    typed_code(typed).chars().filter_map(meant).take(2 * LENGTH).collect()
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

async fn hashed(secrets: Vec<String>) -> Result<Vec<String>, Error> {
    let _turn = HASHING.acquire().await?;
    tokio::task::spawn_blocking(move || secrets.iter().map(|secret| hash_of(secret)).collect()).await?
}

fn hash_of(secret: &str) -> Result<String, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let unusable = |error: argon2::password_hash::Error| Error::internal(error);
    let salt = SaltString::encode_b64(&salt).map_err(unusable)?;
    Ok(argon2().hash_password(secret.as_bytes(), &salt).map_err(unusable)?.to_string())
}

/// Whether the secret matches the hash. It takes as long if there is no hash.
async fn matches(stored: Option<String>, secret: String) -> Result<bool, Error> {
    let _turn = HASHING.acquire().await?;
    let checked = tokio::task::spawn_blocking(move || {
        let Some(stored) = stored else {
            return hash_of(&secret).map(|_| false);
        };
        let hash = PasswordHash::new(&stored).map_err(Error::internal)?;
        Ok(argon2().verify_password(secret.as_bytes(), &hash).is_ok())
    });
    checked.await?
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: IDN-11
    #[test]
    fn a_code_with_separators_or_look_alike_characters_is_accepted() {
        let code = new_code().unwrap();
        assert_eq!(code.len(), LENGTH);
        assert!(code.bytes().all(|byte| ALPHABET.contains(&byte)), "{code}");
        let shown = in_groups(&code);
        assert_eq!(shown.len(), LENGTH + 3);
        assert_eq!(normalized(&shown), code);
        assert_eq!(normalized(&format!(" {} ", shown.to_lowercase().replace('-', " "))), code);
        assert_eq!(normalized("oil-OIL"), "011011");
        let wide: String = shown.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
        for typed in [&shown, &wide, &format!("“{shown}”").replace(['“', '”'], "\"")] {
            assert!(
                matches!(RecoveryInput::try_from(&**typed), Ok(RecoveryInput::RecoveryCode(read)) if read == code),
                "{typed}"
            );
        }
        assert!(
            matches!(RecoveryInput::try_from("１２３ ٤٥٦"), Ok(RecoveryInput::TotpCode(read)) if *read == *"123456")
        );
        for none in ["", "1234567", &shown[..LENGTH], &format!("{code}0"), "UUUU-UUUU-UUUU-UUUU", "ЖЖЖЖ-ЖЖЖЖ-ЖЖЖЖ-ЖЖЖЖ"]
        {
            assert!(RecoveryInput::try_from(none).is_err(), "{none}");
        }
        assert!(normalized(&"A".repeat(10_000)).len() <= 2 * LENGTH);
    }

    // control: IDN-11
    #[tokio::test]
    async fn a_hash_is_argon2id_and_fits_its_secret_alone() {
        let stored = hashed(vec!["SECRET".to_owned()]).await.unwrap().remove(0);
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(matches(Some(stored.clone()), "SECRET".to_owned()).await.unwrap());
        assert!(!matches(Some(stored), "SECRETS".to_owned()).await.unwrap());
        assert!(!matches(None, "SECRET".to_owned()).await.unwrap());
    }
}
