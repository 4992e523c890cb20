use audit::Actor;
use authn::SignedIn;
use axum::http::Method;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use tenancy::{Membership, Owned, Read, RequestAccess, Scope, TenantId, Tx, Unaccepted, UserId, Write, WriteLocks};
use tokens::ApiClient;
use uuid::Uuid;
use web::{Context, Error, Result};

use crate::authorized::{STEP_UP, another_way};
use crate::authorizer::{Authorizer, Factor, Situation};
use crate::entity::Entity;
use crate::guard::sealed::Sealed;

/// Who asks: [`SignedIn`], known by a cookie, or [`ApiClient`], known by a token or a signature. Neither looks at what the
/// other shows.
pub trait Caller: Sealed + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// It is a program and no browser.
    #[doc(hidden)]
    const API: bool;

    /// `action` is what it is asked for.
    #[doc(hidden)]
    fn enter<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        action: &'static str,
    ) -> impl Future<Output = Result<(Self, Tx<Read, P>, RequestAccess)>> + Send;

    /// The same, as they are now, with a transaction that writes.
    #[doc(hidden)]
    fn reenter<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        hold: WriteLocks,
    ) -> impl Future<Output = Result<(Self, Tx<Write, P>, RequestAccess)>> + Send;

    /// Whether what was decided about the one holds for the other.
    #[doc(hidden)]
    fn decides_as(&self, other: &Self) -> bool;

    /// The request.
    fn context(&self) -> &Context;

    /// Who does it, for the audit trail.
    fn actor(&self) -> Actor;

    #[doc(hidden)]
    fn user(&self) -> Option<UserId>;

    /// Its id where it is a client of the API.
    #[doc(hidden)]
    fn client(&self) -> Option<Uuid>;

    /// Its id as a `Member`.
    #[doc(hidden)]
    fn member(&self) -> Uuid;

    /// Itself outside of any organization.
    #[doc(hidden)]
    fn outside(&self) -> Entity;

    /// The organization whose own provider vouches for them.
    #[doc(hidden)]
    fn sign_on(&self) -> Option<TenantId>;

    #[doc(hidden)]
    fn situation(&self, membership: Option<&Membership>, now: DateTime<Utc>) -> Situation;

    /// What it is told, whatever there is, where it was not given the action.
    #[doc(hidden)]
    fn out_of_scope(&self, _: &Authorizer, _: &'static str) -> Option<Error> {
        None
    }

    /// What it is told where the role does not allow what it may know of.
    #[doc(hidden)]
    fn forbidden(&self) -> Error;

    /// What it is told where the organization does not take the way it came.
    #[doc(hidden)]
    fn unaccepted(&self, parts: &Parts, tenant: Option<TenantId>, why: Unaccepted) -> Error;

    /// What it is told where a factor would change the answer.
    #[doc(hidden)]
    fn step_up(
        &self,
        authorizer: &Authorizer,
        parts: &Parts,
        action: &'static str,
        factor: Factor,
    ) -> impl Future<Output = Result<Error>> + Send;

    /// The same for a form that was read already.
    #[doc(hidden)]
    fn keep(
        &self,
        authorizer: &Authorizer,
        action: &'static str,
        factor: Factor,
        path: &str,
        form: Vec<u8>,
    ) -> impl Future<Output = Result<Error>> + Send;
}

fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    (now - since).num_seconds().max(0)
}

impl Caller for SignedIn {
    const API: bool = false;

