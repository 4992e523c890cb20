use authn::RateLimit;
use authz::{Contribution, Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tenancy::{Membership, Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::{ELEVATION_APPROVED, ELEVATION_DECLINED, ELEVATION_ENDED, ELEVATION_REQUESTED};
use crate::base::{
    AnnouncementContext, BoxFuture, DisplayActor, Justification, MemberSignOut, Organization, Role, truncate,
    with_reason,
};

/// Requests of one person, in all their organizations. Owners and admins get an email for each.
pub(super) const ELEVATION_LIMIT: RateLimit = RateLimit { name: "elevation", burst: 5, period: Duration::minutes(10) };
/// How long a request can be approved.
const REQUEST_LIFETIME: Duration = Duration::hours(24);

/// A request for temporary access to a role, and the access itself once it is approved.
#[derive(Debug)]
pub(crate) struct Elevation {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) user: UserId,
    pub(super) name: String,
    email: String,
    email_verified: bool,
    pub(super) role: String,
    pub(super) minutes: i32,
    pub(super) reason: String,
    pub(super) ticket: String,
    pub(super) requested_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    approver: Option<String>,
    approver_email: Option<String>,
    approver_verified: Option<bool>,
    approved_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// The session that requested it has ended, and the access with it.
    signed_out: bool,
}

/// The state of an elevation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Pending, until this time.
    Open(DateTime<Utc>),
    /// Active, until this time.
    Active(DateTime<Utc>),
    Declined,
    Ended,
    /// Nobody approved it in time.
    Expired,
    /// The session that requested it has ended.
    SignedOut,
}

impl Stage {
    /// As people read it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Open(_) => "Pending approval",
            Self::Active(_) => "Active",
            Self::Declined => "Declined",
            Self::Ended => "Ended",
            Self::Expired => "Expired",
            Self::SignedOut => "Ended with the session",
        }
    }

    /// The tone of its badge.
    pub(super) fn tone(self) -> &'static str {
        match self {
            Self::Open(_) => "accent",
            Self::Active(_) => "warning",
            Self::Declined | Self::Ended | Self::Expired | Self::SignedOut => "plain",
        }
    }

    /// Until when it is pending or active. `None`: it has ended.
    pub(super) fn until(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Open(until) | Self::Active(until) => Some(until),
            Self::Declined | Self::Ended | Self::Expired | Self::SignedOut => None,
        }
    }
}

impl Elevation {
    pub(super) fn stage(&self, now: DateTime<Utc>) -> Stage {
        let until = self.approved_at.map(|at| at + Duration::minutes(self.minutes.into()));
        match (until, self.ended_at) {
            (None, Some(_)) => Stage::Declined,
            (None, None) if self.expires_at <= now => Stage::Expired,
            (_, None) if self.signed_out && until.is_none_or(|until| until > now) => Stage::SignedOut,
            (None, None) => Stage::Open(self.expires_at),
            (Some(until), None) if until > now => Stage::Active(until),
            (Some(_), _) => Stage::Ended,
        }
    }

    pub(super) fn role_label(&self) -> &'static str {
        Role::label_of(&self.role)
    }

    pub(super) fn requester_actor(&self) -> DisplayActor {
        DisplayActor::person(Some(self.name.clone()), Some(&self.email), Some(self.email_verified))
    }

    pub(super) fn approver_actor(&self) -> Option<DisplayActor> {
        let name = self.approver.clone()?;
        Some(DisplayActor::person(Some(name), self.approver_email.as_deref(), self.approver_verified))
    }

    fn details(&self) -> Value {
        let facts = json!({ "member": self.name, "member_id": self.user, "role": self.role, "minutes": self.minutes });
        with_reason(facts, &self.reason, Some(&self.ticket))
    }
}

impl Resource for Elevation {
    type Plane = Tenant;
    type View = super::ViewElevation;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("elevation") else { return Ok(None) };
        Ok(find(tx, Some(id)).await?.0.pop())
    }

    fn entity(&self) -> Entity {
        Entity::new("Elevation", self.id)
            .reference("member", &Entity::new("Member", self.user))
            .text("role", &self.role)
            .inside(Organization::as_entity(self.organization))
    }
}

/// Most that the page shows.
const MAX_SHOWN: usize = 500;

