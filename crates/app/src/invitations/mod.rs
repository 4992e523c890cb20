//! Asking people to join an organization, and joining.

mod invitation;
mod own;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::account::Account;
use crate::organizations::Organization;

use invitation::Invitation;
use own::OwnInvitation;

authz::actions! {
    /// See who is invited.
    ListInvitations: Read on Organization;
    /// Invite somebody.
    InviteMember: Write on Organization;
    /// Invite somebody as an owner; asked in addition to `InviteMember`.
    InviteOwner: Write on Organization;
    /// Take an invitation back.
    RevokeInvitation: Write on Invitation;
    /// See what one is invited to.
    ListOwnInvitations: Read on Account;
    /// Join as one was invited.
    AcceptInvitation: Write on OwnInvitation;
}

/// How long they are kept after they have ended.
const KEEPING: &[tenancy::Rule] = &[tenancy::keep!(
    "tenant.invitations",
    "tenant_id, id",
    "expires_at",
    tenancy::Keep::For(std::time::Duration::from_hours(30 * 24))
)];

pub(crate) fn feature() -> Feature {
    let organization = Routes::new()
        .get("", pages::list)
        .post("", pages::invite)
        .get("/new", pages::new)
        .get("/{invitation}/revoke", pages::confirm_revocation)
        .post("/{invitation}/revoke", pages::revoke)
        .under("/o/{organization}/invitations");
    let routes = Routes::new()
        .get("/invitations", pages::list_own)
        .post("/invitations/{own_invitation}/accept", pages::accept)
        .and(organization);
    let policies = PolicySource {
        name: "invitations",
        schema: include_str!("../../../../policies/invitations.cedarschema"),
        policies: include_str!("../../../../policies/invitations.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let events = &[
        ("invitation.made", "Invited somebody"),
        ("invitation.privileged", "Invited somebody to a privileged role"),
        ("invitation.revoked", "Took an invitation back"),
        ("member.joined", "Joined the organization"),
        ("mail.undeliverable", "Could not deliver a mail"),
    ];
    Feature { routes, policies: Some(policies), events, keeping: KEEPING, ..Feature::default() }
}
