use authn::{Authn, RateLimit, SignedIn};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};
use tenancy::{Membership, Mode, Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result, format_datetime};

use super::APPROVAL_REQUESTED;
use crate::base::{
    AnnouncementContext, DisplayActor, Execution, Hooks, Justification, Organization, PendingAction, Registry,
    StoredAction, truncate, with_reason,
};

/// Requests of one person, in all their organizations (with a bond, in that one). Owners and admins get an email for each.
pub(crate) const APPROVAL_LIMIT: RateLimit = RateLimit { name: "approval", burst: 10, period: Duration::minutes(10) };
/// How long a request can be approved.
const REQUEST_LIFETIME: Duration = Duration::hours(24);
/// The same for an action on an owner.
const OWNER_REQUEST_LIFETIME: Duration = Duration::days(7);
/// How long an owner can decline before another one takes their ownership alone.
const OWNER_WAIT: Duration = Duration::hours(72);

pub(crate) fn list_url(organization: &Organization) -> String {
    format!("{}/approvals", organization.url())
}

/// A request for an action that needs a second person.
#[derive(Debug)]
pub(crate) struct Approval {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    kind: String,
    parameters: Value,
    /// Name of the member it is done to.
    pub(super) member: Option<String>,
    pub(super) reason: String,
    pub(super) ticket: Option<String>,
    pub(super) requested_by: UserId,
    pub(super) requester: String,
    requester_email: String,
    requester_verified: bool,
    requester_role: String,
    /// An administrator may request it, not only an owner.
    open_to_admins: bool,
    pub(super) requested_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// When an owner can approve it alone, if ever.
    pub(super) single_approver_from: Option<DateTime<Utc>>,
    approvers: Vec<Uuid>,
    pub(super) decided_by: Option<UserId>,
    decider: Option<String>,
    decider_email: Option<String>,
    decider_verified: Option<bool>,
    outcome: Option<String>,
}

/// The state of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has decided. Somebody can until this time.
    Open(DateTime<Utc>),
    Approved,
    Declined,
    Withdrawn,
    Expired,
}

impl Stage {
    /// As people read it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Open(_) => "Pending approval",
            Self::Approved => "Approved",
            Self::Declined => "Declined",
            Self::Withdrawn => "Withdrawn",
            Self::Expired => "Expired",
        }
    }

    /// The tone of its badge.
    pub(super) fn tone(self) -> &'static str {
        match self {
            Self::Open(_) => "warning",
            Self::Approved => "success",
            Self::Declined | Self::Withdrawn | Self::Expired => "plain",
        }
    }

    /// When it expires, while nobody has decided.
    pub(super) fn open_until(self) -> Option<DateTime<Utc>> {
        if let Self::Open(until) = self { Some(until) } else { None }
    }
}

impl Approval {
    pub(super) fn stage(&self, now: DateTime<Utc>) -> Stage {
        match self.outcome.as_deref() {
            None if self.expires_at > now => Stage::Open(self.expires_at),
            Some("approved") => Stage::Approved,
            Some("declined") if self.decided_by == Some(self.requested_by) => Stage::Withdrawn,
            Some("declined") => Stage::Declined,
            _ => Stage::Expired,
        }
    }

    /// What is executed once it is approved.
    pub(super) fn action(&self, registry: &Registry) -> Result<Box<dyn PendingAction>> {
        action(registry, &self.kind, &self.parameters)
    }

    pub(super) fn requester_actor(&self) -> DisplayActor {
        DisplayActor::person(Some(self.requester.clone()), Some(&self.requester_email), Some(self.requester_verified))
    }

    pub(super) fn decider_actor(&self) -> Option<DisplayActor> {
        let name = self.decider.clone()?;
        Some(DisplayActor::person(Some(name), self.decider_email.as_deref(), self.decider_verified))
    }

    /// `action` in a few words, with the name of the member it is done to.
    pub(super) fn title(&self, action: &dyn PendingAction) -> String {
        action.title(self.member.as_deref().unwrap_or("a former member"))
    }
}

impl Resource for Approval {
    type Plane = Tenant;
    type View = super::ViewApproval;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("approval") else { return Ok(None) };
        Ok(find(tx, Some(id)).await?.0.pop())
    }

    fn entity(&self) -> Entity {
        let approvers: Vec<_> = self.approvers.iter().map(|user| Entity::new("Member", *user)).collect();
        Entity::new("Approval", self.id)
            .reference("requested_by", &Entity::new("Member", self.requested_by))
            .text("requester_role", &self.requester_role)
            .references("approvers", &approvers)
            .flag("open_to_admins", self.open_to_admins)
            .flag("affects_owner", self.single_approver_from.is_some())
            .inside(Organization::as_entity(self.organization))
    }
}