/// Open ones first, then the newest, and whether there are more. With an id, only that one.
pub(super) async fn find(tx: &mut Tx<Read>, id: Option<Uuid>) -> Result<(Vec<Elevation>, bool)> {
    let found = sqlx::query_as!(
        Elevation,
        r#"select e.tenant_id as "organization: TenantId", e.id, e.user_id as "user: UserId", u.display_name as name, u.email,
                  u.verified_email is not null as "email_verified!", e.role,
                  e.minutes, e.reason, e.ticket, e.requested_at, e.expires_at, a.display_name as "approver?",
                  a.email as "approver_email?", a.verified_email is not null as "approver_verified?", e.approved_at,
                  e.ended_at, (s.ended_at is not null) as "signed_out!"
             from tenant.elevations e join identity.users u on u.id = e.user_id
             left join identity.users a on a.id = e.approved_by
             left join identity.sessions s on s.id = e.session_id
            where $1::uuid is null or e.id = $1
            order by e.ended_at is null desc, e.requested_at desc, e.id limit 501"#,
        id,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// A requested role and duration.
pub(super) struct AccessRequest {
    pub(super) role: Role,
    pub(super) minutes: i32,
}

const ALREADY_REQUESTED_ERROR: Error =
    Error::Conflict("You already have a pending request or temporary access. End it first.", None);
const ALREADY_DECIDED_ERROR: Error = Error::Conflict(
    "Somebody else has already decided, the request has expired, they have signed out, or their own role is another one now. \
     Nothing was changed.",
    None,
);
const ALREADY_ENDED_ERROR: Error = Error::Conflict("This access has already ended. Nothing was changed.", None);

/// When a request made now expires.
pub(super) fn expiry(now: DateTime<Utc>) -> DateTime<Utc> {
    now + REQUEST_LIFETIME
}

/// Requests a role in addition to the member's current one.
pub(super) async fn request(
    tx: &mut Tx<Write>,
    access: &AccessRequest,
    membership: &Membership,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let (user, by, now) = (doing.who.user, doing.who.actor(), doing.authn.clock().now());
    let (id, expires_at) = (Uuid::now_v7(), expiry(now));
    sqlx::query!(
        "update tenant.elevations e
            set ended_at = least($2, coalesce(e.approved_at + make_interval(mins => e.minutes), e.expires_at))
          where e.user_id = $1 and e.ended_at is null
            and (coalesce(e.approved_at + make_interval(mins => e.minutes), e.expires_at) <= $2
                 or exists (select from identity.sessions s where s.id = e.session_id and s.ended_at is not null))",
        user.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into tenant.elevations (id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at)
         values ($1, $2, $10, $3, $4, $5, $6, $7, $8, $9)",
        id,
        user.uuid(),
        membership.role,
        access.role.key(),
        access.minutes,
        justification.reason(),
        justification.ticket(),
        now,
        expires_at,
        by.session,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("elevations_open_unique") => ALREADY_REQUESTED_ERROR,
        Some("elevations_member") => Error::NotFound,
        _ => error.into(),
    })?;
    let details = justification.details(
        json!({ "member": doing.who.name, "member_id": user, "role": access.role.key(), "minutes": access.minutes }),
    );
    let target = Entity::new("Elevation", id).to_string();
    ELEVATION_REQUESTED.announce(tx, doing, target, details).await?.record(tx).await
}

/// Approves a request, if the requester still has the role they had when they made it.
pub(super) async fn approve(
    tx: &mut Tx<Write>,
    elevation: &Elevation,
    now: DateTime<Utc>,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let target = elevation.entity().to_string();
    let announcement = ELEVATION_APPROVED.announce(tx, doing, target, elevation.details()).await?;
    let approved = sqlx::query!(
        "update tenant.elevations e set approved_by = $2, approved_at = $3
          where e.id = $1 and e.approved_at is null and e.ended_at is null and e.expires_at > $3
            and exists (select from tenant.memberships m where m.user_id = e.user_id and m.role = e.own_role)
            and not exists (select from identity.sessions s where s.id = e.session_id and s.ended_at is not null)",
        elevation.id,
        doing.who.user.uuid(),
        now,
    );
    if approved.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(ALREADY_DECIDED_ERROR);
    }
    announcement.record(tx).await
}

/// Declines or ends it. Returns whether it was approved. Call [`record_end`] next.
pub(super) async fn end(tx: &mut Tx<Write>, elevation: &Elevation, ender: UserId, now: DateTime<Utc>) -> Result<bool> {
    let was_active = sqlx::query_scalar!(
        r#"update tenant.elevations set ended_by = $2, ended_at = $3
            where id = $1 and ended_at is null and coalesce(approved_at + make_interval(mins => minutes), expires_at) > $3
           returning approved_at is not null as "was_active!""#,
        elevation.id,
        ender.uuid(),
        now,
    );
    was_active.fetch_optional(&mut **tx).await?.ok_or(ALREADY_ENDED_ERROR)
}

/// Ends the requests and active elevations of a member who is signed out.
pub(super) fn end_when_signed_out(tx: &mut Tx<Write>, signed_out: MemberSignOut) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let MemberSignOut { member, by, at } = signed_out;
        sqlx::query!(
            "update tenant.elevations set ended_at = $2, ended_by = $3 where user_id = $1 and ended_at is null",
            member.uuid(),
            at,
            by.uuid(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    })
}

/// Records that it was ended or declined. No role or membership has changed, so it may come after the change.
pub(super) async fn record_end(
    tx: &mut Tx<Write>,
    elevation: &Elevation,
    was_active: bool,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let announced = if was_active { ELEVATION_ENDED } else { ELEVATION_DECLINED };
    let target = elevation.entity().to_string();
    announced.announce(tx, doing, target, elevation.details()).await?.record(tx).await
}

/// The role of an active elevation, as a contribution to the context.
pub(super) fn context(access: &RequestAccess) -> Result<Contribution> {
    let acting = access.membership.as_ref().map(ActingRole::of).transpose()?.flatten();
    Ok(acting.map_or_else(Contribution::default, |acting| Contribution::default().role(acting.role).flag("elevated")))
}

/// The role that a member acts in for a while, as the look-up of the request found it.
#[derive(Deserialize)]
pub(super) struct ActingRole {
    pub(super) role: String,
    /// When it ends by itself.
    pub(super) ends_at: DateTime<Utc>,
}

impl ActingRole {
    /// `None` if they act in their own.
    pub(super) fn of(membership: &Membership) -> Result<Option<Self>> {
        Ok(membership.facts.of("elevations")?)
    }
}
