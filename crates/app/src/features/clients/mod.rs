//! API clients: their names, who they act as, their scopes and their secrets.

mod client;
mod form;
mod pages;

use authz::Routes;

use crate::base::{Announced, Audience, EventKind, Feature, Organization, PageLink, policies};

use client::ApiClient;

authz::actions! {
    /// See the list of clients.
    ListClients: Read on Organization;
    /// Make a client.
    MakeClient: Write on Organization;
    /// Make one that acts as oneself; asked in addition to `MakeClient`.
    MakeOwnClient: Write on Organization;
    /// Make one that is a service account; asked in addition to `MakeClient`.
    MakeServiceAccount: Write on Organization;
    /// See a client.
    ViewClient: Read on ApiClient;
    /// Give a client another secret.
    RenewClient: Write on ApiClient;
    /// End a client.
    RevokeClient: Write on ApiClient;
}

const API_CLIENT_MADE: EventKind = EventKind::new("api_client.made", "Created an API client");
const API_CLIENT_SECRET_RENEWED: EventKind =
    EventKind::new("api_client.secret_renewed", "Renewed the secret of an API client");
const SERVICE_ACCOUNT_MADE: Announced = EventKind::new("service_account.made", "Created a service account")
    .announced("A service account was created", &[Audience::Owners]);
const SERVICE_ACCOUNT_RENEWED: Announced =
    EventKind::new("service_account.secret_renewed", "Renewed the secret of a service account")
        .announced("A service account has a new secret", &[Audience::Owners]);
const CLIENT_REVOKED: Announced = EventKind::new("api_client.revoked", "Revoked an API client")
    .announced("An API client was revoked", &[Audience::Member]);

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::make)
        .get("/new", pages::new)
        .get("/{client}/secret", pages::confirm_renewal)
        .post("/{client}/secret", pages::renew)
        .get("/{client}/revoke", pages::confirm_end)
        .post("/{client}/revoke", pages::revoke)
        .under("/o/{organization}/clients");
    Feature::new("clients")
        .policies(policies!("clients", ACTIONS))
        .routes(routes)
        .events(&[API_CLIENT_MADE, API_CLIENT_SECRET_RENEWED])
        .announced(&[SERVICE_ACCOUNT_MADE, SERVICE_ACCOUNT_RENEWED, CLIENT_REVOKED])
        .link(PageLink::to::<ListClients>("/o/{organization}", "API clients", "/o/{organization}/clients"))
        .on_organization_deleted(client::delete_all)
}