    async fn enter<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        action: &'static str,
    ) -> Result<(Self, Tx<Read, P>, RequestAccess)> {
        authorizer.authn().enter_or_keep(parts, scope, action).await
    }

    async fn reenter<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        hold: WriteLocks,
    ) -> Result<(Self, Tx<Write, P>, RequestAccess)> {
        authorizer.authn().reenter(self, scope, hold).await
    }

    fn decides_as(&self, other: &Self) -> bool {
        self.decides_as(other)
    }

    fn context(&self) -> &Context {
        self.context()
    }

    fn actor(&self) -> Actor {
        self.actor()
    }

    fn user(&self) -> Option<UserId> {
        Some(self.user)
    }

    fn client(&self) -> Option<Uuid> {
        None
    }

    fn member(&self) -> Uuid {
        self.user.uuid()
    }

    fn outside(&self) -> Entity {
        let user = Entity::new("User", self.user);
        if self.email_verified { user.text("verified_email", self.email.to_ascii_lowercase()) } else { user }
    }

    fn sign_on(&self) -> Option<TenantId> {
        self.sign_on
    }

    fn situation(&self, membership: Option<&Membership>, now: DateTime<Utc>) -> Situation {
        Situation {
            auth_age: age(self.auth_time, now),
            passkey_age: self.passkey_at.map(|at| age(at, now)),
            recovery_age: self.recovered_at.map(|at| age(at, now)),
            totp_age: self.totp_at.map(|at| age(at, now)),
            enrolled: self.enrolled,
            by_link: self.is_by_link(),
            sign_on: None,
            unaccepted: membership.is_some_and(|membership| membership.unaccepted.is_some()),
            elevated: membership.is_some_and(|membership| membership.elevation.is_some()),
            risk_score: self.risk_score(),
            scopes: None,
        }
    }

    fn forbidden(&self) -> Error {
        Error::Forbidden
    }

    fn unaccepted(&self, parts: &Parts, tenant: Option<TenantId>, why: Unaccepted) -> Error {
        another_way(parts, tenant, why)
    }

    /// The page that asks for it, and what is done after: the page that was asked for, or the form that was sent, which is
    /// kept meanwhile. Programs get the challenge alone and ask again themselves.
    async fn step_up(
        &self,
        authorizer: &Authorizer,
        parts: &Parts,
        action: &'static str,
        factor: Factor,
    ) -> Result<Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        if parts.method != Method::POST || !web::wants_html(&parts.headers) {
            return Ok(Error::StepUp(factor.url(path), None));
        }
        let form = web::form_of_refused(parts).await?;
        self.keep(authorizer, action, factor, path, form.to_vec()).await
    }

    async fn keep(
        &self,
        authorizer: &Authorizer,
        action: &'static str,
        factor: Factor,
        path: &str,
        form: Vec<u8>,
    ) -> Result<Error> {
        let (id, cookie) = authorizer.authn().keep_form(self, action, path, &form).await?;
        Ok(Error::StepUp(format!("{STEP_UP}?kept={id}{}", factor.hint()), Some(cookie)))
    }
}

impl Caller for ApiClient {
    const API: bool = true;

    async fn enter<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        _: &'static str,
    ) -> Result<(Self, Tx<Read, P>, RequestAccess)> {
        authorizer.tokens().enter(parts, scope).await
    }

    async fn reenter<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        hold: WriteLocks,
    ) -> Result<(Self, Tx<Write, P>, RequestAccess)> {
        authorizer.tokens().reenter(self, scope, hold).await
    }

    fn decides_as(&self, other: &Self) -> bool {
        self.decides_as(other)
    }

    fn context(&self) -> &Context {
        self.context()
    }

    fn actor(&self) -> Actor {
        self.actor()
    }

    fn user(&self) -> Option<UserId> {
        self.user
    }

    fn client(&self) -> Option<Uuid> {
        Some(self.client)
    }

    fn member(&self) -> Uuid {
        self.user.map_or(self.client, UserId::uuid)
    }

    fn outside(&self) -> Entity {
        Entity::new("User", self.member())
    }

    fn sign_on(&self) -> Option<TenantId> {
        None
    }

    /// It has no factor and can prove none, so what needs one is not for it.
    fn situation(&self, membership: Option<&Membership>, now: DateTime<Utc>) -> Situation {
        Situation {
            auth_age: age(self.since(), now),
            passkey_age: None,
            recovery_age: None,
            totp_age: None,
            enrolled: tenancy::Enrolled { passkey: false, totp: false },
            by_link: false,
            sign_on: None,
            unaccepted: membership.is_some_and(|membership| membership.unaccepted.is_some()),
            elevated: false,
            risk_score: 0,
            scopes: Some(self.scopes().clone()),
        }
    }

    fn out_of_scope(&self, authorizer: &Authorizer, action: &'static str) -> Option<Error> {
        (!self.scopes().include(action)).then(|| authorizer.tokens().insufficient_scope(self, action))
    }

    fn forbidden(&self) -> Error {
        not_permitted("The role that this client acts in does not allow this.")
    }

    /// There is one reason for clients: whether their member could still come in nobody has asked.
    fn unaccepted(&self, _: &Parts, _: Option<TenantId>, _: Unaccepted) -> Error {
        not_permitted(
            "This client acts as a member, and the organization requires its own identity provider of its members. \
             Use a service account.",
        )
    }

    async fn step_up(&self, _: &Authorizer, _: &Parts, _: &'static str, _: Factor) -> Result<Error> {
        Ok(not_permitted(NEEDS_A_PERSON))
    }

    async fn keep(&self, _: &Authorizer, _: &'static str, factor: Factor, _: &str, _: Vec<u8>) -> Result<Error> {
        Ok(Error::StepUp(factor.url("/"), None))
    }
}

pub(crate) const NEEDS_A_PERSON: &str =
    "This takes a passkey, which a client of the API cannot prove. A person has to do it.";

pub(crate) fn not_permitted(text: &'static str) -> Error {
    Error::NotPermitted(text.into(), None)
}
