//! The members of an organization and their roles.

mod api;
mod factors;
mod member;
mod owners;
mod pages;

use authz::Routes;

use crate::base::{Api, Feature, Organization, Scope, Tab, events, policies};

use factors::FactorReset;
use member::Member;
use owners::{Demotion, Removal};

authz::actions! {
    /// List the members.
    ListMembers: Read on Organization;
    /// See a member.
    ViewMember: Read on Member;
    /// Change a member's role.
    ChangeMemberRole: Write on Member;
    /// Make somebody an owner; asked in addition to `ChangeMemberRole`.
    GrantOwnership: Write on Member;
    /// Remove a member, or leave.
    RemoveMember: Write on Member;
    /// Sign a member out of the organization.
    EndMemberSessions: Write on Member;
    /// Remove the passkeys and other factors of a member whose account the organization's provider manages.
    ResetFactors: Write on Member;
    /// Reset factors without a second person; asked in addition to `ResetFactors`.
    ResetFactorsAlone: Write on Member;
    /// Remove an owner, or change their role, without a second person; asked in addition to `ChangeMemberRole` and
    /// `RemoveMember`.
    ChangeOwnershipAlone: Write on Member;
}

const SCOPES: &[Scope] = &[Scope::of::<ListMembers>("List members"), Scope::of::<ViewMember>("See a member")];

events! {
    ROLE_CHANGED: "member.role_changed", "Changed a role", "changed {member}’s role from {from} to {to}",
        email "A member has a new role" to [Owners, Member];
    MEMBER_REMOVED: "member.removed", "Removed a member", "removed {member}, who was {role}",
        email "A member was removed" to [Owners, Member];
    MEMBER_LEFT: "member.left", "Left the organization", "left the organization, where they were {role}",
        email "Somebody has left" to [Owners, Member];
    SESSIONS_ENDED: "member.sessions_ended", "Signed out a member", "signed {member} out of the organization",
        email "A member was signed out" to [Member];
    FACTORS_RESET: "member.factors_reset", "Reset a member’s factors", "reset the passkeys and codes of {member}",
        email "The passkeys of a member were reset" to [Owners];
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .get("/{member}/role", pages::edit_role)
        .post("/{member}/role", pages::change_role)
        .get("/{member}/remove", pages::confirm_removal)
        .post("/{member}/remove", pages::remove)
        .get("/{member}/end-sessions", pages::confirm_end_of_sessions)
        .post("/{member}/end-sessions", pages::end_sessions)
        .get("/{member}/reset-factors", factors::confirm)
        .post("/{member}/reset-factors", factors::reset)
        .under("/o/{organization}/members");
    let api = Api::default()
        .get("", api::list, api::LIST)
        .get("/{member}", api::show, api::SHOW)
        .under("/api/v1/o/{organization}/members");
    Feature::new("members")
        .policies(policies!("members", ACTIONS))
        .routes(routes)
        .api(api)
        .scopes(SCOPES)
        .tab(Tab::for_every_member("Members", "/o/{organization}/members"))
        .pending_action::<FactorReset>()
        .pending_action::<Removal>()
        .pending_action::<Demotion>()
        .events(EVENTS)
}
