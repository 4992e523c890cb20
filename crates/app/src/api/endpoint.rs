use authz::Public;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokens::{Grant, Refused, Tokens};
use web::{Error, Form, Json, Result};

/// What a client may ask (RFC 6749, sections 2.3.1, 4.4.2 and 6).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenInput {
    grant_type: String,
    scope: Option<String>,
    refresh_token: Option<SecretString>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
}

/// RFC 7009, section 2.1. The hint is not needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeInput {
    token: SecretString,
    #[serde(rename = "token_type_hint")]
    _hint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
}

pub(super) async fn token(
    public: Public,
    State(tokens): State<Tokens>,
    headers: HeaderMap,
    form: Result<Form<TokenInput>>,
) -> Result<Response> {
    let TokenInput { grant_type, scope, refresh_token, client_id, client_secret } = match form {
        Ok(Form(input)) => input,
        Err(error) => return unread(error),
    };
    let grant = match (&*grant_type, refresh_token) {
        ("client_credentials", None) => Grant::ClientCredentials(scope),
        ("refresh_token", Some(token)) if scope.is_none() => Grant::RefreshToken(token),
        ("client_credentials" | "refresh_token", _) => return refused(FIELDS),
        _ => {
            let which = "Ask with client_credentials or with refresh_token.";
            return refused(Refused::Oauth("unsupported_grant_type", which));
        }
    };
    match tokens.issue(&headers, (client_id, client_secret), grant, &public.context).await {
        Ok(issued) => Ok(Json(issued).into_response()),
        Err(why) => refused(why),
    }
}

pub(super) async fn revoke(
    public: Public,
    State(tokens): State<Tokens>,
    headers: HeaderMap,
    form: Result<Form<RevokeInput>>,
) -> Result<Response> {
    let RevokeInput { token, client_id, client_secret, .. } = match form {
        Ok(Form(input)) => input,
        Err(error) => return unread(error),
    };
    match tokens.revoke(&headers, (client_id, client_secret), token, &public.context).await {
        Ok(()) => Ok(Json(json!({})).into_response()),
        Err(why) => refused(why),
    }
}

const FIELDS: Refused = Refused::Oauth("invalid_request", "These are not the fields of this request.");

/// RFC 6749 has one answer to what cannot be read.
fn unread(error: Error) -> Result<Response> {
    match error {
        Error::Invalid(..) | Error::Malformed(_) => refused(FIELDS),
        error => Err(error),
    }
}

fn refused(why: Refused) -> Result<Response> {
    let (code, text) = match why {
        Refused::Oauth(code, text) => (code, text),
        Refused::Web(error) => return Err(error),
    };
    let body = Json(json!({ "error": code, "error_description": text }));
    Ok(if code == "invalid_client" {
        let challenge = HeaderValue::from_static("Basic realm=\"api\", charset=\"UTF-8\"");
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body).into_response()
    } else {
        (StatusCode::BAD_REQUEST, body).into_response()
    })
}

/// A key is published a day before it signs, so an answer may be kept for a while.
const KEPT: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))];

pub(super) async fn keys(public: Public, State(tokens): State<Tokens>) -> Result<impl IntoResponse> {
    drop(public);
    Ok((KEPT, Json(tokens.key_set().await?)))
}

/// RFC 8414.
pub(super) async fn metadata(public: Public, State(tokens): State<Tokens>) -> impl IntoResponse {
    drop(public);
    let issuer = tokens.issuer();
    let methods = ["client_secret_basic", "client_secret_post"];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/api/oauth/token"),
        "revocation_endpoint": format!("{issuer}/api/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": tokens.offered(),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "dpop_signing_alg_values_supported": ["EdDSA", "ES256"],
    });
    (KEPT, Json(document))
}
