use audit::Event;
use axum::http::HeaderMap;
use serde_json::json;
use tenancy::{Account, Read, Tx, Write};
use uuid::Uuid;
use web::Error;
use webauthn_rs::prelude::{PasskeyRegistration, RegisterPublicKeyCredential};

use super::{Challenge, PasskeyFailure, Purpose, read};
use crate::{AccountNotification, Authn, NewCookie, SignedIn};

/// The maximum number of passkeys of one person. It is enough for every device, and limits what one account can store.
const MAX_PASSKEYS: i64 = 20;

/// Proof that the person has just created a passkey, with user verification.
#[derive(Debug)]
pub struct NewPasskey {
    passkey: Uuid,
    discoverable: Option<bool>,
}

impl NewPasskey {
    /// Whether the passkey is discoverable, so that it can sign in without a provider. The browser reports this without
    /// a signature, so only texts depend on it.
    #[must_use]
    pub fn discoverable(&self) -> Option<bool> {
        self.discoverable
    }
}

/// The credentials of a person. A device with one of them does not create another one, which would replace it there.
#[derive(Debug)]
pub struct ExistingCredentials(Vec<Vec<u8>>);

impl Authn {
    /// Counts a challenge to create a passkey, and finds the credentials of every bond that the challenge must exclude.
    /// Call it before the transaction, because a request never holds two connections.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] above the rate limit.
    pub async fn known_credentials(&self, who: &SignedIn) -> Result<ExistingCredentials, Error> {
        self.check_challenge_rate_limit(who).await?;
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        let known =
            sqlx::query_scalar!("select credential_id from identity.passkeys where user_id = $1", who.user.uuid());
        Ok(ExistingCredentials(known.fetch_all(&mut *tx).await?))
    }

    /// Starts the creation of a passkey. It requires user verification and excludes existing passkeys.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn start_enrolment(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        ExistingCredentials(known): ExistingCredentials,
    ) -> Result<Challenge, Error> {
        let name = if who.email.is_empty() { &who.name } else { &who.email };
        let (options, state) =
            self.0.webauthn.start_passkey_registration(who.user.uuid(), name, &who.name, Some(known))?;
        let mut options = serde_json::to_value(options)?["publicKey"].take();
        // A resident key is preferred, so the passkey can sign in by itself if the device can store it. It is not
        // required, because a key without storage is a good second factor. The browser reports which one it is
        // (`credProps`, which the library requests).
        options["authenticatorSelection"]["residentKey"] = json!("preferred");
        self.issue_challenge(tx, Purpose::registration(who), options, serde_json::to_value(&state)?).await
    }

    /// Stores the passkey that responds to the challenge of this browser and session. The challenge is used up in any
    /// case, in the caller's transaction.
    ///
    /// # Errors
    ///
    /// The database fails. The inner error says why the passkey is not accepted.
    pub async fn finish_enrolment(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        headers: &HeaderMap,
        name: &str,
        answer: &str,
    ) -> Result<Result<NewPasskey, PasskeyFailure>, Error> {
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let outcome = self.enrol(tx, who, headers, name, &answer).await?;
        let event = match &outcome {
            Ok(NewPasskey { passkey, .. }) => {
                let target = format!("Passkey::{passkey}");
                Event { kind: "passkey.enrolled", target, details: json!({ "name": name }) }
            }
            Err((_, reason)) => {
                tracing::warn!(reason, "passkey enrollment failed");
                let details = json!({ "reason": reason });
                Event { kind: "passkey.not_enrolled", target: format!("User::{}", who.user), details }
            }
        };
        event.record(tx, &who.actor()).await?;
        if let Ok(NewPasskey { discoverable, .. }) = outcome {
            let notice = AccountNotification::PasskeyAdded { name: name.to_owned(), discoverable };
            self.notify(tx, who.user, &notice, who.context()).await?;
        }
        Ok(outcome.map_err(|(failure, _)| failure))
    }

    async fn enrol(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        headers: &HeaderMap,
        name: &str,
        answer: &RegisterPublicKeyCredential,
    ) -> Result<Result<NewPasskey, (PasskeyFailure, String)>, Error> {
        let Some(state) = self.take::<_, PasskeyRegistration>(tx, Purpose::registration(who), headers).await? else {
            return Ok(Err((PasskeyFailure::NoChallenge, "no challenge for this browser and session".to_owned())));
        };
        if !crate::session::lock_session(tx, who).await? {
            return Ok(Err((PasskeyFailure::NoChallenge, "the session has ended".to_owned())));
        }
        let passkey = match self.0.webauthn.finish_passkey_registration(answer, &state) {
            Ok(passkey) => passkey,
            Err(error) => return Ok(Err((PasskeyFailure::Refused, error.to_string()))),
        };
        if !(16..=1023).contains(&passkey.cred_id().len()) {
            return Ok(Err((
                PasskeyFailure::Refused,
                "the credential id has a length that no authenticator uses".to_owned(),
            )));
        }
        // Only one request per person runs this at a time, so parallel requests do not exceed the maximum.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 3))", who.user.uuid())
            .execute(&mut **tx)
            .await?;
        let count = sqlx::query_scalar!(r#"select count(*) as "count!" from identity.passkeys"#);
        if count.fetch_one(&mut **tx).await? >= MAX_PASSKEYS {
            return Ok(Err((PasskeyFailure::TooMany, "the account has the maximum number of passkeys".to_owned())));
        }
        let (id, discoverable) = (Uuid::now_v7(), answer.extensions.cred_props.as_ref().and_then(|props| props.rk));
        let inserted = sqlx::query!(
            "insert into identity.passkeys (id, user_id, credential_id, credential, name, discoverable, created_at, enrolled_with)
             select $1, $2, $3, $4, $5, $6, $7, s.passkey_id from identity.sessions s where s.id = $8
             on conflict do nothing",
            id,
            who.user.uuid(),
            passkey.cred_id().as_slice(),
            serde_json::to_value(&passkey)?,
            name,
            discoverable,
            self.0.clock.now(),
            who.session,
        )
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Err((PasskeyFailure::AlreadyRegistered, "the credential is already registered".to_owned())));
        }
        Ok(Ok(NewPasskey { passkey: id, discoverable }))
    }

    /// Counts a new passkey as verified in this session. The session gets a new token.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] if the session has ended.
    pub async fn step_up_by_enrolment(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        enrolled: NewPasskey,
    ) -> Result<NewCookie, Error> {
        let mut tx = self.begin_for(who).await?;
        let cookie = self.record_proof(&mut tx, who, headers, enrolled.passkey).await?;
        tx.commit().await?;
        Ok(cookie)
    }
}
