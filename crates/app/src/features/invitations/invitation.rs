use audit::Actor;
use authn::{Authn, RateLimit};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{Membership, Read, RequestAccess, Tenant, TenantId, Tx, Write};
use uuid::Uuid;
use web::{DisplayEmail, Error, Result};

use super::PRIVILEGED_INVITATION;
use super::{INVITATION_CREATED, INVITATION_REVOKED};
use crate::base::{
    AnnouncementContext, BoxFuture, DeletionCount, DisplayActor, Justification, Organization, Role, truncate,
};

/// Invitations of one person, in all their organizations (with a bond, in that one): a whole team at once, and then one every
/// two minutes. Nobody can send bulk email in our name.
pub(super) const INVITATION_LIMIT: RateLimit =
    RateLimit { name: "invitation", burst: 30, period: Duration::minutes(2) };
/// Invitation emails to one address, from one organization and from all. An invitation beyond the limit is created without an
/// email, and the page says so. Other organizations can therefore not use up the limit and block an invitation.
pub(super) const INVITATION_MAIL_LIMIT: RateLimit =
    RateLimit { name: "invitation mail", burst: 5, period: Duration::hours(4) };
pub(super) const INVITATION_MAIL_LIMIT_ALL: RateLimit =
    RateLimit { name: "invitation mails", burst: 20, period: Duration::hours(1) };
/// How long an invitation can be accepted.
const LIFETIME: Duration = Duration::days(7);

/// An invitation of an organization.
#[derive(Debug)]
pub(crate) struct Invitation {
    pub(super) organization: TenantId,
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) role: String,
    pub(super) inviter: String,
    pub(super) inviter_email: String,
    pub(super) inviter_verified: bool,
    /// The email about it could not be delivered.
    pub(super) undelivered: bool,
    /// An email was sent.
    pub(super) notified: bool,
    inviter_role: String,
    pub(super) expires_at: DateTime<Utc>,
}

impl Invitation {
    pub(super) fn address(&self) -> DisplayEmail {
        DisplayEmail::of_nobody(&self.email)
    }

    pub(super) fn role_label(&self) -> &'static str {
        Role::label_of(&self.role)
    }

    pub(super) fn invited_by(&self) -> DisplayActor {
        DisplayActor::person(Some(self.inviter.clone()), Some(&self.inviter_email), Some(self.inviter_verified))
    }

    /// Why the person may not know about it.
    pub(super) fn delivery_problem(&self) -> Option<&'static str> {
        match (self.notified, self.undelivered) {
            (false, _) => Some("No email sent"),
            (true, true) => Some("Email not delivered"),
            (true, false) => None,
        }
    }
}

/// The invitations that `$condition` selects, in the order that it says.
macro_rules! select_invitations {
    ($condition:literal, $($parameter:expr),+ $(,)?) => {
        sqlx::query_as!(
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
                "# + $condition,
            $($parameter),+
        )
    };
}

impl Resource for Invitation {
    type Plane = Tenant;
    type View = super::RevokeInvitation;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("invitation") else { return Ok(None) };
        Ok(select_invitations!("where i.id = $1", id).fetch_optional(&mut **tx).await?)
    }

    fn entity(&self) -> Entity {
        entity(self.organization, self.id, &self.email, &self.role, &self.inviter_role)
    }
}

/// The invitation as an entity of the policies.
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

/// The invitations that can still be accepted, by address, and whether there are more.
pub(super) async fn all(tx: &mut Tx<Read>, now: DateTime<Utc>) -> Result<(Vec<Invitation>, bool)> {
    let all = select_invitations!("where i.expires_at > $1 order by i.email limit 501", now);
    Ok(truncate(all.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// Counts an email to an address. Returns `false` if it may not be sent. It is counted before it is queued, because many
/// organizations can invite the same person at the same moment.
pub(super) async fn count_email(authn: &Authn, email: &str, organization: TenantId) -> Result<bool> {
    for (limit, whose) in mail_limits(email, organization) {
        match authn.check_rate_limit_silently(limit, &whose).await {
            Ok(()) => {}
            Err(Error::TooMany(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn mail_limits(email: &str, organization: TenantId) -> [(RateLimit, String); 2] {
    [(INVITATION_MAIL_LIMIT, format!("{email} {organization}")), (INVITATION_MAIL_LIMIT_ALL, email.to_owned())]
}

/// Why an address cannot be invited: it belongs to a member, or is already invited.
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

/// An invitation that is about to be created.
pub(super) struct NewInvitation<'a> {
    /// In lowercase.
    pub(super) email: &'a str,
    pub(super) role: Role,
    pub(super) inviter: &'a Membership,
    /// An email is sent.
    pub(super) notifies: bool,
}

/// Creates an invitation. Returns when it expires.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    NewInvitation { email, role, inviter, notifies }: NewInvitation<'_>,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<DateTime<Utc>> {
    let (now, by) = (doing.authn.clock().now(), doing.who.actor());
    let (id, expires_at) = (Uuid::now_v7(), now + LIFETIME);
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
        notifies,
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("invitations_email_unique" | "invitations_inviter") => INVITATION_CHANGED_ERROR,
        _ => error.into(),
    })?;
    let details = justification.details(json!({ "email": email, "role": role.key() }));
    let target = format!("Invitation::{id}");
    // Owners are notified of everybody who is invited to a privileged role.
    if role.is_privileged() {
        PRIVILEGED_INVITATION.announce(tx, doing, target, details).await?.record(tx).await?;
    } else {
        INVITATION_CREATED.record(tx, target, details, &by).await?;
    }
    Ok(expires_at)
}

/// Cancels it. The invited person no longer sees it.
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

/// Deletes the invitations of a deleted organization.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, _: &'a Authn) -> BoxFuture<'a, Result<DeletionCount>> {
    Box::pin(async move {
        let deleted = sqlx::query!("delete from tenant.invitations").execute(&mut **tx).await?;
        Ok(Some(("invitations", deleted.rows_affected())))
    })
}
