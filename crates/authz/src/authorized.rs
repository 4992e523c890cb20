use std::time::Instant;

use authn::SignedIn;
use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tenancy::{Owned, Read, RequestAccess, Scope, TenantId, Tx, Write, WriteLocks};
use tokens::ApiClient;
use web::{Error, Result};

use crate::action::{Action, ActionMode as _, PathParams, Resource, TxOf, sensitivity};
use crate::authorizer::{Authorizer, Granted, Question, micros};
use crate::decision::Decision;
use crate::entity::{Entity, Sensitivity};
use crate::request::{AuthzRequest, Caller, MemberContext};
use crate::viewer::{RequestViewer, Viewer};

/// Proof that the policies allow `A` to this person, or this client of the API, on this resource, now. The only way to a
/// transaction.
///
/// It cannot be made by hand, nor changed to somebody or something else:
///
/// ```compile_fail,E0451
/// fn forge<A: authz::Action>(ok: authz::Authorized<A>, on: A::On) -> authz::Authorized<A> {
///     authz::Authorized { on, ..ok }
/// }
/// ```
///
/// ```compile_fail,E0616
/// fn turn<A: authz::Action>(ok: &mut authz::Authorized<A>, on: A::On) {
///     ok.on = on;
/// }
/// ```
///
/// ```compile_fail,E0616
/// fn turn<A: authz::Action>(ok: &mut authz::Authorized<A>, who: authn::SignedIn) {
///     ok.who = who;
/// }
/// ```
///
/// A proof for reading opens no transaction that writes:
///
/// ```compile_fail,E0308
/// async fn list<A: authz::Action<Mode = tenancy::Read>>(mut ok: authz::Authorized<A>) {
///     let tx: Result<tenancy::Tx<tenancy::Write>, _> = ok.begin().await;
/// }
/// ```
#[derive(Debug)]
pub struct Authorized<A: Action, By: CallerKind = SignedIn> {
    who: By,
    on: A::On,
    scope: Scope,
    member: Option<MemberContext>,
    request: AuthzRequest,
    pending: PendingDecisions,
    /// The transaction in which reading was decided.
    decided_in: Option<Tx<Read, <A::On as Resource>::Plane>>,
    authorizer: Authorizer,
}

/// Decisions that allow a write, until its transaction records them. If it never begins, for example because the form was
/// not acceptable, they are recorded without it.
#[derive(Debug)]
struct PendingDecisions {
    decisions: Vec<(audit::Decision, Sensitivity)>,
    log: audit::Decisions,
}

impl Drop for PendingDecisions {
    fn drop(&mut self) {
        for (decision, _) in self.decisions.drain(..) {
            self.log.record_now(decision);
        }
    }
}

/// The role of the caller, or a rule of the organization, changed between the decision and its write.
const ACCESS_CHANGED: Error =
    Error::Conflict("Your access changed while this was being sent. Nothing was done. Please send it again.", None);

mod sealed {
    pub trait Sealed {}
    impl Sealed for authn::SignedIn {}
    impl Sealed for tokens::ApiClient {}
}

/// What a route authenticates: [`SignedIn`] by a cookie, or [`ApiClient`] by a token or a signature. Neither looks at what
/// the other one uses.
pub trait CallerKind: sealed::Sealed + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// It is a program and not a browser.
    const API: bool;

    /// Authenticates a request for `action`, in a transaction that reads.
    #[doc(hidden)]
    fn authenticate<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        action: &'static str,
    ) -> impl Future<Output = Result<(Self, Tx<Read, P>, RequestAccess)>> + Send;

    /// Looks the same caller up again, in a transaction that writes.
    #[doc(hidden)]
    fn authenticate_again<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        locks: WriteLocks,
    ) -> impl Future<Output = Result<(Self, Tx<Write, P>, RequestAccess)>> + Send;

    #[doc(hidden)]
    fn caller(&self) -> Caller<'_>;
}

impl CallerKind for SignedIn {
    const API: bool = false;

    async fn authenticate<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        action: &'static str,
    ) -> Result<(Self, Tx<Read, P>, RequestAccess)> {
        authorizer.authn().authenticate_or_defer(parts, scope, action).await
    }

    async fn authenticate_again<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        locks: WriteLocks,
    ) -> Result<(Self, Tx<Write, P>, RequestAccess)> {
        authorizer.authn().reauthenticate(self, scope, locks).await
    }

    fn caller(&self) -> Caller<'_> {
        Caller::Person(self)
    }
}

impl CallerKind for ApiClient {
    const API: bool = true;

    async fn authenticate<P: Owned>(
        authorizer: &Authorizer,
        parts: &mut Parts,
        scope: Scope,
        _: &'static str,
    ) -> Result<(Self, Tx<Read, P>, RequestAccess)> {
        authorizer.tokens().authenticate(parts, scope).await
    }

