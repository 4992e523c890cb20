//! Settings of an organization: how its members may come in, and the provider and domains it brings for that.

mod domain;
mod domains;
mod pages;
mod provider;
mod recheck;
mod rules;

use authz::{ContextFragment, Contribution, PolicySource, RefusedBecause, Routes};
use tenancy::{Entry, Unaccepted};
use web::Result;

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
        context: Some(ContextFragment {
            schema: include_str!("../../../../policies/settings.context.cedarschema"),
            role_groups: &[],
            read: context,
        }),
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

/// That the organization does not accept the way the session began, and why.
#[expect(clippy::unnecessary_wraps, reason = "other features parse what they read")]
fn context(access: &Entry) -> Result<Contribution> {
    let unaccepted = access.membership.as_ref().and_then(|membership| membership.unaccepted);
    let Some(unaccepted) = unaccepted else { return Ok(Contribution::default()) };
    let reason = match unaccepted {
        Unaccepted::SignedOut => "signed_out",
        Unaccepted::Link => "link",
        Unaccepted::Elsewhere => "elsewhere",
        Unaccepted::SignOn => "sign_on",
    };
    // There is one reason for clients: whether their member could still come in, nobody has asked.
    let text_for_clients = "This client acts as a member, and the organization requires its own identity provider of its \
                            members. Use a service account.";
    Ok(Contribution::default().flag("unaccepted").refused_because(RefusedBecause { reason, text_for_clients }))
}
