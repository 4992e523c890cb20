use std::time::Instant;

use audit::Decision;
use authn::SignedIn;
use axum::extract::{FromRef, FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use tenancy::{
    Membership, Mode, Read, RequestAccess, Scope, TenantId, Tx, Unaccepted, WorkspaceFacts, Write, WriteLocks,
};
use tokens::ApiClient;
use web::{Error, LocalPath, Result};

use crate::action::{Action, Path, Resource, data};
use crate::authorizer::{Authorizer, Case, Factor, Verdict};
use crate::caller::{Caller, NEEDS_A_PERSON, not_permitted};
use crate::entity::{Entity, Facts};

/// Where a factor is asked for.
pub(crate) const STEP_UP: &str = "/step-up";

/// Proof that the policies allow `A` to this person, or this client of the API, on this resource, now. The only way to a
/// transaction.
///
/// It cannot be made by hand, nor turned to somebody or something else:
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
pub struct Authorized<A: Action, By: Caller = SignedIn> {
    who: By,
    on: A::On,
    scope: Scope,
    /// Their place in the organization of the path.
    member: Option<Member>,
    case: Case,
    decisions: ToRecord,
    seen: Option<Tx<Read, <A::On as Resource>::Plane>>,
    authorizer: Authorizer,
}

/// Decisions that allow a write, until its transaction records them. If it never begins, for example because the form was
/// not acceptable, they are recorded without it.
#[derive(Debug)]
struct ToRecord(Vec<(Decision, Facts)>, audit::Decisions);

impl Drop for ToRecord {
    fn drop(&mut self) {
        for (decision, _) in self.0.drain(..) {
            self.1.record_now(decision);
        }
    }
}

/// Somebody was given another role, or the organization another rule, between the decision and its write.
const ACCESS_CHANGED: Error =
    Error::Conflict("Your access changed while this was being sent. Nothing was done. Please send it again.", None);

/// A person's or a client's place in the organization of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Organization and role.
    pub membership: Membership,
    /// The workspace of the path.
    pub workspace: Option<WorkspaceFacts>,
}

/// The transaction an action opens: on the plane of what it is done to.
pub type TxOf<A> = Tx<<A as Action>::Mode, <<A as Action>::On as Resource>::Plane>;

/// How a mode begins a transaction: a reading one goes on with the transaction the decision was made in, so that what is
/// read is what was decided on; a writing one begins with the same look-up, because the body came in between, and with the
/// record of the decision.
pub trait Begin: Mode {
    #[doc(hidden)]
    const READS: bool;

    #[doc(hidden)]
    fn begin<A: Action<Mode = Self>, By: Caller>(
        ok: &mut Authorized<A, By>,
    ) -> impl Future<Output = Result<TxOf<A>>> + Send
    where
        Self: Sized;
}

impl Begin for Read {
    const READS: bool = true;

    async fn begin<A: Action<Mode = Self>, By: Caller>(ok: &mut Authorized<A, By>) -> Result<TxOf<A>> {
        ok.seen.take().ok_or_else(|| Error::internal("a reading proof begins once"))
    }
}

impl Begin for Write {
    const READS: bool = false;

    async fn begin<A: Action<Mode = Self>, By: Caller>(ok: &mut Authorized<A, By>) -> Result<TxOf<A>> {
        if ok.decisions.0.is_empty() {
            return Err(Error::internal("a writing proof begins once: its decision is recorded with what it allows"));
        }
        let mut tx = ok.reenter().await?;
        for (decision, _) in std::mem::take(&mut ok.decisions.0) {
            decision.record(&mut tx).await?;
        }
        Ok(tx)
    }
}

impl<A: Action, By: Caller> Authorized<A, By> {
    /// Opens the transaction: reading or writing as the action says, bound to the organization.
    ///
    /// For writing, the decision is recorded in it, so neither lasts without the other. The message that begins it looks up
    /// again who is asking, and holds their membership until it ends. Where they are not what they were when the decision
    /// was made, nothing is done, and the error is the one that a new request would get.
    pub async fn begin(&mut self) -> Result<TxOf<A>> {
        A::Mode::begin(self).await
    }

    /// Who.
    #[must_use]
    pub fn who(&self) -> &By {
        &self.who
    }

    /// On what.
    #[must_use]
    pub fn on(&self) -> &A::On {
        &self.on
    }

