use audit::Actor;
use authn::{Authn, RateLimit};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{Membership, Read, RequestAccess, Tenant, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::PRIVILEGED_INVITATION;
use super::{INVITATION_MADE, INVITATION_REVOKED};
use crate::base::{AnnouncementContext, BoxFuture, Deleted, Justification, Organization, Role, truncate};

/// Invitations that one person may make, in all their organizations (with a bond, in that one): a team at once, and then
/// one every two minutes, so that nobody sends unwanted mail in our name.
pub(super) const INVITATION_LIMIT: RateLimit =
    RateLimit { name: "invitation", burst: 30, period: Duration::minutes(2) };
/// Mails to one address about invitations, those of one organization and those of all. An invitation beyond it is
/// made without an email, and the page says so. So other organizations cannot use up the limit and block an invitation.
pub(super) const INVITATION_MAIL_LIMIT: RateLimit =
    RateLimit { name: "invitation mail", burst: 5, period: Duration::hours(4) };
pub(super) const INVITATION_MAIL_LIMIT_ALL: RateLimit =
    RateLimit { name: "invitation mails", burst: 20, period: Duration::hours(1) };
/// How long an invitation can be accepted.
const LIFETIME: Duration = Duration::days(7);

/// An invitation, as the organization sees it.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) role: String,
    pub(super) inviter: String,
    pub(super) inviter_email: String,
    pub(super) inviter_verified: bool,
    /// The mail that tells of it was given up.
    pub(super) undelivered: bool,
    /// A mail was sent.
    pub(super) notified: bool,
    inviter_role: String,
    pub(super) expires_at: DateTime<Utc>,
}

impl Resource for Invitation {
    type Plane = Tenant;
    type View = super::RevokeInvitation;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("invitation") else { return Ok(None) };
        Ok(sqlx::query_as!(
            Invitation,
            r#"select i.tenant_id as "organization: TenantId", i.id, i.email, i.role, u.display_name as inviter,
                      u.email as inviter_email, u.verified_email is not null as "inviter_verified!",
                      exists (select from audit.events e
                               where e.kind = 'mail.undeliverable' and e.id > i.id and e.details ->> 'mail' = 'invitation'
                                 and e.details ->> 'recipient' = i.email
                                 and not exists (select from audit.events r where r.kind = 'job.retried' and r.id > e.id
                                                    and r.details ->> 'about' = i.email)) as "undelivered!",
                      i.notified, i.inviter_role, i.expires_at
                 from tenant.invitations i join identity.users u on u.id = i.invited_by
                where i.id = $1"#,
            id,
        )
        .fetch_optional(&mut **tx)
        .await?)
    }

    fn entity(&self) -> Entity {
        entity(self.organization, self.id, &self.email, &self.role, &self.inviter_role)
    }
}

/// An invitation as policies see it.
pub(super) fn entity(organization: TenantId, id: Uuid, email: &str, role: &str, inviter_role: &str) -> Entity {
    Entity::new("Invitation", id)
        .text("email", email)
        .text("role", role)
        .text("inviter_role", inviter_role)
        .inside(Entity::new("Role", role))
        .inside(Organization::as_entity(organization))
}

/// Most that the page shows.
const MAX_SHOWN: usize = 500;

