use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use audit::Actor;
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};
use tenancy::{Account, RequestAccess, Scope, SessionFacts};
use web::{Context, Error};

use crate::secret::Hash;
use crate::{Authn, RateLimit};

/// The action name of forms that need only a session.
const CONFIRM_ACTION: &str = "ConfirmYourIdentity";

/// A person with a live session, with the facts of that session ([`SessionFacts`]). Nothing in it depends on an organization.
///
/// It cannot be constructed or changed elsewhere:
///
/// ```compile_fail,E0451
/// fn forge(who: authn::SignedIn, context: web::Context) -> authn::SignedIn {
///     authn::SignedIn { context, ..who }
/// }
/// ```
///
/// ```compile_fail,E0594
/// fn turn(mut who: authn::SignedIn) {
///     who.user = tenancy::UserId::new();
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SignedIn {
    facts: SessionFacts,
    /// Hash of the token, to look the session up again when the request writes.
    token_hash: Hash,
    context: Context,
    risk_score: i64,
    enrolled: EnrolledFactors,
    /// How they act in the organization of the path, for the audit trail.
    audit_context: Map<String, Value>,
}

/// The factors that a person can use in the session: their own, and those of the organization that the session depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnrolledFactors {
    /// They have a passkey, even if it is disabled.
    pub passkey: bool,
    /// They have an authenticator app. Always false once a passkey was verified in the session: no code is accepted then.
    pub totp: bool,
}

/// The facts of the look-up about a kind of factor.
#[derive(Deserialize)]
struct FactorFacts {
    enrolled: bool,
}

impl EnrolledFactors {
    fn of(session: &SessionFacts) -> Result<Self, Error> {
        if session.passkey_at.is_some() {
            return Ok(Self { passkey: true, totp: false });
        }
        // SECURITY: creating a first passkey needs no other one. So a look-up without the fact must not be read as "none".
        let passkeys: FactorFacts = session
            .facts
            .of("passkeys")?
            .ok_or_else(|| Error::internal("the look-up of the session has no fact about passkeys"))?;
        let totp: Option<FactorFacts> = session.facts.of("totp")?;
        Ok(Self { passkey: passkeys.enrolled, totp: totp.is_some_and(|totp| totp.enrolled) })
    }
}

impl Deref for SignedIn {
    type Target = SessionFacts;

    fn deref(&self) -> &SessionFacts {
        &self.facts
    }
}

/// The person of a request, for a page that is rendered after its handler has failed. It is in the request's extensions if there are
/// such pages. [`Authn::authenticate`] sets it.
#[derive(Clone, Debug, Default)]
pub struct RequestPerson(Arc<OnceLock<SignedIn>>);

impl RequestPerson {
    /// The person, if the request has a live session and a guard has looked it up.
    #[must_use]
    pub fn get(&self) -> Option<&SignedIn> {
        self.0.get()
    }

    pub(crate) fn note(parts: &Parts, who: &SignedIn) {
        if let Some(Self(person)) = parts.extensions.get() {
            person.get_or_init(|| who.clone());
        }
    }
}

impl SignedIn {
    /// # Errors
    ///
    /// [`Error::Internal`] if the look-up has a fact about a factor that cannot be parsed.
    pub(crate) fn new(
        facts: SessionFacts,
        token_hash: Hash,
        context: Context,
        risk_score: i64,
        access: &RequestAccess,
    ) -> Result<Self, Error> {
        let (enrolled, audit_context) = (EnrolledFactors::of(&facts)?, access.audit_context());
        Ok(Self { facts, token_hash, context, risk_score, enrolled, audit_context })
    }

    /// The factors that they can use in the session.
    #[must_use]
    pub fn enrolled(&self) -> EnrolledFactors {
        self.enrolled
    }

    pub(crate) fn token_hash(&self) -> &Hash {
        &self.token_hash
    }

    /// How unusual this request looks for its session, 0 to 100. For policies.
    #[must_use]
    pub fn risk_score(&self) -> i64 {
        self.risk_score
    }

    /// Whether a decision about one also holds for the other: the same session, with the same proofs and risk.
    #[must_use]
    pub fn is_equivalent_to(&self, other: &Self) -> bool {
        self.facts.decides_as(&other.facts) && self.risk_score == other.risk_score
    }

    /// Whether the session began with a link by email.
    #[must_use]
    pub fn is_by_link(&self) -> bool {
        self.methods.first().is_some_and(|method| method == "mail")
    }

    /// The key of their rate limits. Sessions bonded to an organization have a limit of their own.
    pub(crate) fn limit_key(&self) -> String {
        self.sso_tenant.map_or_else(|| self.user.to_string(), |bond| format!("{} {bond}", self.user))
    }

    /// The request.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The actor of this request, for the audit trail.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            user: Some(self.user),
            name: self.name.clone(),
            session: Some(self.session),
            context: self.audit_context.clone(),
            ..Actor::unknown(self.context.request, self.context.client.network.clone())
        }
    }
}

impl Authn {
    /// Counts an attempt of a signed-in person. Sessions bonded to an organization are counted separately.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub async fn check_person_rate_limit(&self, limit: RateLimit, who: &SignedIn) -> Result<(), Error> {
        self.check_rate_limit(limit, &who.limit_key(), who.context()).await
    }
}

impl<S> FromRequestParts<S> for SignedIn
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let (who, _, _) =
            Authn::from_ref(state).authenticate_or_defer::<Account>(parts, Scope::default(), CONFIRM_ACTION).await?;
        Ok(who)
    }
}

impl web::ReadsFields for SignedIn {}

impl<S> OptionalFromRequestParts<S> for SignedIn
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Error> {
        match Authn::from_ref(state).authenticate::<Account>(parts, Scope::default()).await {
            Ok((who, _, _)) => Ok(Some(who)),
            Err(Error::Unauthenticated) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
