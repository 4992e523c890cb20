//! Acting in another role for a while: somebody asks, and somebody else approves.

mod elevation;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::organizations::Organization;

use elevation::Elevation;

authz::actions! {
    /// See who has asked, and what came of it.
    ListElevations: Read on Organization;
    /// Ask for a role for a while.
    AskForElevation: Write on Organization;
    /// See what somebody asks for.
    ViewElevation: Read on Elevation;
    /// Let somebody act in the role they ask for.
    ApproveElevation: Write on Elevation;
    /// Decline what is asked for, or end what was approved.
    EndElevation: Write on Elevation;
}

/// How long they are kept after they have ended.
const KEEPING: &[tenancy::Rule] =
    &[tenancy::keep!("tenant.elevations", "tenant_id, id", "expires_at", tenancy::Keep::Records)];

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::ask)
        .get("/new", pages::new)
        .post("/{elevation}/approve", pages::approve)
        .post("/{elevation}/end", pages::end)
        .under("/o/{organization}/elevations");
    let policies = PolicySource {
        name: "elevations",
        schema: include_str!("../../../../policies/elevations.cedarschema"),
        policies: include_str!("../../../../policies/elevations.cedar"),
        actions: ACTIONS,
    };
    let events = &[
        ("elevation.requested", "Asked for a role for a while"),
        ("elevation.approved", "Approved a role for a while"),
        ("elevation.declined", "Declined a role for a while"),
        ("elevation.ended", "Ended a role for a while"),
    ];
    Feature { routes, policies: Some(policies), events, keeping: KEEPING, ..Feature::default() }
}
