//! The members of an organization and their roles.

mod api;
mod factors;
mod member;
mod owners;
mod pages;

use authz::Routes;

use crate::base::{Announced, Api, Audience, EventKind, Feature, Organization, Scope, Tab, policies};

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

const ROLE_CHANGED: Announced = EventKind::new("member.role_changed", "Changed a role")
    .announced("A member has a new role", &[Audience::Owners, Audience::Member]);
const MEMBER_REMOVED: Announced = EventKind::new("member.removed", "Removed a member")
    .announced("A member was removed", &[Audience::Owners, Audience::Member]);
const SESSIONS_ENDED: Announced = EventKind::new("member.sessions_ended", "Signed a member out")
    .announced("A member was signed out", &[Audience::Member]);
const FACTORS_RESET: Announced = EventKind::new("member.factors_reset", "Reset a member’s factors")
    .announced("The passkeys of a member were reset", &[Audience::Owners]);

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
        .tab(Tab::to::<ListMembers>("Members", "/o/{organization}/members"))
        .pending_action::<FactorReset>()
        .pending_action::<Removal>()
        .pending_action::<Demotion>()
        .announced(&[ROLE_CHANGED, MEMBER_REMOVED, SESSIONS_ENDED, FACTORS_RESET])
}
