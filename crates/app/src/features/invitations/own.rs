use audit::Actor;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{Account, OnConstraint, Read, RequestAccess, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::MEMBER_JOINED;
use super::invitation;
use crate::base::{Role, truncate};

/// An invitation, as the invited person sees it. Row-level security shows only those for the verified address of the caller.
#[derive(Debug)]
pub(crate) struct OwnInvitation {
    pub(super) organization: TenantId,
    pub(super) organization_name: String,
    pub(super) id: Uuid,
    email: String,
    pub(super) role: String,
    inviter_role: String,
    pub(super) expires_at: DateTime<Utc>,
}

impl OwnInvitation {
    pub(super) fn role_label(&self) -> &'static str {
        Role::label_of(&self.role)
    }
}

impl Resource for OwnInvitation {
    type Plane = Account;
    type View = super::AcceptInvitation;

    async fn load(tx: &mut Tx<Read, Account>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("own_invitation") else { return Ok(None) };
        Ok(sqlx::query_as!(
            OwnInvitation,
            r#"select i.tenant_id as "organization: TenantId", o.name as organization_name, i.id, i.email, i.role,
                      i.inviter_role, i.expires_at
                 from tenant.invitations i join tenant.organizations o using (tenant_id) where i.id = $1"#,
            id,
        )
        .fetch_optional(&mut **tx)
        .await?)
    }

    fn entity(&self) -> Entity {
        invitation::entity(self.organization, self.id, &self.email, &self.role, &self.inviter_role)
    }
}

/// Most that the page shows.
const MAX_SHOWN: usize = 100;

/// The invitations that can still be accepted, the newest first, and whether there are more.
pub(super) async fn all(tx: &mut Tx<Read, Account>, now: DateTime<Utc>) -> Result<(Vec<OwnInvitation>, bool)> {
    let found = sqlx::query_as!(
        OwnInvitation,
        r#"select i.tenant_id as "organization: TenantId", o.name as organization_name, i.id, i.email, i.role,
                  i.inviter_role, i.expires_at
             from tenant.invitations i join tenant.organizations o using (tenant_id)
            where i.expires_at > $1 order by i.created_at desc, i.id limit 101"#,
        now,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

const INVITATION_ENDED_ERROR: Error =
    Error::Conflict("This invitation has expired or was cancelled. Ask for a new one.", None);
const ALREADY_MEMBER_ERROR: Error = Error::Conflict("You are already a member of this organization.", None);

/// Accepts an invitation, which uses it up: of two parallel requests, one finds it gone. The database lets nobody join who is
/// not invited to that role.
pub(super) async fn accept(
    tx: &mut Tx<Write, Account>,
    own: &OwnInvitation,
    user: UserId,
    now: DateTime<Utc>,
    by: &Actor,
) -> Result<()> {
    let joined = sqlx::query!(
        "with used as (
           delete from tenant.invitations where id = $1 and inviter_role = $3 and expires_at > $4 returning tenant_id, role)
         insert into tenant.memberships (tenant_id, user_id, role) select tenant_id, $2, role from used",
        own.id,
        user.uuid(),
        own.inviter_role,
        now,
    )
    .execute(&mut **tx)
    .await
    .on_constraint("memberships_pkey", || ALREADY_MEMBER_ERROR)?;
    if joined.rows_affected() == 0 {
        return Err(INVITATION_ENDED_ERROR);
    }
    let target = Entity::new("Member", user).to_string();
    let details = json!({ "role": own.role, "invitation": own.id });
    MEMBER_JOINED.record_in(tx, own.organization, target, details, by).await?;
    Ok(())
}
