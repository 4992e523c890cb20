//! Who belongs to an organization, and as what.

mod api;
mod factors;
mod member;
mod pages;
mod role;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::api::{Api, Scope};
use crate::organizations::Organization;

pub(crate) use factors::{RESET, reset_factors};
pub(crate) use member::{Member, change_role, remove};
pub(crate) use pages::REMOVAL;
pub(crate) use role::{Role, RoleChoice};

authz::actions! {
    /// See who belongs to the organization.
    ListMembers: Read on Organization;
    /// Know that somebody belongs to the organization.
    ViewMember: Read on Member;
    /// Give somebody another role.
    ChangeMemberRole: Write on Member;
    /// Make somebody an owner; asked in addition to `ChangeMemberRole`.
    GrantOwnership: Write on Member;
    /// End a membership.
    RemoveMember: Write on Member;
    /// Sign somebody out of the organization.
    EndMemberSessions: Write on Member;
    /// Take the passkeys and other factors of somebody for whom the organization's provider speaks.
    ResetFactors: Write on Member;
}

const SCOPES: &[Scope] = &[Scope::of::<ListMembers>("List members"), Scope::of::<ViewMember>("See a member")];

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
    let policies = PolicySource {
        name: "members",
        schema: include_str!("../../../../policies/members.cedarschema"),
        policies: include_str!("../../../../policies/members.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let events = &[
        ("member.role_changed", "Changed a role"),
        ("member.removed", "Removed a member"),
        ("member.sessions_ended", "Ended a member’s sessions"),
        ("member.factors_reset", "Reset a member’s factors"),
    ];
    Feature { routes, api, scopes: SCOPES, policies: Some(policies), events, ..Feature::default() }
}