    async fn authenticate_again<P: Owned>(
        &self,
        authorizer: &Authorizer,
        scope: Scope,
        locks: WriteLocks,
    ) -> Result<(Self, Tx<Write, P>, RequestAccess)> {
        authorizer.tokens().reauthenticate(self, scope, locks).await
    }

    fn caller(&self) -> Caller<'_> {
        Caller::Client(self)
    }
}

impl<A, By, S> FromRequestParts<S> for Authorized<A, By>
where
    A: Action,
    By: CallerKind,
    Authorizer: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let began = Instant::now();
        let authorizer = Authorizer::from_ref(state);
        let path = path_params(parts, state).await?;
        let scope = Scope { tenant: path.id("organization"), workspace: path.id("workspace") };
        let (who, mut tx, entry) =
            By::authenticate::<<A::On as Resource>::Plane>(&authorizer, parts, scope, A::NAME).await?;
        let member = match member_context(&path, &entry) {
            Ok(member) => member,
            Err(unknown) => return Err(authorizer.refuse_outsider(who.caller(), A::NAME, &unknown).await?),
        };
        let Some(on) = A::On::load(&mut tx, &entry, &path).await? else {
            return Err(authorizer.not_found(who.caller(), A::NAME));
        };
        let (since, asked) = (Instant::now(), sensitivity::<A>(&on));
        let (caller, now) = (who.caller(), authorizer.now());
        let request = AuthzRequest::new(authorizer.policies(), caller, &entry, now, on.entity(), asked)?;
        RequestViewer::note(parts, &authorizer, &request, member.as_ref());
        let (view, reads) = (<<A::On as Resource>::View as Action>::NAME, A::Mode::READS);
        let (request_ref, tenant) = (&request, scope.tenant);
        let question = Question { caller, request: request_ref, action: A::NAME, view, reads, parts, tenant, since };
        let (decided_in, decisions) = match authorizer.authorize(question, tx).await? {
            Granted::Read(tx) => (Some(tx), Vec::new()),
            Granted::Write(decision) => (None, vec![(decision, asked)]),
        };
        tracing::Span::current().record("guard_micros", micros(began));
        let pending = PendingDecisions { decisions, log: authorizer.decisions().clone() };
        Ok(Self { who, on, scope, member, request, pending, decided_in, authorizer })
    }
}

