use audit::Event;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use serde_json::{Value, json};
use sqlx::types::Json;
use tenancy::{Account, Identity as IdentityPlane, Tx, UserId, Write};
use url::Url;
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Context, Error};
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential,
    WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::limit::Limit;
use crate::secret::{Hash, Token, hash};
use crate::session::{Arrival, actor};
use crate::{Authn, ConfigError, NewCookie, SignInFailure, SignedIn};

/// Time to answer a challenge.
const LIFETIME: Duration = Duration::minutes(5);
/// Challenges to one person who is signed in.
const CHALLENGES: Limit = Limit { name: "challenge", at_once: 30, every: Duration::seconds(20) };
/// Most passkeys of one person: enough for every device, and a bound on what one account can store.
const MOST: i64 = 20;

/// The relying party of `public_url`: its host is the id, it alone is the origin.
pub(crate) fn relying_party(public_url: &str) -> Result<Webauthn, ConfigError> {
    let url: Url = public_url.parse().map_err(|_| ConfigError::PublicUrl)?;
    let host = url.domain().ok_or(ConfigError::PublicUrl)?;
    let builder = WebauthnBuilder::new(host, &url).map_err(|_| ConfigError::PublicUrl)?;
    builder.rp_name("Holdfast").build().map_err(|_| ConfigError::PublicUrl)
}

/// Why a passkey was not accepted. Says what a person can be told; the reason is in the log and the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyFailure {
    /// No challenge for this browser: used already, too old, or given out for something else.
    NotUnderWay,
    /// The answer proves nothing.
    Refused,
    /// The signature counter went back: two devices have this key. It is disabled from now on.
    Cloned,
    /// The passkey is registered already.
    Known,
    /// The account has as many passkeys as it may.
    TooMany,
}

/// A challenge, as the response that gives it to the browser: the options for `navigator.credentials` as JSON, and a
/// cookie that ties the answer to this browser.
#[derive(Debug)]
pub struct Challenge {
    kind: &'static str,
    options: Value,
    handle: String,
}

impl IntoResponse for Challenge {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let mut response = ([(header::CONTENT_TYPE, kind)], self.options.to_string()).into_response();
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        cookie::set(response.headers_mut(), &cookie_of(self.kind), &self.handle, SameSite::Strict, Some(seconds));
        response
    }
}

/// Proof that its holder has just made a passkey, with their verification.
#[derive(Debug)]
pub struct Enrolled(Uuid);

/// Somebody proved a passkey.
pub(crate) struct Proof {
    pub(crate) user: UserId,
    pub(crate) passkey: Uuid,
}

/// What a challenge was given out for.
#[derive(Clone, Copy)]
enum Purpose {
    SignIn,
    StepUp { user: UserId, session: Uuid },
}

