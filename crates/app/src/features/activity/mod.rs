//! What was done in an organization: its part of the audit trail, to be read by those who answer for it.

mod event;
mod pages;
mod recent;

use authz::Routes;

use crate::base::{Feature, Organization, Tab, policies};

authz::actions! {
    /// Read the audit trail of the organization.
    ViewActivity: Read on Organization;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new().get("/o/{organization}/activity", pages::list);
    Feature::new("activity")
        .policies(policies!("activity", ACTIONS))
        .routes(routes)
        .tab(Tab::to::<ViewActivity>("Activity", "/o/{organization}/activity"))
        .panel(recent::PANEL)
}
