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

pub use enrolment::{ExistingCredentials, NewPasskey};

/// How long a challenge is valid.
const LIFETIME: Duration = Duration::minutes(5);

/// Creates the relying party of `public_url`. Its id is the host, and its only origin is the URL.
pub(crate) fn relying_party(public_url: &str) -> Result<Webauthn, ConfigError> {
    let url: Url = public_url.parse().map_err(|_| ConfigError::PublicUrl)?;
    let host = url.domain().ok_or(ConfigError::PublicUrl)?;
    let builder = WebauthnBuilder::new(host, &url).map_err(|_| ConfigError::PublicUrl)?;
    builder.rp_name("Holdfast").build().map_err(|_| ConfigError::PublicUrl)
}

/// Why a passkey was not accepted, as far as the person may know. The details are in the log and the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyFailure {
    /// There is no challenge for this browser. It was used, has expired, or was issued for another purpose.
    NoChallenge,
    /// The response is not valid.
    Refused,
    /// The signature counter went back, so two devices have this key. The passkey is now disabled.
    Cloned,
    /// The passkey is already registered.
    AlreadyRegistered,
    /// The account has the maximum number of passkeys.
    TooMany,
}

/// A challenge for the browser. It consists of the options for `navigator.credentials` as JSON, and a cookie that binds
/// the response to this browser.
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

/// The purpose of a challenge, and who it is issued to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    SignIn,
    Enrol(ChallengeOwner),
    StepUp(ChallengeOwner),
}

/// The person and session that a challenge is issued to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChallengeOwner {
    user: Uuid,
    session: Uuid,
    /// The bond of the session.
    sso_tenant: Option<TenantId>,
}

impl ChallengeOwner {
    fn of(who: &SignedIn) -> Self {
        Self { user: who.user.uuid(), session: who.session, sso_tenant: who.sso_tenant }
    }
}

impl Purpose {
    pub(crate) fn registration(who: &SignedIn) -> Self {
        Self::Enrol(ChallengeOwner::of(who))
    }

    pub(crate) fn step_up(who: &SignedIn) -> Self {
        Self::StepUp(ChallengeOwner::of(who))
    }

    fn kind(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Enrol(_) => "enrol",
            Self::StepUp(_) => "step_up",
        }
    }

    fn owner(self) -> Option<ChallengeOwner> {
        match self {
            Self::SignIn => None,
            Self::Enrol(owner) | Self::StepUp(owner) => Some(owner),
        }
    }

    /// Returns the name of the cookie. Each purpose has its own cookie, so tabs with different purposes do not disturb
    /// each other.
    fn cookie(self) -> String {
        format!("ceremony-{}", self.kind())
    }

    /// Returns the hash of the handle in the cookie. Without a cookie, it is a hash that no row has.
    fn handle(self, headers: &HeaderMap) -> Hash {
        cookie::get(headers, &self.cookie()).map(hash).unwrap_or_default()
    }
}

impl Authn {
    /// Stores the state that verifies the response to `options`. A session has one challenge for each purpose. A new
    /// challenge replaces the old one.
    async fn issue_challenge<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        purpose: Purpose,
        options: Value,
        state: Value,
    ) -> Result<Challenge, Error> {
        let (handle, owner) = (Token::new()?, purpose.owner());
        let session = owner.map(|owner| owner.session);
        sqlx::query!("delete from identity.ceremonies where session_id = $1 and kind = $2", session, purpose.kind())
            .execute(&mut **tx)
            .await?;
        sqlx::query!(
            "insert into identity.ceremonies (handle_hash, kind, user_id, session_id, state, expires_at)
             values ($1, $2, $3, $4, $5, $6)",
            &handle.hash()[..],
            purpose.kind(),
            owner.map(|owner| owner.user),
            session,
            state,
            self.0.clock.now() + LIFETIME,
        )
        .execute(&mut **tx)
        .await?;
        Ok(Challenge { purpose, options, handle: handle.reveal().to_owned() })
    }

    /// Takes the challenge of this browser, session and purpose. A second response finds none.
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
            purpose.owner().map(|owner| owner.session),
            self.0.clock.now(),
        );
        Ok(state.fetch_optional(&mut **tx).await?.map(|Json(state)| state))
    }
}

/// Parses the browser's response, as the script sends it.
pub(crate) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|_| Error::Malformed("This is not a response of a passkey."))
}
