//! The activity of an organization: its part of the audit trail. Its administrators can read and export it.

mod event;
mod export;
mod pages;
mod recent;

use authn::RateLimit;
use authz::Routes;
use chrono::Duration;

use crate::base::{Feature, Organization, Tab, events, policies};

authz::actions! {
    /// Read the audit trail of the organization.
    ViewActivity: Read on Organization;
    /// Export the audit trail as a file.
    ExportActivity: Write on Organization;
}

events! {
    ACTIVITY_EXPORTED: "activity.exported", "Exported the activity", "exported {events} events as {format}";
}

/// Exports by one person, across all their organizations.
const EXPORT_LIMIT: RateLimit = RateLimit { name: "activity export", burst: 10, period: Duration::minutes(1) };

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .get("/export", export::form)
        .post("/export", export::export)
        .under("/o/{organization}/activity");
    Feature::new("activity")
        .policies(policies!("activity", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .limits(&[EXPORT_LIMIT])
        .tab(Tab::to::<ViewActivity>("Activity", "/o/{organization}/activity"))
        .panel(recent::PANEL)
}
