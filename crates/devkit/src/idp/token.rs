//! The token endpoint. It exchanges a code, with a client secret and a PKCE verifier, for an ID token (RFC 6749 4.1.3, RFC 7636 4.6).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::params::{self, Params};
use super::{Client, Fault, Grant, HUGE, Idp, SLOW, as_json, claims, id_token, keys};

/// `error` and `error_description` (RFC 6749 5.2).
pub(super) type Refusal = (&'static str, &'static str);

pub(super) async fn token(State(idp): State<Idp>, headers: HeaderMap, body: String) -> Response {
    idp.count(|counts| &mut counts.token);
    match idp.fault() {
        Fault::TokenDown => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Fault::TokenNotJson => {
            return Html("<!doctype html><title>Welcome</title>").into_response();
        }
        Fault::TokenError => {
            return refuse(("invalid_grant", "<img src=x onerror=alert(1)> \u{202e}try again"));
        }
        Fault::TokenRedirect => {
            let elsewhere = format!("{}/elsewhere/token", idp.issuer());
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, elsewhere)]).into_response();
        }
        Fault::TokenSlow => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    exchange(&idp, &headers, &body).map_or_else(refuse, |tokens| no_store(StatusCode::OK, &tokens))
}

/// Where a client would get its tokens if it followed a redirect.
pub(super) async fn token_elsewhere(State(idp): State<Idp>, headers: HeaderMap, body: String) -> Response {
    exchange(&idp, &headers, &body).map_or_else(refuse, |tokens| no_store(StatusCode::OK, &tokens))
}

fn exchange(idp: &Idp, headers: &HeaderMap, body: &str) -> Result<Value, Refusal> {
    let form = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !form.starts_with("application/x-www-form-urlencoded") {
        return Err(("invalid_request", "the body must be form-encoded"));
    }
    let params = Params::parse(body).map_err(|_| ("invalid_request", "a parameter was sent twice"))?;
    let client = authenticate(idp, headers, &params)?;
    if params.get("grant_type") != Some("authorization_code") {
        return Err(("unsupported_grant_type", "grant_type must be authorization_code"));
    }
    let grant = redeem(idp, &client, &params)?;
    let access_token = keys::token();
    {
        let mut state = idp.lock();
        if state.access.len() == 1000 {
            state.access.clear();
        }
        state.access.insert(access_token.clone(), (grant.person.clone(), grant.scope.clone()));
    }
    let mut tokens = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300 });
    let fault = idp.fault();
    if fault != Fault::TokenWithoutIdToken {
        tokens["id_token"] = json!(id_token::id_token(idp, &client, &grant, &access_token));
    }
    if fault == Fault::TokenHuge {
        tokens["padding"] = json!("x".repeat(HUGE));
    }
    if let Some(tokens) = tokens.as_object_mut() {
        claims::change(tokens, &idp.quirks().tokens);
    }
    Ok(tokens)
}

/// The client, by `client_secret_basic` or `client_secret_post`, but not both at once.
pub(super) fn authenticate(idp: &Idp, headers: &HeaderMap, params: &Params) -> Result<Client, Refusal> {
    let wrong = ("invalid_client", "unknown client or wrong secret");
    let method = if headers.contains_key(header::AUTHORIZATION) { "client_secret_basic" } else { "client_secret_post" };
    if idp.quirks().client_auth.is_some_and(|only| only != method) {
        return Err(("invalid_client", "this way of client authentication is not supported"));
    }
    let (id, secret) = match (headers.get(header::AUTHORIZATION), params.get("client_secret")) {
        (Some(_), Some(_)) => return Err(("invalid_request", "two ways of client authentication")),
        (Some(basic), None) => basic.to_str().ok().and_then(basic_credentials).ok_or(wrong)?,
        (None, Some(secret)) => (params.get("client_id").unwrap_or_default().to_owned(), secret.to_owned()),
        (None, None) => return Err(("invalid_client", "client authentication is missing")),
    };
    if params.get("client_id").is_some_and(|other| other != id) {
        return Err(("invalid_request", "client_id is not the authenticated client"));
    }
    idp.client(&id).filter(|client| same(&client.secret, &secret)).ok_or(wrong)
}

/// Id and secret of a Basic header, each form-encoded (RFC 6749 2.3.1).
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (params::decode(id), params::decode(secret)))
}

/// Takes the code in any case, because a code works once.
fn redeem(idp: &Idp, client: &Client, params: &Params) -> Result<Grant, Refusal> {
    let code = params.get("code").ok_or(("invalid_request", "code is missing"))?;
    let verifier = params.get("code_verifier").ok_or(("invalid_request", "code_verifier is missing"))?;
    let now = idp.now();
    let grant = idp.lock().codes.remove(code).ok_or(("invalid_grant", "unknown or used code"))?;
    if !grant.is_fresh(now) {
        return Err(("invalid_grant", "the code has expired"));
    }
    if grant.client_id != client.id || params.get("redirect_uri") != Some(&grant.redirect_uri) {
        return Err(("invalid_grant", "the code was issued for another client or redirect_uri"));
    }
    let unreserved = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    let well_formed = (43..=128).contains(&verifier.len()) && verifier.chars().all(unreserved);
    let matches = same(&keys::base64url(&Sha256::digest(verifier)), &grant.challenge);
    if idp.fault() != Fault::CodeSwapped && !(well_formed && matches) {
        return Err(("invalid_grant", "code_verifier does not match"));
    }
    Ok(grant)
}

/// Compares hashes, so that the response time reveals nothing about the secret.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one) == Sha256::digest(other)
}

pub(super) fn refuse((error, description): Refusal) -> Response {
    let body = json!({ "error": error, "error_description": description });
    if error != "invalid_client" {
        return no_store(StatusCode::BAD_REQUEST, &body);
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"token\"")];
    (challenge, no_store(StatusCode::UNAUTHORIZED, &body)).into_response()
}

pub(super) fn no_store(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], as_json(body)).into_response()
}
