//! What destroys takes two people: one asks, another one approves, and what was asked for is done as they approve it.

mod approval;
mod pages;

use authz::Routes;
use tenancy::{Retention, retention_rule};

use crate::base::{Announced, Audience, EventKind, Feature, Organization, PageLink, policies};

use approval::Approval;
pub(crate) use approval::{APPROVAL_LIMIT, OWNER_RULE, Request, others_decide};

authz::actions! {
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
const FORMER: Retention = Retention::For(std::time::Duration::from_hours(30 * 24));
/// How long they are kept after they have ended, and who has left after that.
const RETENTION: &[tenancy::RetentionRule] = &[
    retention_rule!("tenant.approvals", "tenant_id, id", "expires_at", Retention::Records),
    retention_rule!("tenant.former_members", "tenant_id, user_id", "left_at", FORMER),
];

const APPROVAL_REQUESTED: Announced = EventKind::new("approval.requested", "Requested an approval")
    .announced("Your approval is requested", &[Audience::OwnersAndAdmins]);
const APPROVAL_APPROVED: Announced = EventKind::new("approval.approved", "Approved a request")
    .announced("A request was approved", &[Audience::OwnersAndAdmins]);
const APPROVAL_DECLINED: Announced = EventKind::new("approval.declined", "Declined a request")
    .announced("A request was declined", &[Audience::OwnersAndAdmins]);

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("/{approval}/approve", pages::approve)
        .post("/{approval}/decline", pages::decline)
        .under("/o/{organization}/approvals");
    Feature::new("approvals")
        .policies(policies!("approvals", ACTIONS))
        .routes(routes)
        .announced(&[APPROVAL_REQUESTED, APPROVAL_APPROVED, APPROVAL_DECLINED])
        .limits(&[APPROVAL_LIMIT])
        .retention(RETENTION)
        .link(PageLink::to::<ListApprovals>("/o/{organization}", "Approvals", "/o/{organization}/approvals"))
}