/// Most that the page shows.
const MAX_SHOWN: usize = 500;

/// Open requests first, then the newest, and whether there are more. With an id, only that one.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<(Vec<Approval>, bool)> {
    let found = sqlx::query_as!(
        Approval,
        r#"select a.tenant_id as "organization: TenantId", a.id, a.kind, a.parameters, t.display_name as "member?", a.reason,
                  a.ticket, a.requested_by as "requested_by: UserId", r.display_name as requester, r.email as requester_email,
                  r.verified_email is not null as "requester_verified!", a.requester_role,
                  k.open_to_admins and a.single_approver_from is null as "open_to_admins!",
                  a.requested_at, a.expires_at, a.single_approver_from,
                  tenant.approvers(a) as "approvers!",
                  a.decided_by as "decided_by: UserId", d.display_name as "decider?",
                  d.email as "decider_email?", d.verified_email is not null as "decider_verified?",
                  a.outcome
             from tenant.approvals a join identity.approval_kinds k on k.kind = a.kind
             join identity.users r on r.id = a.requested_by
             left join identity.users t on t.id = a.target
             left join identity.users d on d.id = a.decided_by
            where $1::uuid is null or a.id = $1
            order by a.decided_at is null desc, a.requested_at desc, a.id limit 501"#,
        id,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// Whether somebody else can approve a request in time. An owner or admin of two days will have been one for three days
/// before the request expires.
pub(crate) async fn has_other_approver<M: Mode>(tx: &mut Tx<M>, than: UserId) -> Result<bool> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from tenant.memberships
                           where user_id <> $1 and tenant.is_administrator(role)
                             and role_since <= now() - interval '48 hours') as "any!""#,
        than.uuid(),
    );
    Ok(any.fetch_one(&mut **tx).await?)
}

/// How an action on an owner is approved, for the page that requests it.
pub(crate) const OWNER_RULE: &str = "This needs approval. The owner concerned can approve it, and so can somebody else who has \
    been an owner for three days. If nobody declines, any owner can do it after three days. All owners and admins get an email \
    when you ask.";

const NO_APPROVER_ERROR: Error = Error::Conflict(
    "This needs approval within a day from somebody else who has been an owner or admin for three days. Nobody has been one \
     for long enough. Make somebody an owner or admin if there is nobody else, and ask once they have been one for two days.",
    None,
);
const ALREADY_REQUESTED_ERROR: Error =
    Error::Conflict("This has already been requested and is pending approval.", None);
const ROLE_CHANGED_ERROR: Error = Error::Conflict("Your role has just changed. Nothing was done.", None);
const ALREADY_DECIDED_ERROR: Error =
    Error::Conflict("This request has already been decided or has expired. Nothing was done.", None);

fn action(registry: &Registry, kind: &str, parameters: &Value) -> Result<Box<dyn PendingAction>> {
    let known = registry.pending_action(kind);
    (known.ok_or_else(|| Error::internal(format!("no feature registered the pending action {kind}")))?.parse)(
        parameters,
    )
}

/// An action that somebody requests, and why.
pub(crate) struct ApprovalRequest<'a, A> {
    pub(crate) organization: &'a Organization,
    pub(crate) action: A,
    /// Name of the member it is done to.
    pub(crate) member: Option<&'a str>,
    pub(crate) justification: &'a Justification,
    pub(crate) hooks: &'a Hooks,
    /// The policies let them do it without a second person.
    pub(crate) alone: bool,
}

/// When a request can be approved, and how.
#[derive(Clone, Copy)]
struct Deadlines {
    requested_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// When an owner can approve it alone.
    single_approver_from: Option<DateTime<Utc>>,
}

impl Deadlines {
    fn new(now: DateTime<Utc>, affects_owner: bool) -> Self {
        let lifetime = if affects_owner { OWNER_REQUEST_LIFETIME } else { REQUEST_LIFETIME };
        let single_approver_from = affects_owner.then_some(now + OWNER_WAIT);
        Self { requested_at: now, expires_at: now + lifetime, single_approver_from }
    }

    /// What the email about the request says of them.
    fn note(&self) -> String {
        match self.single_approver_from {
            Some(from) => {
                format!("Unless an owner or admin declines, any owner can do it from {}.", format_datetime(from))
            }
            None => format!("A second person has to approve it by {}.", format_datetime(self.expires_at)),
        }
    }
}

