//! Actions on an owner, which need approval.

use serde::{Deserialize, Serialize};
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::Result;

use super::MEMBER_REMOVED;
use super::member::{self, Subject};
use crate::base::{AnnouncementContext, BoxFuture, Execution, PendingAction, Role, STATE_CHANGED_ERROR, StoredAction};

/// What removal means for the member.
pub(super) const REMOVAL_LEAD: &str = "They will no longer be able to open this organization. What they added stays.";

const OWNER: &str = Role::Owner.key();

/// Removes an owner.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    pub(super) member: UserId,
}

impl StoredAction for Removal {
    const KIND: &'static str = "remove_owner";
}

impl PendingAction for Removal {
    fn target(&self, _: TenantId) -> Uuid {
        self.member.uuid()
    }

    fn affects_owner(&self) -> bool {
        true
    }

    fn ends_access_of(&self, user: UserId) -> bool {
        self.member == user
    }

    fn title(&self, member: &str) -> String {
        format!("Remove {member}, Owner")
    }

    fn consequences(&self) -> &'static str {
        REMOVAL_LEAD
    }

    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Execution { authn, organization, member: name, details, who, .. } = execution;
            let name = name.unwrap_or("a member");
            let doing = AnnouncementContext::new(authn, who, organization, who.context().frame.start_page())
                .about_member(self.member);
            member::remove(tx, Subject { user: self.member, name, role: OWNER }, MEMBER_REMOVED, details, &doing).await
        })
    }
}

/// Changes the role of an owner.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Demotion {
    pub(super) member: UserId,
    pub(super) role: String,
}

impl StoredAction for Demotion {
    const KIND: &'static str = "demote_owner";
}

impl PendingAction for Demotion {
    fn target(&self, _: TenantId) -> Uuid {
        self.member.uuid()
    }

    fn affects_owner(&self) -> bool {
        true
    }

    fn title(&self, member: &str) -> String {
        format!("Change the role of {member} from Owner to {}", Role::label_of(&self.role))
    }

    fn consequences(&self) -> &'static str {
        "They can do what the new role allows, and are no longer an owner."
    }

    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Execution { authn, organization, member: name, details, who, .. } = execution;
            let to = Role::try_from(&*self.role).map_err(|_| STATE_CHANGED_ERROR)?;
            let name = name.unwrap_or("a member");
            let page = organization.url();
            let doing = AnnouncementContext::new(authn, who, organization, &page).about_member(self.member);
            member::change_role(tx, Subject { user: self.member, name, role: OWNER }, to, details, &doing).await
        })
    }
}
