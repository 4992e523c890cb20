//! Temporary access: a member requests another role, and somebody else approves it.

mod elevation;
mod pages;

use authz::Routes;

use crate::base::{Feature, Organization, Tab, events, policies};

use elevation::Elevation;

authz::actions! {
    /// See the requests, and their outcome.
    ListElevations: Read on Organization;
    /// Request access for a limited time.
    RequestElevation: Write on Organization;
    /// See a request.
    ViewElevation: Read on Elevation;
    /// Approve a request.
    ApproveElevation: Write on Elevation;
    /// Decline a request, or end approved access.
    EndElevation: Write on Elevation;
}

/// How long they are kept after their end.
const RETENTION: &[tenancy::RetentionRule] =
    &[tenancy::retention_rule!("tenant.elevations", "tenant_id, id", "expires_at", tenancy::Retention::Records)];

events! {
    ELEVATION_REQUESTED: "elevation.requested", "Requested temporary access", "requested to be {role} for {minutes} minutes",
        email "Temporary access is requested" to [OwnersAndAdmins, Member];
    ELEVATION_APPROVED: "elevation.approved", "Approved temporary access", "approved that {member} is {role} for {minutes} minutes",
        email "Temporary access was approved" to [Owners, Member];
    ELEVATION_DECLINED: "elevation.declined", "Declined temporary access", "declined {member}’s request to be {role}",
        email "Temporary access was declined" to [Owners, Member];
    ELEVATION_ENDED: "elevation.ended", "Ended temporary access", "ended {member}’s temporary access as {role}",
        email "Temporary access was ended" to [Owners, Member];
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::request)
        .get("/new", pages::new)
        .post("/{elevation}/approve", pages::approve)
        .post("/{elevation}/end", pages::end)
        .under("/o/{organization}/elevations");
    Feature::new("elevations")
        .policies(policies!("elevations", ACTIONS, context: elevation::context))
        .routes(routes)
        .events(EVENTS)
        .limits(&[elevation::ELEVATION_LIMIT])
        .retention(RETENTION)
        .tab(Tab::to::<ListElevations>("Temporary access", "/o/{organization}/elevations").counting("elevations"))
        .banner(pages::banner)
        .acting_label("elevation", "Temporary access")
        .on_member_signed_out(elevation::end_when_signed_out)
}