impl<A: StoredAction> ApprovalRequest<'_, A> {
    /// Executes the action if they may do it alone, or stores it for a second person. Returns whether it was executed.
    pub(crate) async fn submit(
        self,
        tx: &mut Tx<Write>,
        authn: &Authn,
        who: &SignedIn,
        membership: &Membership,
    ) -> Result<bool> {
        if self.alone {
            let (organization, details) = (self.organization, self.justification.details(json!({})));
            let (member, hooks) = (self.member, self.hooks);
            let execution = Execution { authn, organization, member, details, who, hooks };
            self.action.execute(tx, execution).await?;
            return Ok(true);
        }
        let affects_owner = self.action.affects_owner();
        // After the wait, any owner can do it.
        if !affects_owner && !has_other_approver(tx, who.user).await? {
            return Err(NO_APPROVER_ERROR);
        }
        let deadlines = Deadlines::new(authn.clock().now(), affects_owner);
        let (id, parameters) = (Uuid::now_v7(), serde_json::to_value(&self.action)?);
        self.insert(tx, id, &parameters, who.user, &membership.role, deadlines).await?;
        let title = self.action.title(self.member.unwrap_or("a member"));
        let details = self.justification.details(json!({ "title": title, "kind": A::KIND, "parameters": parameters }));
        let (organization, target) = (self.organization, Entity::new("Approval", id).to_string());
        let (note, page) = (deadlines.note(), list_url(organization));
        let doing = AnnouncementContext::new(authn, who, organization, &page).with_note(&note);
        APPROVAL_REQUESTED.announce(tx, &doing, target, details).await?.record(tx).await?;
        Ok(false)
    }

    async fn insert(
        &self,
        tx: &mut Tx<Write>,
        id: Uuid,
        parameters: &Value,
        requester: UserId,
        role: &str,
        Deadlines { requested_at, expires_at, single_approver_from }: Deadlines,
    ) -> Result<()> {
        let target = self.action.target(self.organization.id);
        expire_stale(tx, A::KIND, target, requested_at).await?;
        sqlx::query!(
            "insert into tenant.approvals
               (id, kind, target, parameters, reason, ticket, requested_by, requester_role, requested_at, expires_at, single_approver_from)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            id,
            A::KIND,
            target,
            parameters,
            self.justification.reason(),
            self.justification.ticket(),
            requester.uuid(),
            role,
            requested_at,
            expires_at,
            single_approver_from,
        )
        .execute(&mut **tx)
        .await
        .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
            Some("approvals_open_unique") => ALREADY_REQUESTED_ERROR,
            Some("approvals_requester") => ROLE_CHANGED_ERROR,
            _ => error.into(),
        })?;
        Ok(())
    }
}

/// Closes requests that nobody approved in time.
async fn expire_stale(tx: &mut Tx<Write>, kind: &str, target: Uuid, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update tenant.approvals set decided_at = expires_at, outcome = 'expired'
          where kind = $1 and target = $2 and decided_at is null and expires_at <= $3",
        kind,
        target,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A decision about a request, with the action as the row had it at that moment.
pub(super) struct Resolution {
    pub(super) action: Box<dyn PendingAction>,
    /// For events: who requested it, who decided, and why.
    pub(super) details: Value,
}

/// Decides a request, if nobody has, and if its requester still has the role of that time. `outcome` is `approved` or
/// `declined`.
pub(super) async fn decide(
    tx: &mut Tx<Write>,
    approval: &Approval,
    registry: &Registry,
    outcome: &str,
    who: UserId,
    now: DateTime<Utc>,
) -> Result<Resolution> {
    let taken = sqlx::query!(
        r#"update tenant.approvals set decided_by = $2, decided_at = $3, outcome = $4
            where id = $1 and decided_at is null and expires_at > $3 and requester_role = $5
           returning kind, parameters, reason, ticket, requested_by as "requested_by: UserId""#,
        approval.id,
        who.uuid(),
        now,
        outcome,
        approval.requester_role,
    );
    let taken = taken.fetch_optional(&mut **tx).await?.ok_or(ALREADY_DECIDED_ERROR)?;
    let action = action(registry, &taken.kind, &taken.parameters)?;
    let facts = json!({
        "title": approval.title(&*action), "requester": approval.requester, "approval": approval.id, "kind": taken.kind,
        "parameters": taken.parameters, "requested_by": taken.requested_by, "decided_by": who,
    });
    Ok(Resolution { action, details: with_reason(facts, &taken.reason, taken.ticket.as_deref()) })
}
