//! Settings of an organization: how its members may come in, and the provider and domains it brings for that.

mod domain;
mod domains;
mod pages;
mod provider;
mod recheck;
mod rules;

use authz::{PolicySource, Routes};

pub use recheck::DomainCheck;
pub(crate) use rules::relax;

use self::domain::Domain;
use crate::Feature;
use crate::organizations::Organization;

authz::actions! {
    /// See how members may come in.
    ViewSettings: Read on Organization;
    /// Change how members may come in, bring a provider for it, and say which domains are the organization's.
    ChangeSignIn: Write on Organization;
    /// Have the DNS asked whether a domain is the organization's.
    ProveDomain: Write on Domain;
    /// Take a domain away.
    RemoveDomain: Write on Domain;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::show)
        .get("/sign-in", pages::edit)
        .post("/sign-in", pages::change)
        .get("/provider", provider::edit)
        .post("/provider", provider::keep)
        .get("/provider/remove", provider::confirm_removal)
        .post("/provider/remove", provider::remove)
        .get("/domains/new", domains::new)
        .post("/domains", domains::add)
        .post("/domains/{domain}/prove", domains::prove)
        .get("/domains/{domain}/remove", domains::confirm_removal)
        .post("/domains/{domain}/remove", domains::remove)
        .under("/o/{organization}/settings");
    let policies = PolicySource {
        name: "settings",
        schema: include_str!("../../../../policies/settings.cedarschema"),
        policies: include_str!("../../../../policies/settings.cedar"),
        actions: ACTIONS,
    };
    let events = &[
        ("organization.sign_in_changed", "Changed how members sign in"),
        ("organization.provider_changed", "Brought a sign-in provider"),
        ("organization.provider_removed", "Took the sign-in provider away"),
        ("domain.added", "Added a domain"),
        ("domain.proved", "Proved a domain"),
        ("domain.record_missing", "Found the DNS record of a domain gone"),
        ("domain.withdrawn", "Withdrew a domain whose DNS record was gone"),
        ("domain.removed", "Removed a domain"),
    ];
    Feature { routes, policies: Some(policies), events, ..Feature::default() }
}
