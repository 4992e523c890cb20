use audit::Actor;
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponseParts, ResponseParts};
use chrono::{DateTime, Utc};
use tenancy::{Account, Scope, SessionFacts, UserId};
use uuid::Uuid;
use web::{Context, Error};

use crate::Authn;
use crate::secret::Token;

/// Somebody with a live session, and what the session says of how they came. Nothing in it depends on an organization.
///
/// It cannot be made by hand:
///
/// ```compile_fail,E0451
/// fn forge(who: authn::SignedIn) -> authn::SignedIn {
///     authn::SignedIn { user: tenancy::UserId::new(), ..who }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The person.
    pub user: UserId,
    /// The session (its id, not its token).
    pub session: Uuid,
    /// Display name, as the provider gave it.
    pub name: String,
    /// E-mail address, as the provider gave it. Never a key.
    pub email: String,
    /// The provider says the address is theirs.
    pub email_verified: bool,
    /// Who vouches for them.
    pub issuer: String,
    /// Under which subject.
    pub subject: String,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How: `oidc`, and what the provider says it did.
    pub methods: Vec<String>,
    /// Device family at sign-in.
    pub device: String,
    /// Network at sign-in.
    pub network: String,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    context: Context,
}

impl SignedIn {
    pub(crate) fn new(session: SessionFacts, context: Context) -> Self {
        Self {
            user: session.user,
            session: session.id,
            name: session.display_name,
            email: session.email,
            email_verified: session.email_verified,
            issuer: session.issuer,
            subject: session.subject,
            auth_time: session.auth_time,
            methods: session.methods,
            device: session.device,
            network: session.network,
            created_at: session.created_at,
            expires_at: session.expires_at,
            context,
        }
    }

    /// How unusual this session looks, 0 to 100, for policies. Nothing is measured yet, so nothing looks unusual.
    #[must_use]
    pub fn risk_score(&self) -> i64 {
        0
    }

    /// The request they are making.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Who does what this request does, for the audit trail.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            user: Some(self.user),
            session: Some(self.session),
            request: self.context.request,
            network: self.context.client.network.clone(),
        }
    }
}

impl<S> FromRequestParts<S> for SignedIn
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let (who, _, _) = Authn::from_ref(state).enter::<Account>(parts, Scope::default()).await?;
        Ok(who)
    }
}

impl<S> OptionalFromRequestParts<S> for SignedIn
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(who) => Ok(Some(who)),
            Err(Error::Unauthenticated) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The cookie of a session that has just begun. Part of the response that gives it to the browser.
#[derive(Debug)]
pub struct NewCookie(String);

impl NewCookie {
    pub(crate) fn of(token: &Token) -> Self {
        Self(token.reveal().to_owned())
    }
}

impl IntoResponseParts for NewCookie {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        crate::session::set_cookie(response.headers_mut(), &self.0);
        crate::login::remove_cookie(response.headers_mut());
        Ok(response)
    }
}
