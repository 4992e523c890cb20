//! Inviting people to an organization, and joining.

mod invitation;
mod own;
mod pages;

use authz::Routes;

use crate::base::{Account, Feature, Organization, Tab, events, policies};

use invitation::Invitation;
use own::OwnInvitation;

authz::actions! {
    /// See the pending invitations.
    ListInvitations: Read on Organization;
    /// Invite a member.
    InviteMember: Write on Organization;
    /// Invite a member as an owner; asked in addition to `InviteMember`.
    InviteOwner: Write on Organization;
    /// Cancel an invitation.
    RevokeInvitation: Write on Invitation;
    /// See the own invitations.
    ListOwnInvitations: Read on Account;
    /// Accept an invitation.
    AcceptInvitation: Write on OwnInvitation;
}

/// How long they are kept after they expire.
const RETENTION: &[tenancy::RetentionRule] = &[tenancy::retention_rule!(
    "tenant.invitations",
    "tenant_id, id",
    "expires_at",
    tenancy::Retention::For(std::time::Duration::from_hours(30 * 24))
)];

events! {
    INVITATION_CREATED: "invitation.created", "Invited a member", "invited {email} as {role}";
    PRIVILEGED_INVITATION: "invitation.privileged", "Invited a member to a privileged role", "invited {email} to the privileged role {role}",
        email "A member was invited to a privileged role" to [Owners];
    INVITATION_REVOKED: "invitation.revoked", "Cancelled an invitation", "cancelled the invitation of {email}";
    MEMBER_JOINED: "member.joined", "Joined the organization", "joined the organization as {role}";
    MAIL_UNDELIVERABLE: "mail.undeliverable", "Could not deliver an email", "could not deliver an email to {recipient}";
}

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
    Feature::new("invitations")
        .policies(policies!("invitations", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .limits(&[
            invitation::INVITATION_LIMIT,
            invitation::INVITATION_MAIL_LIMIT,
            invitation::INVITATION_MAIL_LIMIT_ALL,
        ])
        .retention(RETENTION)
        .account_link("/organizations", "Your invitations", "/invitations")
        .tab(Tab::to::<ListInvitations>("Invitations", "/o/{organization}/invitations").counting("invitations"))
        .on_organization_deleted(invitation::delete_all)
}
