//! What destroys takes two people: one asks, another one approves, and what was asked for is done as they approve it.

mod approval;
mod effect;
mod pages;

use authz::{PolicySource, Routes};
use tenancy::{Keep, keep};

use crate::Feature;
use crate::members::Member;
use crate::organizations::Organization;

pub(crate) use approval::{OWNER_RULE, REQUESTS, Request, others_decide};
pub(crate) use effect::{CHANGED, Wanted};

use approval::Approval;

authz::actions! {
    /// Delete the organization without a second person; asked in addition to `DeleteOrganization`.
    DeleteOrganizationAlone: Write on Organization;
    /// Stop requiring the organization's provider without a second person; asked in addition to `ChangeSignIn`.
    RelaxSignOnAlone: Write on Organization;
    /// Reset the factors of a member without a second person; asked in addition to `ResetFactors`.
    ResetFactorsAlone: Write on Member;
    /// Take ownership from somebody without a second person; asked in addition to `ChangeMemberRole` and `RemoveMember`.
    ChangeOwnershipAlone: Write on Member;
    /// See what waits for a second person.
    ListApprovals: Read on Organization;
    /// See what somebody asks for.
    ViewApproval: Read on Approval;
    /// Be the second person.
    Approve: Write on Approval;
    /// Decline what is asked for, or take it back.
    Decline: Write on Approval;
}

/// Longer than any session lasts.
const FORMER: Keep = Keep::For(std::time::Duration::from_hours(30 * 24));
/// How long they are kept after they have ended, and who has left after that.
const KEEPING: &[tenancy::Rule] = &[
    keep!("tenant.approvals", "tenant_id, id", "expires_at", Keep::Records),
    keep!("tenant.former_members", "tenant_id, user_id", "left_at", FORMER),
];

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("/{approval}/approve", pages::approve)
        .post("/{approval}/decline", pages::decline)
        .under("/o/{organization}/approvals");
    let policies = PolicySource {
        name: "approvals",
        schema: include_str!("../../../../policies/approvals.cedarschema"),
        policies: include_str!("../../../../policies/approvals.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let events = &[
        ("approval.requested", "Asked for what takes two people"),
        ("approval.approved", "Approved what takes two people"),
        ("approval.declined", "Declined what takes two people"),
    ];
    Feature { routes, policies: Some(policies), events, keeping: KEEPING, ..Feature::default() }
}