async fn path_params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<PathParams> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::NotFound)?;
    Ok(PathParams(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

/// The caller's membership where the path leads, or what the path leads to if they have none there.
fn member_context(path: &PathParams, entry: &RequestAccess) -> std::result::Result<Option<MemberContext>, Entity> {
    if !path.has("organization") {
        // A client of the API belongs to one organization, even if the path does not name it. A person has none there.
        return Ok(entry.membership.clone().map(|membership| MemberContext { membership, workspace: None }));
    }
    let unknown = |kind, name| Entity::new(kind, path.id::<uuid::Uuid>(name).unwrap_or_default());
    // SECURITY: only the organization that the path names; a name that is not an id is none.
    let named = path.id::<TenantId>("organization");
    let membership = entry.membership.clone().filter(|membership| Some(membership.tenant) == named);
    let membership = membership.ok_or_else(|| unknown("Organization", "organization"))?;
    if path.has("workspace") && entry.workspace.is_none() {
        return Err(unknown("Workspace", "workspace"));
    }
    Ok(Some(MemberContext { membership, workspace: entry.workspace.clone() }))
}

impl<A: Action, By: CallerKind> Authorized<A, By> {
    /// Opens the transaction: reading or writing as the action says, bound to the organization.
    ///
    /// For writing, the decision is recorded in it, so neither lasts without the other. The message that begins it looks the
    /// caller up again, and locks their membership until it ends.
    ///
    /// # Errors
    ///
    /// If the caller is not what they were when the decision was made, nothing is done, and the error is the response to a
    /// new request. A second call is [`Error::Internal`].
    pub async fn begin(&mut self) -> Result<TxOf<A>> {
        let decided_in = self.decided_in.take();
        A::Mode::begin(decided_in, self.begin_write()).await
    }

    /// The person or the client.
    #[must_use]
    pub fn who(&self) -> &By {
        &self.who
    }

    /// The resource.
    #[must_use]
    pub fn on(&self) -> &A::On {
        &self.on
    }

    /// Their membership in the organization of the path.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] on a page of an account: it has none.
    pub fn member(&self) -> Result<&MemberContext> {
        self.member.as_ref().ok_or(Error::NotFound)
    }

    /// Whether the policies also allow `B` on the same resource: for parts of a page or a form. Recorded like the first
    /// decision: before a write that is still to begin, in its transaction.
    ///
    /// # Errors
    ///
    /// The answer cannot be recorded.
    pub async fn authorize_also<B: Action<On = A::On>>(&mut self) -> Result<bool> {
        let request = self.viewer().about::<B>(&self.on);
        let answer = self.authorizer.decide(&request, B::NAME);
        let decision = self.authorizer.record_of(&request, B::NAME, &answer);
        let allowed = answer.decision == Decision::Allow;
        if allowed && !self.pending.decisions.is_empty() {
            self.pending.decisions.push((decision, request.sensitivity));
        } else {
            self.authorizer.record(decision).await?;
        }
        Ok(allowed)
    }

    /// Asks for `B` on the same resource, for a part of a form that cannot be done without it. Recorded as
    /// [`authorize_also`](Self::authorize_also) does. `path` is where the form goes.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] if the policies refuse `B`. If `B` takes a factor proved now, the form is stored, and the error
    /// leads to the page that asks for the factor and then sends the form.
    pub async fn authorize<B: Action<On = A::On>>(&mut self, path: &str, form: &impl serde::Serialize) -> Result<()> {
        if self.authorize_also::<B>().await? {
            return Ok(());
        }
        match self.decision::<B>(&self.on) {
            Decision::StepUp(step_up) => {
                let (caller, form) = (self.who.caller(), web::encode(form)?);
                Err(self.authorizer.step_up_with_form(caller, B::NAME, step_up, path, &form).await?)
            }
            Decision::Allow | Decision::Deny => Err(Error::Forbidden),
        }
    }

    /// As [`Viewer::can`].
    #[must_use]
    pub fn can<B: Action>(&self, resource: &B::On) -> bool {
        self.viewer().can::<B>(resource)
    }

    /// As [`Viewer::decision`].
    #[must_use]
    pub fn decision<B: Action>(&self, resource: &B::On) -> Decision {
        self.viewer().decision::<B>(resource)
    }

    /// The caller, for parts of the page that are not about its action.
    #[must_use]
    pub fn viewer(&self) -> Viewer<'_> {
        Viewer { authorizer: &self.authorizer, request: &self.request, member: self.member.as_ref() }
    }

    /// Begins to write with the decisions, if they still hold, and records them.
    async fn begin_write(&mut self) -> Result<Tx<Write, <A::On as Resource>::Plane>> {
        if self.pending.decisions.is_empty() {
            return Err(Error::internal("a writing proof begins once: its decision is recorded with what it allows"));
        }
        let mut tx = self.authenticate_again().await?;
        for (decision, _) in std::mem::take(&mut self.pending.decisions) {
            decision.record(&mut tx).await?;
        }
        Ok(tx)
    }

    /// Looks the caller up again and compares. If anything differs, the decisions are made again.
    async fn authenticate_again(&mut self) -> Result<Tx<Write, <A::On as Resource>::Plane>> {
        let caller = self.who.caller();
        let locks = WriteLocks {
            tenant: self.member.as_ref().map(|member| member.membership.tenant),
            user: caller.user(),
            client: caller.client(),
            serialized: self
                .pending
                .decisions
                .iter()
                .any(|(decision, _)| self.authorizer.gives_access(decision.action)),
            new_tenant: self.on.creates_tenant(),
        };
        let (who, tx, entry) = self.who.authenticate_again(&self.authorizer, self.scope, locks).await?;
        let member = match (&self.member, &entry.membership) {
            (None, _) => None,
            (Some(_), Some(membership)) => {
                Some(MemberContext { membership: membership.clone(), workspace: entry.workspace.clone() })
            }
            (Some(_), None) => return Err(Error::NotFound),
        };
        if caller.is_equivalent_to(who.caller()) && self.member == member {
            return Ok(tx);
        }
        let decisions = self.decide_again(who.caller(), &entry)?;
        if self.member != member {
            return Err(ACCESS_CHANGED);
        }
        (self.who, self.pending.decisions) = (who, decisions);
        Ok(tx)
    }

    /// The decisions as they are now, or the response to a new request if one of them is a refusal.
    fn decide_again(&self, caller: Caller<'_>, access: &RequestAccess) -> Result<Vec<(audit::Decision, Sensitivity)>> {
        let (authorizer, now) = (&self.authorizer, self.authorizer.now());
        let mut decisions = Vec::with_capacity(self.pending.decisions.len());
        for (before, asked) in &self.pending.decisions {
            let (policies, action, on) = (authorizer.policies(), before.action, self.on.entity());
            let request = AuthzRequest::new(policies, caller, access, now, on, *asked)?;
            let answer = authorizer.decide(&request, action);
            let decision = authorizer.record_of(&request, action, &answer);
            if answer.decision != Decision::Allow {
                self.pending.log.record_now(decision);
                let view = <<A::On as Resource>::View as Action>::NAME;
                return Err(authorizer.response_to_late_refusal(caller, &request, action, view, answer.decision));
            }
            decisions.push((decision, *asked));
        }
        Ok(decisions)
    }
}

impl<A: Action> Authorized<A, ApiClient> {
    /// The response for a client that may not do `B` as well ([`Authorized::authorize_also`]). It says what is missing.
    #[must_use]
    pub fn refusal<B: Action<On = A::On>>(&self) -> Error {
        self.authorizer.response_to_client(&self.who, B::NAME, self.decision::<B>(&self.on))
    }
}