/// Those that can still be accepted, by address, and whether there are more.
pub(super) async fn all(tx: &mut Tx<Read>, now: DateTime<Utc>) -> Result<(Vec<Invitation>, bool)> {
    let found = sqlx::query_as!(
        Invitation,
        r#"select i.tenant_id as "organization: TenantId", i.id, i.email, i.role, u.display_name as inviter,
                  u.email as inviter_email, u.verified_email is not null as "inviter_verified!",
                  exists (select from audit.events e
                           where e.kind = 'mail.undeliverable' and e.id > i.id and e.details ->> 'mail' = 'invitation'
                             and e.details ->> 'recipient' = i.email
                             and not exists (select from audit.events r where r.kind = 'job.retried' and r.id > e.id
                                                and r.details ->> 'about' = i.email)) as "undelivered!",
                  i.notified, i.inviter_role, i.expires_at
             from tenant.invitations i join identity.users u on u.id = i.invited_by
            where i.expires_at > $1 order by i.email limit 501"#,
        now,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// Whether a mail may be sent to an address. It is counted when it is queued ([`count_told`]).
pub(super) async fn may_be_told(authn: &Authn, email: &str, organization: TenantId) -> Result<bool> {
    for (limit, whose) in mail_limits(email, organization) {
        if authn.is_rate_limited(limit, &whose).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Counts a mail that was queued.
pub(super) async fn count_told(authn: &Authn, email: &str, organization: TenantId) -> Result<()> {
    for (limit, whose) in mail_limits(email, organization) {
        match authn.check_rate_limit_silently(limit, &whose).await {
            // Others were sent in the same moment.
            Ok(()) | Err(Error::TooMany(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn mail_limits(email: &str, organization: TenantId) -> [(RateLimit, String); 2] {
    [(INVITATION_MAIL_LIMIT, format!("{email} {organization}")), (INVITATION_MAIL_LIMIT_ALL, email.to_owned())]
}

/// What keeps an address from being invited: somebody with it belongs to the organization, or is invited already.
pub(super) async fn obstacle(tx: &mut Tx<Write>, email: &str, now: DateTime<Utc>) -> Result<Option<&'static str>> {
    let known = sqlx::query!(
        r#"select exists (select from tenant.memberships m join identity.users u on u.id = m.user_id
                           where u.verified_email = $1) as "belongs!",
                  exists (select from tenant.invitations where email = $1 and expires_at > $2) as "invited!""#,
        email,
        now,
    );
    let known = known.fetch_one(&mut **tx).await?;
    Ok(if known.belongs {
        Some("Somebody with this email address is already a member.")
    } else if known.invited {
        Some("This person is already invited. To change the role, cancel that invitation first.")
    } else {
        None
    })
}

const INVITATION_CHANGED_ERROR: Error =
    Error::Conflict("This address was invited, or your own role changed, in the same moment. Nothing was done.", None);

/// Invites `email`, in small letters, as `role`. Returns until when. `told`: a mail goes with it.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    (email, role, told): (&str, Role, bool),
    inviter: &Membership,
    justification: &Justification,
    now: DateTime<Utc>,
    doing: &AnnouncementContext<'_>,
) -> Result<DateTime<Utc>> {
    let (id, expires_at, by) = (Uuid::now_v7(), now + LIFETIME, doing.who.actor());
    sqlx::query!("delete from tenant.invitations where expires_at <= $1", now).execute(&mut **tx).await?;
    sqlx::query!(
        "insert into tenant.invitations (id, email, role, invited_by, inviter_role, created_at, expires_at, notified)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id,
        email,
        role.key(),
        by.user.map(tenancy::UserId::uuid),
        inviter.role,
        now,
        expires_at,
        told,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("invitations_email_unique" | "invitations_inviter") => INVITATION_CHANGED_ERROR,
        _ => error.into(),
    })?;
    let details = justification.details(json!({ "email": email, "role": role.key() }));
    let target = format!("Invitation::{id}");
    // Owners hear of everybody who may come to decide about people or money.
    if role.is_privileged() {
        PRIVILEGED_INVITATION.announce(tx, doing).await?.record(tx, target, details, &by).await?;
    } else {
        INVITATION_MADE.record(tx, target, details, &by).await?;
    }
    Ok(expires_at)
}

/// Cancels it. The invited person does not see it any more.
pub(super) async fn revoke(
    tx: &mut Tx<Write>,
    invitation: &Invitation,
    justification: &Justification,
    by: &Actor,
) -> Result<()> {
    let revoked = sqlx::query!("delete from tenant.invitations where id = $1", invitation.id);
    if revoked.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(Error::Conflict("This invitation has been accepted or cancelled. Nothing was changed.", None));
    }
    let details = justification.details(json!({ "email": invitation.email, "role": invitation.role }));
    INVITATION_REVOKED.record(tx, format!("Invitation::{}", invitation.id), details, by).await
}

/// Deletes those of an organization that is deleted.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, _: &'a Authn) -> BoxFuture<'a, Result<Deleted>> {
    Box::pin(async move {
        let deleted = sqlx::query!("delete from tenant.invitations").execute(&mut **tx).await?;
        Ok(Some(("invitations", deleted.rows_affected())))
    })
}