    /// Whether the policies also allow `B` on the same resource: for parts of a page or a form. Recorded like the first
    /// decision: before a write that is still to begin, in its transaction.
    pub async fn also<B: Action<On = A::On>>(&mut self) -> Result<bool> {
        let case = self.about::<B>(&self.on)?;
        let answer = self.authorizer.ask(&case, B::NAME);
        let decision = self.authorizer.decision(&case, B::NAME, &answer);
        let allowed = answer.verdict == Verdict::Allowed;
        if allowed && !self.decisions.0.is_empty() {
            self.decisions.0.push((decision, facts::<B>(&self.on)));
        } else {
            self.authorizer.decisions().record(decision).await.map_err(|_| Error::Unavailable)?;
        }
        Ok(allowed)
    }

    /// The same for a part of a form that cannot be done without `B`. [`Error::Forbidden`] where it is refused. Where it takes a
    /// factor proved now, the form is kept and done as it was sent once the factor is proved; `path` is where it goes.
    pub async fn need<B: Action<On = A::On>>(&mut self, path: &str, form: &impl serde::Serialize) -> Result<()> {
        if self.also::<B>().await? {
            return Ok(());
        }
        match self.verdict::<B>(&self.on) {
            Verdict::StepUp(factor) => {
                Err(self.who.keep(&self.authorizer, B::NAME, factor, path, web::encode(form)?).await?)
            }
            Verdict::Allowed | Verdict::Refused => Err(Error::Forbidden),
        }
    }

    /// Whether it makes sense to offer `B`, on the same resource or on another one that the page shows, such as a row of a
    /// list: for buttons. Also where it will take a fresh passkey. Allows nothing, so it is not recorded.
    #[must_use]
    pub fn would<B: Action>(&self, resource: &B::On) -> bool {
        self.verdict::<B>(resource) != Verdict::Refused
    }

    /// The same, and whether it takes a fresh passkey first: for a page that leads there, or shows what `B` is about.
    #[must_use]
    pub fn verdict<B: Action>(&self, resource: &B::On) -> Verdict {
        match self.about::<B>(resource) {
            // What let them in: the navigation offers the page that one is on.
            Ok(case) if B::NAME == A::NAME && case.is(&self.case) => Verdict::Allowed,
            Ok(case) => self.authorizer.ask(&case, B::NAME).verdict,
            Err(error) => {
                tracing::error!(?error, action = B::NAME, "a policy question could not be asked; not offered");
                Verdict::Refused
            }
        }
    }

    /// Begins to write as whoever was let in, if the decisions still stand.
    async fn reenter(&mut self) -> Result<Tx<Write, <A::On as Resource>::Plane>> {
        let tenant = self.member.as_ref().map(|member| member.membership.tenant);
        let in_turn = self.decisions.0.iter().any(|(decision, _)| self.authorizer.gives_access(decision.action));
        let (user, client, new_tenant) = (self.who.user(), self.who.client(), self.on.founds());
        let hold = WriteLocks { tenant, user, client, serialized: in_turn, new_tenant };
        let (who, tx, entry) = self.who.reenter(&self.authorizer, self.scope, hold).await?;
        let member = match (&self.member, entry.membership) {
            (None, _) => None,
            (Some(_), Some(membership)) => Some(Member { membership, workspace: entry.workspace }),
            (Some(_), None) => return Err(Error::NotFound),
        };
        if self.who.decides_as(&who) && self.member == member {
            return Ok(tx);
        }
        let decisions = self.decide_again(&who, member.as_ref())?;
        if self.member != member {
            return Err(ACCESS_CHANGED);
        }
        (self.who, self.decisions.0) = (who, decisions);
        Ok(tx)
    }

    /// The decisions as they are now, or what a new request is told where one of them is a refusal.
    fn decide_again(&self, who: &By, member: Option<&Member>) -> Result<Vec<(Decision, Facts)>> {
        let membership = member.map(|member| &member.membership);
        let mut decisions = Vec::with_capacity(self.decisions.0.len());
        for (before, facts) in &self.decisions.0 {
            let principal = principal(who, member);
            let case = self.authorizer.case(who, membership, principal, self.on.entity(), *facts)?;
            let answer = self.authorizer.ask(&case, before.action);
            let decision = self.authorizer.decision(&case, before.action, &answer);
            if answer.verdict != Verdict::Allowed {
                self.decisions.1.record_now(decision);
                if let Some(error) = who.out_of_scope(&self.authorizer, before.action) {
                    return Err(error);
                }
                let view = <<A::On as Resource>::View as Action>::NAME;
                return Err(match (answer.verdict, self.authorizer.visible(&case, view)) {
                    (Verdict::StepUp(_), _) if By::API => not_permitted(NEEDS_A_PERSON),
                    (Verdict::StepUp(factor), _) => Error::StepUp(factor.url("/"), None),
                    (_, Verdict::Allowed) => who.forbidden(),
                    _ => Error::NotFound,
                });
            }
            decisions.push((decision, *facts));
        }
        Ok(decisions)
    }

