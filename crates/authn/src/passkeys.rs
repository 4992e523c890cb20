mod decoy;
mod enrolment;
mod proof;
mod sign_in;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::types::Json;
use tenancy::{Plane, TenantId, Tx, Write};
use url::Url;
use uuid::Uuid;
use web::Error;
use web::cookie::{self, SameSite};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::secret::{Hash, Token, hash};
use crate::{Authn, ConfigError, SignedIn};

pub use enrolment::{Enrolled, KnownCredentials};

/// Time to answer a challenge.
const LIFETIME: Duration = Duration::minutes(5);

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
    purpose: Purpose,
    options: Value,
    handle: String,
}

impl IntoResponse for Challenge {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        let mut response = ([(header::CONTENT_TYPE, kind)], self.options.to_string()).into_response();
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        cookie::set(response.headers_mut(), &self.purpose.cookie(), &self.handle, SameSite::Strict, Some(seconds));
        response
    }
}

/// What a challenge is given out for, and to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    SignIn,
    Enrol(Asker),
    StepUp(Asker),
}

/// The person and the session a challenge is given to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    user: Uuid,
    session: Uuid,
    /// The bond of the session.
    sign_on: Option<TenantId>,
}

impl Asker {
    fn of(who: &SignedIn) -> Self {
        Self { user: who.user.uuid(), session: who.session, sign_on: who.sign_on }
    }
}

impl Purpose {
    pub(crate) fn enrol(who: &SignedIn) -> Self {
        Self::Enrol(Asker::of(who))
    }

    pub(crate) fn step_up(who: &SignedIn) -> Self {
        Self::StepUp(Asker::of(who))
    }

    fn kind(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Enrol(_) => "enrol",
            Self::StepUp(_) => "step_up",
        }
    }

    fn asker(self) -> Option<Asker> {
        match self {
            Self::SignIn => None,
            Self::Enrol(asker) | Self::StepUp(asker) => Some(asker),
        }
    }

    /// Name of its cookie: one for each kind, so that a tab that does one thing does not end what another one does.
    fn cookie(self) -> String {
        format!("ceremony-{}", self.kind())
    }

    /// The hash of the handle in the cookie; of nothing where there is none, which no row has.
    fn handle(self, headers: &HeaderMap) -> Hash {
        cookie::get(headers, &self.cookie()).map(hash).unwrap_or_default()
    }
}

impl Authn {
    /// Keeps what an answer to `options` will be checked with, once. A session has one challenge of a kind; the one before
    /// ends.
    async fn give_out<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        purpose: Purpose,
        options: Value,
        state: Value,
    ) -> Result<Challenge, Error> {
        let (handle, asker) = (Token::new()?, purpose.asker());
        let session = asker.map(|asker| asker.session);
        sqlx::query!("delete from identity.ceremonies where session_id = $1 and kind = $2", session, purpose.kind())
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "insert into identity.ceremonies (handle_hash, kind, user_id, session_id, state, expires_at)
             values ($1, $2, $3, $4, $5, $6)",
            &handle.hash()[..],
            purpose.kind(),
            asker.map(|asker| asker.user),
            session,
            state,
            self.0.clock.now() + LIFETIME,
        )
        .execute(&mut **tx)
        .await?;
        Ok(Challenge { purpose, options, handle: handle.reveal().to_owned() })
    }

    /// Takes the challenge of this browser, session and purpose: of two answers to one the second finds none.
    async fn take<P: Plane, T: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        tx: &mut Tx<Write, P>,
        purpose: Purpose,
        headers: &HeaderMap,
    ) -> Result<Option<T>, Error> {
        let state = sqlx::query_scalar!(
            r#"delete from identity.ceremonies
                where handle_hash = $1 and kind = $2 and session_id is not distinct from $3 and expires_at > $4
               returning state as "state: Json<T>""#,
            &purpose.handle(headers)[..],
            purpose.kind(),
            purpose.asker().map(|asker| asker.session),
            self.0.clock.now(),
        );
        Ok(state.fetch_optional(&mut **tx).await?.map(|Json(state)| state))
    }
}

/// The answer of a browser, as its script sends it.
pub(crate) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|_| Error::Malformed("What was sent is no answer of a passkey."))
}
