//! API clients: their names, who they act as, their scopes and their secrets.

mod client;
mod form;
mod pages;

use authz::Routes;

use crate::base::{Feature, Organization, Tab, events, policies};

use client::ApiClient;

authz::actions! {
    /// See the list of clients.
    ListClients: Read on Organization;
    /// Create a client.
    CreateClient: Write on Organization;
    /// Create one that acts as oneself; asked in addition to `CreateClient`.
    CreateOwnClient: Write on Organization;
    /// Create a service account; asked in addition to `CreateClient`.
    CreateServiceAccount: Write on Organization;
    /// See a client.
    ViewClient: Read on ApiClient;
    /// Give a client a new secret.
    RotateClientSecret: Write on ApiClient;
    /// Revoke a client.
    RevokeClient: Write on ApiClient;
}

events! {
    API_CLIENT_CREATED: "api_client.created", "Created an API client", "created the API client {name}";
    API_CLIENT_SECRET_ROTATED: "api_client.secret_rotated", "Renewed the secret of an API client", "renewed the secret of the API client {name}";
    SERVICE_ACCOUNT_CREATED: "service_account.created", "Created a service account", "created the service account {name} as {role}",
        email "A service account was created" to [Owners];
    SERVICE_ACCOUNT_SECRET_ROTATED: "service_account.secret_rotated", "Renewed the secret of a service account", "renewed the secret of the service account {name}",
        email "A service account has a new secret" to [Owners];
    CLIENT_REVOKED: "api_client.revoked", "Revoked an API client", "revoked the API client {name}",
        email "An API client was revoked" to [Member];
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::create)
        .get("/new", pages::new)
        .get("/{client}/secret", pages::confirm_renewal)
        .post("/{client}/secret", pages::renew)
        .get("/{client}/revoke", pages::confirm_revocation)
        .post("/{client}/revoke", pages::revoke)
        .under("/o/{organization}/clients");
    Feature::new("clients")
        .policies(policies!("clients", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .tab(Tab::to::<ListClients>("API clients", "/o/{organization}/clients"))
        .name_actor(client::name_of)
        .names_in_use(client::names_in_use)
        .on_organization_deleted(client::delete_all)
}
