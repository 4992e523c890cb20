//! Acting in another role for a while: somebody asks, and somebody else approves.

mod elevation;
mod pages;

use authz::{ContextFragment, Contribution, PolicySource, Routes};
use tenancy::Entry;
use web::Result;

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
        context: Some(ContextFragment {
            schema: include_str!("../../../../policies/elevations.context.cedarschema"),
            role_groups: &[],
            read: context,
        }),
    };
    let events = &[
        ("elevation.requested", "Asked for a role for a while"),
        ("elevation.approved", "Approved a role for a while"),
        ("elevation.declined", "Declined a role for a while"),
        ("elevation.ended", "Ended a role for a while"),
    ];
    Feature { routes, policies: Some(policies), events, keeping: KEEPING, ..Feature::default() }
}

/// The role that they act in for a while, and that they do.
#[expect(clippy::unnecessary_wraps, reason = "other features parse what they read")]
fn context(access: &Entry) -> Result<Contribution> {
    let elevation = access.membership.as_ref().and_then(|membership| membership.elevation.as_ref());
    Ok(elevation
        .map_or_else(Contribution::default, |elevation| Contribution::default().role(&elevation.role).flag("elevated")))
}
