//! Authorization requests that the application sends directly and not through the browser (RFC 9126).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::params::Params;
use super::token::{Refusal, authenticate, no_store, refuse};
use super::{Idp, authorize, keys};

pub(super) async fn push(State(idp): State<Idp>, headers: HeaderMap, body: String) -> Response {
    idp.count(|counts| &mut counts.pushed);
    keep(&idp, &headers, &body).map_or_else(refuse, |reference| {
        no_store(StatusCode::CREATED, &json!({ "request_uri": reference, "expires_in": 60 }))
    })
}

fn keep(idp: &Idp, headers: &HeaderMap, body: &str) -> Result<String, Refusal> {
    let params = Params::parse(body).map_err(|_| ("invalid_request", "a parameter was sent twice"))?;
    let client = authenticate(idp, headers, &params)?;
    if params.get("client_id") != Some(&client.id) {
        return Err(("invalid_request", "client_id is missing, or another client's"));
    }
    if !params.get("redirect_uri").is_some_and(|uri| client.redirect_uris.iter().any(|known| known == uri)) {
        return Err(("invalid_request", "the redirect_uri is not registered"));
    }
    authorize::check(idp, &params)?;
    let reference = format!("urn:ietf:params:oauth:request_uri:{}", keys::token());
    let mut state = idp.lock();
    if state.pushed.len() == 1000 {
        state.pushed.clear();
    }
    state.pushed.insert(reference.clone(), body.to_owned());
    Ok(reference)
}
