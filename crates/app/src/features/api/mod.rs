//! The token endpoint of the API, its scopes, and its description.

mod endpoint;
mod openapi;
mod page;

use authz::Routes;

use crate::base::{ADDRESSES, Api, Feature, FrameLink, PageLink, events};

const TOKEN: &str = "/api/oauth/token";
const OPENAPI: &str = "/api/v1/openapi.json";

events! {
    API_TOKEN_ISSUED: "api_token.issued", "Got an access token", "got an access token";
    API_TOKEN_REVOKED: "api_token.revoked", "Revoked a token", "revoked a token";
    API_TOKEN_REFUSED: "api_token.refused", "Was refused at the token endpoint", "was refused at the token endpoint: {reason}";
    API_CLIENT_TOKEN_REUSED: "api_client.token_reused", "Used a refresh token twice", "used a refresh token twice, which ended {ended}";
}

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
    let mut feature =
        Feature::new("api").routes(routes).api(api).events(EVENTS).frame_link(FrameLink::Footer("API", page::PATH));
    for page in ["/o/{organization}/clients", "/o/{organization}/clients/{client}/secret"] {
        feature = feature.link(PageLink::for_every_member(page, "How the API works", page::PATH));
    }
    feature
}
