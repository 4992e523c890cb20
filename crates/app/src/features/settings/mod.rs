//! Settings of an organization: how its members sign in, its identity provider and its domains.

mod domain;
mod domains;
mod pages;
mod provider;
mod recheck;
mod rules;

use authz::Routes;

use crate::base::{Feature, Organization, Tab, events, policies};

use self::domain::Domain;
use self::recheck::DomainCheck;
use self::rules::Relaxation;

authz::actions! {
    /// See how members sign in.
    ViewSettings: Read on Organization;
    /// Change how members sign in, connect an identity provider, and manage domains.
    ChangeSignIn: Write on Organization;
    /// Stop requiring the organization's provider without a second person; asked in addition to `ChangeSignIn`.
    StopEnforcingSsoAlone: Write on Organization;
    /// Verify a domain by its DNS.
    VerifyDomain: Write on Domain;
    /// Remove a domain.
    RemoveDomain: Write on Domain;
}

events! {
    SIGN_IN_CHANGED: "organization.sign_in_changed", "Changed how members sign in", "changed how members of {organization} sign in",
        email "The rules for signing in have changed" to [OwnersAndAdmins];
    PROVIDER_CHANGED: "organization.provider_changed", "Connected an identity provider", "connected the identity provider {issuer}",
        email "Your identity provider has changed" to [OwnersAndAdmins];
    PROVIDER_REMOVED: "organization.provider_removed", "Removed the identity provider", "removed the identity provider {issuer}",
        email "Your identity provider was removed" to [OwnersAndAdmins];
    DOMAIN_ADDED: "domain.added", "Added a domain", "added the domain {domain}";
    DOMAIN_VERIFIED: "domain.verified", "Verified a domain", "verified the domain {domain}",
        email "A domain was verified" to [OwnersAndAdmins];
    DOMAIN_MISSING: "domain.record_missing", "Missed the DNS record of a domain", "could not find the DNS record of {domain}",
        email "The DNS record of a domain is gone" to [Owners];
    DOMAIN_WITHDRAWN: "domain.withdrawn", "Withdrew a domain", "withdrew the domain {domain}, whose DNS record was missing",
        email "A domain is no longer verified" to [Owners];
    DOMAIN_REMOVED: "domain.removed", "Removed a domain", "removed the domain {domain}",
        email "A domain was removed" to [OwnersAndAdmins];
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::show)
        .get("/sign-in", pages::edit)
        .post("/sign-in", pages::change)
        .get("/provider", provider::edit)
        .post("/provider", provider::save)
        .get("/provider/remove", provider::confirm_removal)
        .post("/provider/remove", provider::remove)
        .get("/domains/new", domains::new)
        .post("/domains", domains::add)
        .post("/domains/{domain}/verify", domains::verify)
        .get("/domains/{domain}/remove", domains::confirm_removal)
        .post("/domains/{domain}/remove", domains::remove)
        .under("/o/{organization}/settings");
    Feature::new("settings")
        .policies(policies!("settings", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .limits(&[provider::PROVIDER_LIMIT, domain::DOMAIN_CHECK_LIMIT])
        .pending_action::<Relaxation>()
        .job::<DomainCheck>()
        .tab(Tab::to::<ViewSettings>("Settings", "/o/{organization}/settings"))
        .on_organization_deleted(provider::delete_all)
}

fn url(organization: &Organization) -> String {
    format!("{}/settings", organization.url())
}
