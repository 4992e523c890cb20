//! Settings of an organization: how its members may come in.

mod pages;
mod rules;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::organizations::Organization;

authz::actions! {
    /// See how members may come in.
    ViewSettings: Read on Organization;
    /// Change how members may come in.
    ChangeSignIn: Write on Organization;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/settings", pages::show)
        .get("/settings/sign-in", pages::edit)
        .post("/settings/sign-in", pages::change)
        .under("/o/{organization}");
    let policies = PolicySource {
        name: "settings",
        schema: include_str!("../../../../policies/settings.cedarschema"),
        policies: include_str!("../../../../policies/settings.cedar"),
        actions: ACTIONS,
    };
    Feature {
        routes,
        policies: Some(policies),
        events: &[("organization.sign_in_changed", "Changed how members sign in")],
    }
}