    fn about<B: Action>(&self, resource: &B::On) -> Result<Case> {
        self.authorizer.about(&self.case, resource.entity(), facts::<B>(resource))
    }

    /// Their place in the organization. An account page has none: [`Error::NotFound`].
    pub fn member(&self) -> Result<&Member> {
        self.member.as_ref().ok_or(Error::NotFound)
    }

    /// The organization the transaction is bound to.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        self.on.founds().or(self.member.as_ref().map(|member| member.membership.tenant))
    }
}

impl<A: Action> Authorized<A, ApiClient> {
    /// What the client is told that may not do `B` as well ([`Authorized::also`]), by the one thing that stands in the way.
    #[must_use]
    pub fn refusal<B: Action<On = A::On>>(&self) -> Error {
        match (self.who.out_of_scope(&self.authorizer, B::NAME), self.verdict::<B>(&self.on)) {
            (Some(error), _) => error,
            (None, Verdict::StepUp(_)) => not_permitted(NEEDS_A_PERSON),
            (None, _) => self.who.forbidden(),
        }
    }
}

/// What a decision on `A` should know of the resource.
fn facts<A: Action>(on: &A::On) -> Facts {
    Facts { data_classification: data::<A>(), ..on.facts() }
}

impl<A, By, S> FromRequestParts<S> for Authorized<A, By>
where
    A: Action,
    By: Caller,
    Authorizer: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let began = Instant::now();
        let authorizer = Authorizer::from_ref(state);
        let path = path(parts, state).await?;
        let scope = Scope { tenant: path.id("organization"), workspace: path.id("workspace") };
        let (who, mut tx, entry) = By::enter::<<A::On as Resource>::Plane>(&authorizer, parts, scope, A::NAME).await?;
        let member = match place(&path, &entry) {
            Ok(member) => member,
            Err(nowhere) => {
                let refusal = authorizer.refusal(&who, A::NAME, &nowhere);
                authorizer.decisions().record(refusal).await.map_err(|_| Error::Unavailable)?;
                return Err(who.out_of_scope(&authorizer, A::NAME).unwrap_or(Error::NotFound));
            }
        };
        // What a client was not given it learns nothing by, whether it is there or not.
        let out_of_scope = |otherwise| who.out_of_scope(&authorizer, A::NAME).unwrap_or(otherwise);
        let on = A::On::load(&mut tx, &entry, &path).await?.ok_or_else(|| out_of_scope(Error::NotFound))?;
        let principal = principal(&who, member.as_ref());
        let membership = member.as_ref().map(|member| &member.membership);
        let asked = Instant::now();
        let case = authorizer.case(&who, membership, principal, on.entity(), facts::<A>(&on))?;
        let answer = authorizer.ask(&case, A::NAME);
        tracing::Span::current().record("decision_micros", micros(asked));
        let decision = authorizer.decision(&case, A::NAME, &answer);
        if answer.verdict != Verdict::Allowed {
            authorizer.decisions().record(decision).await.map_err(|_| Error::Unavailable)?;
            if let Some(error) = who.out_of_scope(&authorizer, A::NAME) {
                return Err(error);
            }
            let visible = || authorizer.visible(&case, <<A::On as Resource>::View as Action>::NAME);
            let verdict = if answer.verdict == Verdict::Refused { visible() } else { answer.verdict };
            // The connection goes back first: a request never holds two.
            drop(tx);
            return Err(match verdict {
                Verdict::Allowed => who.forbidden(),
                Verdict::StepUp(factor) => who.step_up(&authorizer, parts, A::NAME, factor).await?,
                Verdict::Refused => match membership.and_then(|membership| membership.unaccepted) {
                    Some(why) => who.unaccepted(parts, scope.tenant, why),
                    None => Error::NotFound,
                },
            });
        }
        let (mut decisions, mut seen) = (ToRecord(Vec::new(), authorizer.decisions().clone()), None);
        if A::Mode::READS {
            authorizer.decisions().record(decision).await.map_err(|_| Error::Unavailable)?;
            seen = Some(tx);
        } else {
            // A write begins its own transaction once the body is in: a slow client holds no connection.
            decisions.0.push((decision, facts::<A>(&on)));
        }
        tracing::Span::current().record("guard_micros", micros(began));
        Ok(Self { who, on, scope, member, case, decisions, seen, authorizer })
    }
}

