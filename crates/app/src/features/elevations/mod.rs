//! Temporary access: a member requests another role, and somebody else approves it.

mod elevation;
mod pages;

use authz::Routes;

use crate::base::{Announced, Audience, EventKind, Feature, Organization, PageLink, policies};

use elevation::Elevation;

authz::actions! {
    /// See the requests, and their outcome.
    ListElevations: Read on Organization;
    /// Request access for a limited time.
    AskForElevation: Write on Organization;
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

const ELEVATION_REQUESTED: Announced = EventKind::new("elevation.requested", "Requested temporary access")
    .announced("Temporary access is requested", &[Audience::OwnersAndAdmins, Audience::Member]);
const ELEVATION_APPROVED: Announced = EventKind::new("elevation.approved", "Approved temporary access")
    .announced("Temporary access was approved", &[Audience::Owners, Audience::Member]);
const ELEVATION_DECLINED: Announced = EventKind::new("elevation.declined", "Declined temporary access")
    .announced("Temporary access was declined", &[Audience::Owners, Audience::Member]);
const ELEVATION_ENDED: Announced = EventKind::new("elevation.ended", "Ended temporary access")
    .announced("Temporary access was ended", &[Audience::Owners, Audience::Member]);

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::ask)
        .get("/new", pages::new)
        .post("/{elevation}/approve", pages::approve)
        .post("/{elevation}/end", pages::end)
        .under("/o/{organization}/elevations");
    Feature::new("elevations")
        .policies(policies!("elevations", ACTIONS, context: elevation::context))
        .routes(routes)
        .announced(&[ELEVATION_REQUESTED, ELEVATION_APPROVED, ELEVATION_DECLINED, ELEVATION_ENDED])
        .limits(&[elevation::ELEVATION_LIMIT])
        .retention(RETENTION)
        .link(PageLink::to::<ListElevations>(
            "/o/{organization}/members",
            "Temporary access",
            "/o/{organization}/elevations",
        ))
        .banner(pages::banner)
        .on_member_signed_out(elevation::end_when_signed_out)
}
