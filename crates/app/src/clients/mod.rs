//! Clients of the API: what they are called, whom they act as, what they were given, and their secrets.

mod client;
mod form;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::organizations::Organization;

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
    let policies = PolicySource {
        name: "clients",
        schema: include_str!("../../../../policies/clients.cedarschema"),
        policies: include_str!("../../../../policies/clients.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let events = &[
        ("api_client.made", "Made an API client"),
        ("api_client.secret_renewed", "Renewed the secret of an API client"),
        ("service_account.made", "Made a service account"),
        ("service_account.secret_renewed", "Renewed the secret of a service account"),
        ("api_client.revoked", "Revoked an API client"),
    ];
    Feature { routes, policies: Some(policies), events, ..Feature::default() }
}
