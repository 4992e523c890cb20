//! Metadata and key set (OpenID Connect Discovery, RFC 8414, RFC 7517).

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{DEFAULT_ACR, Fault, HUGE, Idp, OTHER_ISSUER, SLOW, as_json, claims};

pub(super) async fn metadata(State(idp): State<Idp>) -> Response {
    idp.count(|counts| &mut counts.discovery);
    let mut metadata = document(&idp.issuer());
    match idp.fault() {
        Fault::DiscoveryWrongIssuer => metadata["issuer"] = json!(OTHER_ISSUER),
        Fault::DiscoveryWithoutS256 => {
            metadata["code_challenge_methods_supported"] = json!(["plain"]);
        }
        Fault::DiscoveryHuge => metadata["padding"] = json!("x".repeat(HUGE)),
        Fault::DiscoverySlow => tokio::time::sleep(SLOW).await,
        Fault::DiscoveryNotJson => {
            return Html("<!doctype html><title>Welcome</title>").into_response();
        }
        Fault::DiscoveryDown => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::DiscoveryRedirect => {
            let elsewhere = format!("{}/elsewhere/openid-configuration", idp.issuer());
            return (StatusCode::FOUND, [(header::LOCATION, elsewhere)]).into_response();
        }
        _ => {}
    }
    let quirks = idp.quirks();
    if let Some(metadata) = metadata.as_object_mut() {
        if let Some(method) = quirks.client_auth {
            metadata.insert("token_endpoint_auth_methods_supported".to_owned(), json!([method]));
        }
        if quirks.requires_push {
            metadata.insert("require_pushed_authorization_requests".to_owned(), json!(true));
        }
        claims::change(metadata, &quirks.metadata);
    }
    as_json(&metadata)
}

/// Where a redirected client would find correct metadata, if it followed.
pub(super) async fn metadata_elsewhere(State(idp): State<Idp>) -> Response {
    as_json(&document(&idp.issuer()))
}

fn document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks.json"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "pushed_authorization_request_endpoint": format!("{issuer}/pushed"),
        "end_session_endpoint": format!("{issuer}/end-session"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "PS256", "Ed25519"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": ["openid", "profile", "email"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "at_hash", "acr", "amr",
            "name", "email", "email_verified",
        ],
        "acr_values_supported": [DEFAULT_ACR],
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
    })
}

pub(super) async fn key_set(State(idp): State<Idp>) -> Response {
    idp.count(|counts| &mut counts.jwks);
    let state = idp.lock();
    let mut keys: Vec<Value> = state.keys.iter().chain(&state.retired).map(|key| key.jwk()).collect();
    match state.fault {
        Fault::JwksDown => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::JwksEmpty => keys.clear(),
        Fault::KeySwapped | Fault::NoKidSeveralKeys => {
            keys.extend(state.spare.iter().map(|key| key.jwk()));
        }
        _ => {}
    }
    as_json(&json!({ "keys": keys }))
}