impl Authn {
    /// Begins to enrol a passkey: user verification required, and none of those they have.
    pub async fn start_enrolment(&self, tx: &mut Tx<Write, Account>, who: &SignedIn) -> Result<Challenge, Error> {
        let known = sqlx::query_scalar!("select credential_id from identity.passkeys").fetch_all(&mut **tx).await?;
        let name = if who.email.is_empty() { &who.name } else { &who.email };
        let (options, state) =
            self.0.webauthn.start_passkey_registration(who.user.uuid(), name, &who.name, Some(known))?;
        let mut options = serde_json::to_value(options)?["publicKey"].take();
        // So that it can sign in by itself where the device can keep it.
        options["authenticatorSelection"]["residentKey"] = json!("preferred");
        let handle = Token::new()?;
        sqlx::query!("delete from identity.ceremonies where session_id = $1 and kind = 'enrol'", who.session)
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "insert into identity.ceremonies (handle_hash, kind, user_id, session_id, state, expires_at)
             values ($1, 'enrol', $2, $3, $4, $5)",
            &handle.hash()[..],
            who.user.uuid(),
            who.session,
            serde_json::to_value(&state)?,
            self.0.clock.now() + LIFETIME,
        )
        .execute(&mut **tx)
        .await?;
        Ok(Challenge { kind: "enrol", options, handle: handle.reveal().to_owned() })
    }

    /// Enrols the passkey that answers the challenge of this browser and session. The challenge is used up with the
    /// caller's transaction, whatever comes of it.
    pub async fn finish_enrolment(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        headers: &HeaderMap,
        name: &str,
        answer: &str,
    ) -> Result<Result<Enrolled, PasskeyFailure>, Error> {
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let outcome = self.enrol(tx, who, headers, name, &answer).await?;
        let event = match &outcome {
            Ok(passkey) => {
                let target = format!("Passkey::{passkey}");
                Event { kind: "passkey.enrolled", target, details: json!({ "name": name }) }
            }
            Err((_, reason)) => {
                tracing::warn!(reason, "passkey not enrolled");
                let details = json!({ "reason": reason });
                Event { kind: "passkey.not_enrolled", target: format!("User::{}", who.user), details }
            }
        };
        event.record(tx, &who.actor()).await?;
        Ok(outcome.map(Enrolled).map_err(|(failure, _)| failure))
    }

    async fn enrol(
        &self,
        tx: &mut Tx<Write, Account>,
        who: &SignedIn,
        headers: &HeaderMap,
        name: &str,
        answer: &RegisterPublicKeyCredential,
    ) -> Result<Result<Uuid, (PasskeyFailure, String)>, Error> {
        let now = self.0.clock.now();
        let state = sqlx::query_scalar!(
            r#"delete from identity.ceremonies where handle_hash = $1 and session_id = $2 and expires_at > $3
               returning state as "state: Json<PasskeyRegistration>""#,
            &handle_of(headers, "enrol")[..],
            who.session,
            now,
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(Json(state)) = state else {
            return Ok(Err((PasskeyFailure::NotUnderWay, "no challenge for this browser and session".to_owned())));
        };
        let passkey = match self.0.webauthn.finish_passkey_registration(answer, &state) {
            Ok(passkey) => passkey,
            Err(error) => return Ok(Err((PasskeyFailure::Refused, error.to_string()))),
        };
        if !(16..=1023).contains(&passkey.cred_id().len()) {
            return Ok(Err((PasskeyFailure::Refused, "a credential id of a length no authenticator makes".to_owned())));
        }
        let count = sqlx::query_scalar!(r#"select count(*) as "count!" from identity.passkeys"#);
        if count.fetch_one(&mut **tx).await? >= MOST {
            return Ok(Err((PasskeyFailure::TooMany, "as many passkeys as an account may have".to_owned())));
        }
        let id = Uuid::now_v7();
        let inserted = sqlx::query!(
            "insert into identity.passkeys (id, user_id, credential_id, credential, name, created_at, enrolled_with)
             select $1, $2, $3, $4, $5, $6, (select passkey_id from identity.sessions where id = $7)
             on conflict do nothing",
            id,
            who.user.uuid(),
            passkey.cred_id().as_slice(),
            serde_json::to_value(&passkey)?,
            name,
            now,
            who.session,
        )
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Err((PasskeyFailure::Known, "the credential is registered already".to_owned())));
        }
        Ok(Ok(id))
    }

    /// Begins a sign-in with a passkey alone: whose it is the browser tells.
    pub async fn start_passkey_sign_in(&self, context: &Context) -> Result<Challenge, Error> {
        self.count(self.0.limits.sign_in("start"), &context.client.network).await?;
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let challenge = self.challenge(&mut tx, Purpose::SignIn, &[]).await?;
        tx.commit().await?;
        Ok(challenge)
    }

    /// Signs in whoever answers the challenge of this browser.
    pub async fn finish_passkey_sign_in(
        &self,
        answer: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<NewCookie, SignInFailure>, Error> {
        let answer = read(answer)?;
        self.count(self.0.limits.sign_in("answer"), &context.client.network).await?;
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let proof = self.prove(&mut tx, Purpose::SignIn, &answer, headers, context).await?;
        let by = actor(context, proof.as_ref().ok().map(|proof| proof.user.uuid()), None);
        let refused = match &proof {
            Ok(proof) if is_locked(&mut tx, proof.user).await? => {
                Some((SignInFailure::Locked, "the account is locked"))
            }
            Ok(_) => None,
            Err((PasskeyFailure::NotUnderWay, reason)) => Some((SignInFailure::NotUnderWay, &**reason)),
            Err((_, reason)) => Some((SignInFailure::Refused, &**reason)),
        };
        let (Ok(proof), None) = (&proof, refused) else {
            let (failure, reason) = refused.unwrap_or((SignInFailure::Refused, ""));
            tracing::warn!(reason, "sign-in with a passkey failed");
            // An answer to no challenge of this browser is only in the log: anybody can send any number of them.
            if failure != SignInFailure::NotUnderWay {
                let details = json!({ "provider": "passkey", "reason": reason });
                Event { kind: "sign_in.failed", target: "Passkey".to_owned(), details }.record(&mut tx, &by).await?;
            }
            tx.commit().await?;
            return Ok(Err(failure));
        };
        if let Some(here) = self.session_here(&mut tx, headers).await? {
            self.end_replaced(&mut tx, here, context).await?;
        }
        let arrival = Arrival::by_passkey(proof.passkey, self.0.clock.now());
        let (session, token) = self.create_session(&mut tx, proof.user.uuid(), arrival, context).await?;
        let by = actor(context, Some(proof.user.uuid()), Some(session));
        let details = json!({ "passkey": proof.passkey, "device": context.client.device });
        let event = Event { kind: "sign_in.succeeded", target: format!("Session::{session}"), details };
        event.record(&mut tx, &by).await?;
        tx.commit().await?;
        Ok(Ok(NewCookie::of(&token)))
    }

    /// Asks for one of the person's passkeys, for this session. `None` where they have none.
    pub async fn start_step_up(&self, who: &SignedIn) -> Result<Option<Challenge>, Error> {
        self.count(CHALLENGES, &who.user.to_string()).await?;
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let own = sqlx::query_scalar!(
            "select credential_id from identity.passkeys where user_id = $1 and disabled_at is null order by id",
            who.user.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        if own.is_empty() {
            return Ok(None);
        }
        let purpose = Purpose::StepUp { user: who.user, session: who.session };
        let challenge = self.challenge(&mut tx, purpose, &own).await?;
        tx.commit().await?;
        Ok(Some(challenge))
    }

    async fn challenge(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        purpose: Purpose,
        allowed: &[Vec<u8>],
    ) -> Result<Challenge, Error> {
        let now = self.0.clock.now();
        // What nobody answered, a bounded number at a time. By one request at a time: two would wait for each other.
        sqlx::query!(
            "delete from identity.ceremonies where handle_hash in
               (select handle_hash from identity.ceremonies where expires_at < $1 order by expires_at limit 20)
               and (select pg_try_advisory_xact_lock(hashtextextended('identity.ceremonies', 0)))",
            now,
        )
        .execute(&mut **tx)
        .await?;
        // The library's own list of credentials would be a snapshot; theirs is read again when the answer comes.
        let (options, state) = self.0.webauthn.start_discoverable_authentication()?;
        let mut state = serde_json::to_value(&state)?;
        // A passkey of one device becomes one of several when its holder turns synchronization on. The library allows it
        // where it knows the person beforehand.
        state["ast"]["allow_backup_eligible_upgrade"] = json!(true);
        let mut options = serde_json::to_value(options)?["publicKey"].take();
        let credential = |id: &Vec<u8>| json!({ "type": "public-key", "id": crate::secret::base64url(id) });
        options["allowCredentials"] = allowed.iter().map(credential).collect();
        let handle = Token::new()?;
        let (kind, user, session) = purpose.columns();
        sqlx::query!("delete from identity.ceremonies where session_id = $1 and kind = $2", session, kind)
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "insert into identity.ceremonies (handle_hash, kind, user_id, session_id, state, expires_at)
             values ($1, $2, $3, $4, $5, $6)",
            &handle.hash()[..],
            kind,
            user,
            session,
            state,
            now + LIFETIME,
        )
        .execute(&mut **tx)
        .await?;
        Ok(Challenge { kind, options, handle: handle.reveal().to_owned() })
    }

    /// Checks an answer (WebAuthn Level 3, section 7.2). The challenge is taken first and the credential read anew under
    /// a lock, so that of two answers to one challenge, or with one counter, one is accepted. The caller commits whatever
    /// comes of it: the challenge is used up.
    pub(crate) async fn prove_for_step_up(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        answer: &str,
        headers: &HeaderMap,
    ) -> Result<Result<Proof, (PasskeyFailure, String)>, Error> {
        let purpose = Purpose::StepUp { user: who.user, session: who.session };
        self.prove(tx, purpose, &read(answer)?, headers, who.context()).await
    }

    async fn prove(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        purpose: Purpose,
        answer: &PublicKeyCredential,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<Proof, (PasskeyFailure, String)>, Error> {
        let refused = |reason: &str| Ok(Err((PasskeyFailure::Refused, reason.to_owned())));
        let now = self.0.clock.now();
        let (kind, user, session) = purpose.columns();
        let state = sqlx::query_scalar!(
            r#"delete from identity.ceremonies
                where handle_hash = $1 and kind = $2 and session_id is not distinct from $3 and expires_at > $4
               returning state as "state: Json<DiscoverableAuthentication>""#,
            &handle_of(headers, kind)[..],
            kind,
            session,
            now,
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(Json(state)) = state else {
            return Ok(Err((PasskeyFailure::NotUnderWay, "no challenge for this browser and purpose".to_owned())));
        };
        let stored = sqlx::query!(
            r#"select id, user_id, credential as "credential: Json<Passkey>", disabled_at
                 from identity.passkeys where credential_id = $1 for update"#,
            answer.get_credential_id(),
        )
        .fetch_optional(&mut **tx)
        .await?;
        let Some(stored) = stored else {
            return refused("no such credential");
        };
        // Whose credential it is must be whose it is said to be: by the session, or by the authenticator.
        let named = answer.get_user_unique_id().map(Uuid::from_slice);
        let agrees = match (user, named) {
            (Some(user), None) => user == stored.user_id,
            (Some(user), Some(named)) => user == stored.user_id && named == Ok(user),
            (None, named) => named == Some(Ok(stored.user_id)),
        };
        if !agrees {
            return refused("somebody else's credential");
        }
        if stored.disabled_at.is_some() {
            return refused("the passkey is disabled");
        }
        let mut passkey = stored.credential.0;
        let result = match self.0.webauthn.finish_discoverable_authentication_v2(answer, state, &passkey) {
            Ok(result) => result,
            Err(WebauthnError::CredentialPossibleCompromise) => {
                self.disable_cloned(tx, stored.id, stored.user_id, context).await?;
                return Ok(Err((PasskeyFailure::Cloned, "the signature counter went back".to_owned())));
            }
            Err(error) => return refused(&error.to_string()),
        };
        passkey.update_credential(&result);
        sqlx::query!(
            "update identity.passkeys set credential = $2, last_used_at = $3 where id = $1",
            stored.id,
            serde_json::to_value(&passkey)?,
            now,
        )
        .execute(&mut **tx)
        .await?;
        Ok(Ok(Proof { user: stored.user_id.into(), passkey: stored.id }))
    }

    /// Two devices hold the key, and one of them is not its owner's: it proves nothing any more, nor do the passkeys that
    /// were made with it, and every session of the person ends. Which of them are the owner's nobody can say.
    async fn disable_cloned(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        passkey: Uuid,
        user: Uuid,
        context: &Context,
    ) -> Result<(), Error> {
        let now = self.0.clock.now();
        let disabled = sqlx::query_scalar!(
            "with recursive copied as (
               select p.id from identity.passkeys p where p.id = $1
               union select p.id from identity.passkeys p join copied c on p.enrolled_with = c.id)
             update identity.passkeys p set disabled_at = $2, disabled_why = 'it was copied, or made with one that was'
               from copied c where p.id = c.id and p.disabled_at is null returning p.id",
            passkey,
            now,
        )
        .fetch_all(&mut **tx)
        .await?;
        let ended = sqlx::query_scalar!(
            "update identity.sessions set ended_at = $2, ended_why = 'a passkey was copied'
              where user_id = $1 and ended_at is null returning id",
            user,
            now,
        )
        .fetch_all(&mut **tx)
        .await?;
        let reason = "the signature counter went back";
        let details = json!({ "reason": reason, "disabled": disabled, "sessions_ended": ended });
        let event = Event { kind: "passkey.disabled", target: format!("Passkey::{passkey}"), details };
        event.record(tx, &actor(context, Some(user), None)).await?;
        Ok(())
    }

    /// Counts a passkey that was made in this session as proved in it. The session gets a new token.
    pub async fn step_up_by_enrolment(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        enrolled: Enrolled,
    ) -> Result<NewCookie, Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let cookie = self.note_proof(&mut tx, who, headers, enrolled.0).await?;
        tx.commit().await?;
        Ok(cookie)
    }
}

impl Purpose {
    fn columns(self) -> (&'static str, Option<Uuid>, Option<Uuid>) {
        match self {
            Self::SignIn => ("sign_in", None, None),
            Self::StepUp { user, session } => ("step_up", Some(user.uuid()), Some(session)),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(answer: &str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|_| Error::Malformed("What was sent is no answer of a passkey."))
}

/// The hash of the handle in the cookie; of nothing where there is none, which no row has.
fn handle_of(headers: &HeaderMap, kind: &str) -> Hash {
    cookie::get(headers, &cookie_of(kind)).map(hash).unwrap_or_default()
}

/// One for each kind, so that a tab that does one thing does not end what another one does.
fn cookie_of(kind: &str) -> String {
    format!("ceremony-{kind}")
}

async fn is_locked(tx: &mut Tx<Write, IdentityPlane>, user: UserId) -> Result<bool, Error> {
    let locked = sqlx::query_scalar!(
        r#"select (locked_at is not null) as "locked!" from identity.users where id = $1"#,
        user.uuid(),
    );
    Ok(locked.fetch_one(&mut **tx).await?)
}
