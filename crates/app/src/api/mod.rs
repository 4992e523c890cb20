//! Where clients of the API get their tokens, what they can be given, and how the API is described.

mod endpoint;
mod openapi;
mod operation;
mod page;

use std::sync::LazyLock;

use authz::{Action, Routes};

use crate::Feature;

pub(crate) use operation::{Api, Operation, answer_schema, request_schema, requiring, without};

const TOKEN: &str = "/api/oauth/token";
const OPENAPI: &str = "/api/v1/openapi.json";

/// An action that a client can be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    pub(crate) action: &'static str,
    /// What a person reads for it.
    pub(crate) label: &'static str,
}

impl Scope {
    pub(crate) const fn of<A: Action>(label: &'static str) -> Self {
        Self { action: A::NAME, label }
    }
}

/// Every action that a client can be given. There is none that stands for others.
pub(crate) fn scopes() -> impl Iterator<Item = &'static Scope> {
    static ALL: LazyLock<Vec<&Scope>> =
        LazyLock::new(|| crate::features().into_iter().flat_map(|feature| feature.scopes).collect());
    ALL.iter().copied()
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get(page::PATH, page::show)
        .get("/.well-known/jwks.json", endpoint::keys)
        .get("/.well-known/oauth-authorization-server", endpoint::metadata)
        .get("/.well-known/oauth-protected-resource", endpoint::resource)
        .get(crate::ADDRESSES.resource_metadata, endpoint::resource);
    let api = Api::default()
        .get(OPENAPI, openapi::document, openapi::DOCUMENT)
        .post(TOKEN, endpoint::token, endpoint::TOKEN)
        .post("/api/oauth/revoke", endpoint::revoke, endpoint::REVOKE);
    let events = &[
        ("api_token.issued", "Got an access token"),
        ("api_token.reused", "Used a refresh token twice"),
        ("api_token.revoked", "Took a token back"),
        ("api_client.refused", "Was refused at the token endpoint"),
    ];
    Feature { routes, api, events, ..Feature::default() }
}
