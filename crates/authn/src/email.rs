use askama::Template;
use audit::Event;
use chrono::Duration;
use mail::Mail;
use serde_json::json;
use tenancy::{Account, TenantId, Tx, Write};
use web::{DigitCode, Error};

use crate::rate_limit::RateLimit;
use crate::secret::hash;
use crate::{Authn, SignedIn};

/// The codes that one person may request, and the codes that one network may request for one address.
const CODE_LIMIT: RateLimit = RateLimit { name: "email code", burst: 3, period: Duration::minutes(10) };
/// How long a code is valid.
const LIFETIME: Duration = Duration::minutes(15);
/// The attempts for one code. With the limit above, that allows 30 attempts an hour, out of a hundred million codes.
const MAX_ATTEMPTS: i32 = 5;
const DIGITS: usize = 8;
/// Row-level security enforces the same for codes and for verified addresses.
const NOT_MANAGED_BY_PROVIDER: Error = Error::Conflict(
    "You are signed in with an organization's provider, which does not speak for this account. Sign in the way you signed \
     up to confirm your address.",
    None,
);

/// A verification code that nobody has seen yet.
pub struct EmailCode(String);

#[derive(Template)]
#[template(path = "mail/email_code.txt")]
struct CodeMail<'a> {
    first: &'a str,
    second: &'a str,
    minutes: i64,
    url: String,
}

impl Authn {
    /// Generates a code. It is not valid until it is sent.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] after a burst of three codes. After that, one is allowed every ten minutes.
    pub async fn new_email_code(&self, who: &SignedIn) -> Result<EmailCode, Error> {
        self.check_person_rate_limit(CODE_LIMIT, who).await?;
        // Codes are counted per network, so that another person who claims the address cannot stop its owner from
        // verifying it.
        let address = format!("{} {}", who.email.to_ascii_lowercase(), who.context().client.network);
        self.check_rate_limit_silently(CODE_LIMIT, &address).await?;
        let mut code = String::with_capacity(DIGITS);
        while code.len() < DIGITS {
            let mut byte = [0];
            getrandom::fill(&mut byte)?;
            // 250 is a multiple of ten, so every digit is equally likely.
            if byte[0] < 250 {
                code.push(char::from(b'0' + byte[0] % 10));
            }
        }
        Ok(EmailCode(code))
    }

    /// Sends a code to the address that the provider gave for the person. It replaces an earlier code.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if another provider manages the account.
    pub async fn send_email_code(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        EmailCode(code): &EmailCode,
    ) -> Result<(), Error> {
        let managed_by = sqlx::query_scalar!("select managed_by from identity.users where id = $1", who.user.uuid());
        if managed_by.fetch_one(&mut **tx).await? != who.sso_tenant.map(TenantId::uuid) {
            return Err(NOT_MANAGED_BY_PROVIDER);
        }
        sqlx::query!(
            "insert into identity.email_codes (user_id, email, code_hash, tries_left, expires_at)
             values ($1, $2, $3, $4, $5)
             on conflict (user_id) do update set email = $2, code_hash = $3, tries_left = $4, expires_at = $5",
            who.user.uuid(),
            who.email,
            &hash(code)[..],
            MAX_ATTEMPTS,
            self.0.clock.now() + LIFETIME,
        )
        .execute(&mut **tx)
        .await?;
        let (first, second) = code.split_at(DIGITS / 2);
        let (minutes, url) = (LIFETIME.num_minutes(), self.url(self.0.addresses.verify_email));
        let mail = Mail::of("email.code", &CodeMail { first, second, minutes, url })?;
        let mail = Mail { valid_for: Some(LIFETIME), ..mail };
        mail.queue_to_address(tx, &who.email, &who.actor()).await?;
        let event = Event { kind: "email.code_sent", target: format!("User::{}", who.user), details: json!({}) };
        event.record(tx, &who.actor()).await?;
        Ok(())
    }

    /// Checks the code once, and marks the address as verified. Returns `false` if the code is wrong. The caller
    /// commits in any case, because a wrong attempt counts.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn verify_email(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        code: &DigitCode<DIGITS>,
    ) -> Result<bool, Error> {
        let tried = sqlx::query!(
            r#"update identity.email_codes set tries_left = tries_left - 1
                where user_id = $1 and tries_left > 0 and expires_at > $2
               returning email, (code_hash = $3) as "right!""#,
            who.user.uuid(),
            self.0.clock.now(),
            &hash(code)[..],
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(tried) = tried else { return Ok(false) };
        if !tried.right {
            let event = Event { kind: "email.code_refused", target: format!("User::{}", who.user), details: json!({}) };
            event.record(tx, &who.actor()).await?;
            return Ok(false);
        }
        sqlx::query!("delete from identity.email_codes where user_id = $1", who.user.uuid()).execute(&mut **tx).await?;
        sqlx::query!("update identity.users set confirmed_email = $2 where id = $1", who.user.uuid(), tried.email)
            .execute(&mut **tx)
            .await?;
        let event = Event { kind: "email.verified", target: format!("User::{}", who.user), details: json!({}) };
        event.record(tx, &who.actor()).await?;
        Ok(true)
    }
}
