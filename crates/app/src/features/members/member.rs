use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use web::{DisplayEmail, Error, Result};

use super::{ROLE_CHANGED, SESSIONS_ENDED};
use crate::base::{
    AnnouncementContext, EmailedEventKind, Hooks, Justification, ListQuery, MemberSignOut, Organization, Role,
};

/// A member of the organization.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row as the query returns it")]
pub(crate) struct Member {
    pub(super) organization: TenantId,
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) email_verified: bool,
    /// What is equal for names that look alike.
    pub(super) name_key: Option<Vec<u8>>,
    /// Another member has this name, or one that looks like it.
    pub(super) same_name: bool,
    pub(super) role: String,
    /// They were an owner or an admin within the last day.
    recent_administrator: bool,
    pub(super) since: DateTime<Utc>,
    /// The organization's own provider manages their account, and no other.
    pub(super) managed: bool,
}

impl Member {
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { user: self.user, name: &self.name, role: &self.role }
    }

    pub(super) fn role_label(&self) -> &'static str {
        Role::label_of(&self.role)
    }

    pub(super) fn address(&self) -> DisplayEmail {
        DisplayEmail::of_person(&self.email, self.email_verified)
    }
}

/// The members that `$condition` selects, in the order that it says.
macro_rules! select_members {
    ($condition:literal, $($parameter:expr),+ $(,)?) => {
        sqlx::query_as!(
            Member,
            r#"select m.tenant_id as "organization: TenantId", m.user_id as "user: UserId", u.display_name as name, u.email,
                      u.verified_email is not null as "email_verified!",
                      u.name_key, exists (select from identity.users o join tenant.memberships om on om.user_id = o.id
                                           where o.name_key = u.name_key and o.id <> u.id) as "same_name!",
                      m.role, m.created_at as since,
                      (m.recent_administrator_until > now()) is true as "recent_administrator!",
                      u.managed_by is not distinct from m.tenant_id as "managed!"
                 from tenant.memberships m join identity.users u on u.id = m.user_id
                "# + $condition,
            $($parameter),+
        )
    };
}

impl Resource for Member {
    type Plane = Tenant;
    type View = super::ViewMember;

    async fn load(tx: &mut Tx<Read>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(user) = path.id::<UserId>("member") else { return Ok(None) };
        Ok(select_members!("where m.user_id = $1", user.uuid()).fetch_optional(&mut **tx).await?)
    }

    fn entity(&self) -> Entity {
        let organization = Organization::as_entity(self.organization);
        Entity::new("Member", self.user)
            .reference("organization", &organization)
            .text("role", &self.role)
            .flag("recent_administrator", self.recent_administrator)
            .inside(Entity::new("Role", &*self.role))
            .inside(organization)
    }
}

/// One page of the members that match `find`, and the address of the next page below `list_url`.
pub(super) async fn page(tx: &mut Tx<Read>, find: &ListQuery, list_url: &str) -> Result<(Vec<Member>, Option<String>)> {
    let found = select(tx, find).await?;
    Ok(find.page(found, list_url, |member| (&member.name, member.user.uuid())))
}

/// One page of members and one more, by name, with a word that begins with the search term. The term is not a pattern.
async fn select(tx: &mut Tx<Read>, find: &ListQuery) -> Result<Vec<Member>> {
    let page = select_members!(
        r#"where ($1 = '' or exists (select from unnest(u.words) w
                                       where w >= $1 collate tenant.alike and w < ($1 || U&'\FFFF') collate tenant.alike))
              and (u.display_name collate "und-x-icu", m.user_id) > ($2, $3)
            order by u.display_name collate "und-x-icu", m.user_id limit 21"#,
        find.search_term(),
        find.after,
        find.after_id(),
    );
    Ok(page.fetch_all(&mut **tx).await?)
}

const MEMBER_CHANGED_ERROR: Error =
    Error::Conflict("Somebody else has changed this member's role or removed them. Nothing was changed.", None);
const LAST_OWNER_ERROR: Error = Error::Conflict("This is the last owner. Make somebody else an owner first.", None);

/// A member, as the policies decided about them.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) user: UserId,
    pub(super) name: &'a str,
    pub(super) role: &'a str,
}

impl Subject<'_> {
    fn target(&self) -> String {
        Entity::new("Member", self.user).to_string()
    }
}

/// Changes the role of `member` to `to`, if they still have the one that was decided on. `details` has the justification.
pub(super) async fn change_role(
    tx: &mut Tx<Write>,
    member: Subject<'_>,
    to: Role,
    mut details: Value,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    details["member"] = json!(member.name);
    details["from"] = json!(member.role);
    details["to"] = json!(to.key());
    let announcement = ROLE_CHANGED.announce(tx, doing, member.target(), details).await?;
    let changed = sqlx::query!(
        "update tenant.memberships set role = $3 where user_id = $1 and role = $2",
        member.user.uuid(),
        member.role,
        to.key(),
    )
    .execute(&mut **tx)
    .await
    .on_constraint("memberships_owner_required", || LAST_OWNER_ERROR)?;
    if changed.rows_affected() == 0 {
        return Err(MEMBER_CHANGED_ERROR);
    }
    announcement.record(tx).await
}

/// Signs a member out of the organization until they sign in again. Sessions bonded to the organization end. Other sessions
/// lose only their access here.
pub(super) async fn end_sessions(
    tx: &mut Tx<Write>,
    signed_out: MemberSignOut,
    name: &str,
    hooks: &Hooks,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let user = signed_out.member.uuid();
    let member_now =
        sqlx::query!("update tenant.memberships set signed_out_at = clock_timestamp() where user_id = $1", user);
    if member_now.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(MEMBER_CHANGED_ERROR);
    }
    hooks.sign_out_member(tx, signed_out).await?;
    let ended = sqlx::query!(
        "update identity.sessions set ended_at = $2, ended_reason = 'ended by an organization'
          where user_id = $1 and sso_tenant_id = (select current_setting('app.tenant_id')::uuid) and ended_at is null
            and expires_at > $2",
        user,
        signed_out.at,
    );
    let details =
        justification.details(json!({ "member": name, "ended": ended.execute(&mut **tx).await?.rows_affected() }));
    let target = Entity::new("Member", signed_out.member).to_string();
    SESSIONS_ENDED.announce(tx, doing, target, details).await?.record(tx).await
}

/// Ends the membership, if the member still has the role. `kind` is [`MEMBER_REMOVED`](super::MEMBER_REMOVED) or
/// [`MEMBER_LEFT`](super::MEMBER_LEFT), and `details` has the justification.
pub(super) async fn remove(
    tx: &mut Tx<Write>,
    member: Subject<'_>,
    kind: EmailedEventKind,
    mut details: Value,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let (user, role) = (member.user.uuid(), member.role);
    details["member"] = json!(member.name);
    details["role"] = json!(role);
    let announcement = kind.announce(tx, doing, member.target(), details).await?;
    let removed = sqlx::query!("delete from tenant.memberships where user_id = $1 and role = $2", user, role);
    let removed = removed.execute(&mut **tx).await.on_constraint("memberships_owner_required", || LAST_OWNER_ERROR)?;
    if removed.rows_affected() == 0 {
        return Err(MEMBER_CHANGED_ERROR);
    }
    announcement.record(tx).await
}
