use std::ops::Deref;

use audit::Actor;
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use tenancy::{Account, Scope, SessionFacts};
use uuid::Uuid;
use web::{Context, Error};

use crate::secret::Hash;
use crate::{Authn, RateLimit};

/// What the forms that take nothing but a session are about, as the name of an action.
const CONFIRM_ACTION: &str = "ConfirmYourIdentity";

/// Somebody with a live session, and what the session says of how they came (its [`SessionFacts`]). Nothing in it depends
/// on an organization.
///
/// It cannot be made by hand, nor turned to somebody else:
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
    /// What the browser showed, to look the session up again when the request writes.
    token_hash: Hash,
    context: Context,
    risk_score: i64,
    /// The elevation they act under in the organization of the path.
    elevation: Option<Uuid>,
}

impl Deref for SignedIn {
    type Target = SessionFacts;

    fn deref(&self) -> &SessionFacts {
        &self.facts
    }
}

impl SignedIn {
    pub(crate) fn new(
        facts: SessionFacts,
        token_hash: Hash,
        context: Context,
        risk_score: i64,
        elevation: Option<Uuid>,
    ) -> Self {
        Self { facts, token_hash, context, risk_score, elevation }
    }

    pub(crate) fn token_hash(&self) -> &Hash {
        &self.token_hash
    }

    /// How unusual this request looks for its session, 0 to 100, for policies.
    #[must_use]
    pub fn risk_score(&self) -> i64 {
        self.risk_score
    }

    /// Whether what was decided about the one holds for the other: the same session, with the same proofs and risk.
    #[must_use]
    pub fn is_equivalent_to(&self, other: &Self) -> bool {
        self.facts.decides_as(&other.facts) && self.risk_score == other.risk_score
    }

    /// Whether they came with a link by mail.
    #[must_use]
    pub fn is_by_link(&self) -> bool {
        self.methods.first().is_some_and(|method| method == "mail")
    }

    /// Whose limits count what they do. What somebody does on an organization's word uses up nothing of theirs elsewhere.
    pub(crate) fn limit_key(&self) -> String {
        self.sign_on.map_or_else(|| self.user.to_string(), |bond| format!("{} {bond}", self.user))
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
            client: None,
            elevation: self.elevation,
            request: self.context.request,
            network: self.context.client.network.clone(),
        }
    }
}

impl Authn {
    /// Counts a try of somebody who is signed in, or refuses it with [`Error::TooMany`]. What they do on an organization's word
    /// is counted by itself.
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