/// Where somebody comes in anew whose organization does not take the way they came.
pub(crate) fn another_way(parts: &Parts, tenant: Option<TenantId>, why: Unaccepted) -> Error {
    let path = LocalPath::or_home(parts.uri.path_and_query().map_or("/", |path| path.as_str())).encoded();
    let organization = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
    let why = match why {
        Unaccepted::SignedOut => "signed_out",
        Unaccepted::Link => "link",
        Unaccepted::Elsewhere => "elsewhere",
        Unaccepted::SignOn => "sign_on",
    };
    let address = format!("/sign-in?anew=yes&unaccepted={why}&organization={organization}&return_to={path}");
    Error::StepUp(address, None)
}

impl Factor {
    /// Where it is asked for before the page `path` is shown.
    #[must_use]
    pub fn url(self, path: &str) -> String {
        // Home stands for none, and for one that is too long for an address.
        format!("{STEP_UP}?return_to={}{}", LocalPath::or_home(path).encoded(), self.hint())
    }

    /// Has the page ask for a code, too. Only that: what it proves is decided when it comes.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Passkey => "",
            Self::PasskeyOrCode => "&by_code=yes",
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Path> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::NotFound)?;
    Ok(Path(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

/// The person's place where the path points, or what it points to if they have none there.
fn place(path: &Path, entry: &RequestAccess) -> std::result::Result<Option<Member>, Entity> {
    if !path.has("organization") {
        // A client of the API belongs to one organization, whether or not the path names it. A person is in none there.
        return Ok(entry.membership.clone().map(|membership| Member { membership, workspace: None }));
    }
    let nowhere = |kind, name| Entity::new(kind, path.id::<uuid::Uuid>(name).unwrap_or_default());
    // SECURITY: what the path names is the one organization; a name that is no id is none.
    let named = path.id::<TenantId>("organization");
    let membership = entry.membership.clone().filter(|membership| Some(membership.tenant) == named);
    let membership = membership.ok_or_else(|| nowhere("Organization", "organization"))?;
    if path.has("workspace") && entry.workspace.is_none() {
        return Err(nowhere("Workspace", "workspace"));
    }
    Ok(Some(Member { membership, workspace: entry.workspace.clone() }))
}

fn principal(who: &impl Caller, member: Option<&Member>) -> Entity {
    let Some(Member { membership, .. }) = member else { return who.outside() };
    let organization = Entity::new("Organization", membership.tenant);
    let member = Entity::new("Member", who.member())
        .reference("organization", &organization)
        .text("role", &membership.role)
        .inside(Entity::new("Role", &*membership.role))
        .inside(organization);
    match &membership.elevation {
        Some(elevation) => member.inside(Entity::new("Role", &*elevation.role)),
        None => member,
    }
}

#[cfg(test)]
mod tests {
    use tenancy::Tenant;

    use super::*;

    pub(crate) struct File;

    impl Resource for File {
        type Plane = Tenant;
        type View = ReadFile;
        const DATA: Option<&'static str> = Some("internal");

        async fn load(_: &mut Tx<Read>, _: &RequestAccess, _: &Path) -> Result<Option<Self>> {
            Ok(None)
        }

        fn entity(&self) -> Entity {
            Entity::new("File", 1)
        }

        fn facts(&self) -> Facts {
            Facts { amount: Some(5), ..Facts::default() }
        }
    }

    crate::actions! {
        ReadFile: Read on File;
        ReadSalaries: Read on File, "restricted" data;
    }

    // control: POL-05
    #[test]
    fn an_action_on_more_sensitive_data_than_its_resource_is_asked_about_that() {
        let of = |facts: Facts| (facts.amount, facts.data_classification);
        assert_eq!(of(facts::<ReadFile>(&File)), (Some(5), Some("internal")));
        assert_eq!(of(facts::<ReadSalaries>(&File)), (Some(5), Some("restricted")));
        assert_eq!(of(facts::<crate::Prepare<ReadSalaries>>(&File)), (Some(5), Some("restricted")));
        assert_eq!(
            ACTIONS.iter().map(|action| (action.name, action.data)).collect::<Vec<_>>(),
            [("ReadFile", Some("internal")), ("ReadSalaries", Some("restricted"))]
        );
    }
}
