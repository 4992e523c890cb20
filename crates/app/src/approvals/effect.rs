use authn::{Authn, SignedIn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use crate::members::Role;
use crate::notices::{Doing, unlinked};
use crate::organizations::Organization;
use crate::{members, organizations, settings};

/// What is to be done, and what must be true still when it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "parameters", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Wanted {
    /// Delete the organization of this name.
    DeleteOrganization { name: String },
    /// Stop requiring the organization's provider, links by mail being allowed or not.
    RelaxSignOn { mail_links: bool },
    /// Take the factors of a member in this role.
    ResetFactors { member: UserId, role: String },
    /// End the membership of an owner.
    RemoveOwner { member: UserId },
    /// Give an owner this role.
    DemoteOwner { member: UserId, role: String },
}

/// As it is kept.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub(super) kind: String,
    pub(super) parameters: Value,
}

impl Wanted {
    pub(super) fn kept(&self) -> Result<Kept> {
        Ok(serde_json::from_value(serde_json::to_value(self)?)?)
    }

    pub(super) fn of(kind: &str, parameters: &Value) -> Result<Self> {
        Ok(serde_json::from_value(json!({ "kind": kind, "parameters": parameters }))?)
    }

    /// The organization or the member.
    pub(super) fn target(&self, organization: TenantId) -> Uuid {
        match self {
            Self::DeleteOrganization { .. } | Self::RelaxSignOn { .. } => organization.uuid(),
            Self::ResetFactors { member, .. } | Self::RemoveOwner { member } | Self::DemoteOwner { member, .. } => {
                member.uuid()
            }
        }
    }

    /// It takes the ownership or the factors of an owner. The owner concerned can approve it, and has three days to decline
    /// before another owner does it alone.
    pub(super) fn is_done_to_an_owner(&self) -> bool {
        match self {
            Self::RemoveOwner { .. } | Self::DemoteOwner { .. } => true,
            Self::ResetFactors { role, .. } => role == OWNER,
            Self::DeleteOrganization { .. } | Self::RelaxSignOn { .. } => false,
        }
    }

    /// Whether it ends what lets `user` see the organization.
    pub(super) fn shuts_out(&self, user: UserId) -> bool {
        match self {
            Self::DeleteOrganization { .. } => true,
            Self::RemoveOwner { member } => *member == user,
            Self::RelaxSignOn { .. } | Self::ResetFactors { .. } | Self::DemoteOwner { .. } => false,
        }
    }

    /// In a few words, `member` being the name of the one it is done to.
    pub(super) fn title(&self, member: &str) -> String {
        match self {
            Self::DeleteOrganization { name } => format!("Delete the organization {name}"),
            Self::RelaxSignOn { .. } => "Stop requiring your own provider".to_owned(),
            Self::ResetFactors { role, .. } => {
                format!("Reset the passkeys and codes of {member}, {}", Role::label_of(role))
            }
            Self::RemoveOwner { .. } => format!("Remove {member}, Owner"),
            Self::DemoteOwner { role, .. } => {
                format!("Change the role of {member} from Owner to {}", Role::label_of(role))
            }
        }
    }

    /// What happens when it is approved.
    pub(super) fn consequences(&self) -> &'static str {
        match self {
            Self::DeleteOrganization { .. } => organizations::DELETION,
            Self::RelaxSignOn { mail_links: false } => {
                "Members can then sign in with any provider that is set up here, or with a passkey."
            }
            Self::RelaxSignOn { mail_links: true } => {
                "Members can then sign in with any provider that is set up here, with a passkey, or with a link by email."
            }
            Self::ResetFactors { .. } => members::RESET,
            Self::RemoveOwner { .. } => members::REMOVAL,
            Self::DemoteOwner { .. } => "They can do what the new role allows, and are no longer an owner.",
        }
    }

    /// Does it, or nothing where it is not true any more what must be. `details` says who wanted it and why, `name` is that
    /// of the member it is done to.
    pub(super) async fn carry_out(
        &self,
        tx: &mut Tx<Write>,
        authn: &Authn,
        (organization, name): (&Organization, Option<&str>),
        details: Value,
        who: &SignedIn,
    ) -> Result<()> {
        let name = name.map_or_else(|| "a member".to_owned(), unlinked);
        match self {
            Self::DeleteOrganization { name } => {
                organizations::delete(tx, authn, (organization, name), details, &who.actor()).await
            }
            Self::RelaxSignOn { mail_links } => {
                let (did, page) = ("has stopped requiring the organization's own provider", organization.url());
                let doing = Doing { authn, who, organization, did, page: &page, member: None };
                settings::relax(tx, *mail_links, details, &doing).await
            }
            Self::ResetFactors { member, role } => {
                let (did, page) = (format!("has reset the passkeys and codes of {name}"), organization.url());
                let doing = Doing { authn, who, organization, did: &did, page: &page, member: Some(*member) };
                members::reset_factors(tx, (*member, role), details, &doing).await
            }
            Self::RemoveOwner { member } => {
                let (did, page) = (format!("has removed {name}"), "/organizations");
                let doing = Doing { authn, who, organization, did: &did, page, member: Some(*member) };
                members::remove(tx, (*member, OWNER), details, &doing).await
            }
            Self::DemoteOwner { member, role } => {
                let to = Role::try_from(&**role).map_err(|_| CHANGED)?;
                let (did, page) = (format!("has changed the role of {name} to {}", to.label()), organization.url());
                let doing = Doing { authn, who, organization, did: &did, page: &page, member: Some(*member) };
                members::change_role(tx, (*member, OWNER), to, details, &doing).await
            }
        }
    }
}

const OWNER: &str = Role::Owner.key();

/// Where something is refused because it is not any more what it was.
pub(crate) const CHANGED: Error = Error::Conflict(
    "What this is about has changed since it was asked for. Nothing was done. Ask again, if it is still wanted.",
    None,
);

#[cfg(test)]
mod tests {
    use super::*;

    // control: POL-07
    #[test]
    fn what_is_kept_is_what_was_wanted_and_nothing_else_is_taken() {
        let all = [
            Wanted::DeleteOrganization { name: "Acme".to_owned() },
            Wanted::RelaxSignOn { mail_links: true },
            Wanted::ResetFactors { member: UserId::new(), role: "admin".to_owned() },
            Wanted::RemoveOwner { member: UserId::new() },
            Wanted::DemoteOwner { member: UserId::new(), role: "admin".to_owned() },
        ];
        for wanted in all {
            let kept = wanted.kept().unwrap();
            assert_eq!(Wanted::of(&kept.kind, &kept.parameters).unwrap(), wanted);
        }
        for (kind, parameters) in [
            ("delete_organization", json!({})),
            ("relax_sign_on", json!({ "mail_links": "yes" })),
            ("reset_factors", json!({ "role": "admin" })),
            ("sell_organization", json!({ "name": "Acme" })),
        ] {
            assert!(Wanted::of(kind, &parameters).is_err(), "{kind}");
        }
    }
}
