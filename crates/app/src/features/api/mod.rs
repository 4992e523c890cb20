//! Where clients of the API get their tokens, what they can be given, and how the API is described.

mod endpoint;
mod openapi;
mod page;

use authz::Routes;

use crate::base::{ADDRESSES, Api, EventKind, Feature};

const TOKEN: &str = "/api/oauth/token";
const OPENAPI: &str = "/api/v1/openapi.json";

const API_TOKEN_ISSUED: EventKind = EventKind::new("api_token.issued", "Got an access token");
const API_TOKEN_REUSED: EventKind = EventKind::new("api_token.reused", "Used a refresh token twice");
const API_TOKEN_REVOKED: EventKind = EventKind::new("api_token.revoked", "Revoked a token");
const API_CLIENT_REFUSED: EventKind = EventKind::new("api_client.refused", "Was refused at the token endpoint");

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get(page::PATH, page::show)
        .get("/.well-known/jwks.json", endpoint::keys)
        .get("/.well-known/oauth-authorization-server", endpoint::metadata)
        .get("/.well-known/oauth-protected-resource", endpoint::resource)
        .get(ADDRESSES.resource_metadata, endpoint::resource);
    let api = Api::default()
        .get(OPENAPI, openapi::document, openapi::DOCUMENT)
        .post(TOKEN, endpoint::token, endpoint::TOKEN)
        .post("/api/oauth/revoke", endpoint::revoke, endpoint::REVOKE);
    Feature::new("api").routes(routes).api(api).events(&[
        API_TOKEN_ISSUED,
        API_TOKEN_REUSED,
        API_TOKEN_REVOKED,
        API_CLIENT_REFUSED,
    ])
}
