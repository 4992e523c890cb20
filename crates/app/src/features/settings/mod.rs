//! Settings of an organization: how its members sign in, its identity provider and its domains.

mod domain;
mod domains;
mod pages;
mod provider;
mod recheck;
mod rules;

use authz::Routes;

use crate::base::{Announced, Audience, EventKind, Feature, Organization, PageLink, policies};

use self::domain::Domain;
use self::rules::Relaxation;
pub use recheck::DomainCheck;

authz::actions! {
    /// See how members sign in.
    ViewSettings: Read on Organization;
    /// Change how members sign in, connect an identity provider, and manage domains.
    ChangeSignIn: Write on Organization;
    /// Stop requiring the organization's provider without a second person; asked in addition to `ChangeSignIn`.
    RelaxSignOnAlone: Write on Organization;
    /// Verify a domain by its DNS.
    ProveDomain: Write on Domain;
    /// Remove a domain.
    RemoveDomain: Write on Domain;
}

const SIGN_IN_CHANGED: Announced = EventKind::new("organization.sign_in_changed", "Changed how members sign in")
    .announced("The rules for signing in have changed", &[Audience::OwnersAndAdmins]);
const PROVIDER_CHANGED: Announced = EventKind::new("organization.provider_changed", "Connected an identity provider")
    .announced("Your identity provider has changed", &[Audience::OwnersAndAdmins]);
const PROVIDER_REMOVED: Announced = EventKind::new("organization.provider_removed", "Removed the identity provider")
    .announced("Your identity provider was removed", &[Audience::OwnersAndAdmins]);
const DOMAIN_ADDED: EventKind = EventKind::new("domain.added", "Added a domain");
const DOMAIN_PROVED: Announced = EventKind::new("domain.proved", "Verified a domain")
    .announced("A domain was verified", &[Audience::OwnersAndAdmins]);
const DOMAIN_MISSING: Announced = EventKind::new("domain.record_missing", "Found the DNS record of a domain gone")
    .announced("The DNS record of a domain is gone", &[Audience::Owners]);
const DOMAIN_WITHDRAWN: Announced = EventKind::new("domain.withdrawn", "Unverified a domain whose DNS record was gone")
    .announced("A domain is no longer verified", &[Audience::Owners]);
const DOMAIN_REMOVED: Announced = EventKind::new("domain.removed", "Removed a domain")
    .announced("A domain was removed", &[Audience::OwnersAndAdmins]);

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
    Feature::new("settings")
        .policies(policies!("settings", ACTIONS, context: rules::context))
        .routes(routes)
        .events(&[DOMAIN_ADDED])
        .announced(&[
            SIGN_IN_CHANGED,
            PROVIDER_CHANGED,
            PROVIDER_REMOVED,
            DOMAIN_PROVED,
            DOMAIN_MISSING,
            DOMAIN_WITHDRAWN,
            DOMAIN_REMOVED,
        ])
        .limits(&[provider::PROVIDER_LIMIT, domain::DOMAIN_CHECK_LIMIT])
        .pending_action::<Relaxation>()
        .job(recheck::start)
        .link(PageLink::to::<ViewSettings>("/o/{organization}", "Settings", "/o/{organization}/settings"))
        .on_organization_deleted(provider::delete_all)
}

fn url(organization: &Organization) -> String {
    format!("{}/settings", organization.url())
}
