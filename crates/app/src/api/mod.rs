//! Where clients of the API get their tokens, and what they can be given.

mod endpoint;

use authz::{Action, Routes};

use crate::Feature;
use crate::{contacts, members};

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
    contacts::SCOPES.iter().chain(members::SCOPES)
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .post("/api/oauth/token", endpoint::token)
        .post("/api/oauth/revoke", endpoint::revoke)
        .get("/.well-known/jwks.json", endpoint::keys)
        .get("/.well-known/oauth-authorization-server", endpoint::metadata)
        .get("/.well-known/oauth-protected-resource", endpoint::resource)
        .get(tokens::RESOURCE_METADATA, endpoint::resource);
    let events = &[
        ("api_token.issued", "Got an access token"),
        ("api_token.reused", "Used a refresh token twice"),
        ("api_token.revoked", "Took a token back"),
        ("api_client.refused", "Was refused at the token endpoint"),
    ];
    Feature { routes, events, ..Feature::default() }
}
