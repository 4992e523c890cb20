//! Destructive actions need two people: one requests, another approves, and the approval executes the action.

mod approval;
mod pages;

use authz::Routes;
use tenancy::{Retention, retention_rule};

use crate::base::{Feature, Organization, Tab, events, policies};

use approval::Approval;
pub(crate) use approval::{APPROVAL_LIMIT, ApprovalRequest, OWNER_RULE, has_other_approver, list_url};

authz::actions! {
    /// See the requests.
    ListApprovals: Read on Organization;
    /// See a request.
    ViewApproval: Read on Approval;
    /// Approve a request.
    Approve: Write on Approval;
    /// Decline a request, or withdraw it.
    Decline: Write on Approval;
}

/// Longer than any session lasts.
const FORMER_MEMBER_RETENTION: Retention = Retention::For(std::time::Duration::from_hours(30 * 24));
/// How long requests and former members are kept.
const RETENTION: &[tenancy::RetentionRule] = &[
    retention_rule!("tenant.approvals", "tenant_id, id", "expires_at", Retention::Records),
    retention_rule!("tenant.former_members", "tenant_id, user_id", "left_at", FORMER_MEMBER_RETENTION),
];

events! {
    APPROVAL_REQUESTED: "approval.requested", "Requested approval", "requested approval: {title}",
        email "Your approval is requested" to [OwnersAndAdmins];
    APPROVAL_APPROVED: "approval.approved", "Approved a request", "approved {requester}’s request: {title}",
        email "A request was approved" to [OwnersAndAdmins];
    APPROVAL_DECLINED: "approval.declined", "Declined a request", "declined {requester}’s request: {title}",
        email "A request was declined" to [OwnersAndAdmins];
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("/{approval}/approve", pages::approve)
        .post("/{approval}/decline", pages::decline)
        .under("/o/{organization}/approvals");
    Feature::new("approvals")
        .policies(policies!("approvals", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .limits(&[APPROVAL_LIMIT])
        .retention(RETENTION)
        .tab(Tab::to::<ListApprovals>("Approvals", "/o/{organization}/approvals").counting("approvals"))
}
