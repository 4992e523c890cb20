//! What was done in an organization: its part of the audit trail, to be read by those who answer for it.

mod event;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::organizations::Organization;

pub(crate) use event::{EventRow, recent};

authz::actions! {
    /// Read the audit trail of the organization.
    ViewActivity: Read on Organization;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new().get("/o/{organization}/activity", pages::list);
    let policies = PolicySource {
        name: "activity",
        schema: include_str!("../../../../policies/activity.cedarschema"),
        policies: include_str!("../../../../policies/activity.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature { routes, policies: Some(policies), ..Feature::default() }
}
