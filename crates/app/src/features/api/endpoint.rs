use authz::Public;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokens::{ALGORITHMS, Grant, TokenError, Tokens};
use web::{Error, Form, Json, Result};

use crate::base::{Operation, Schema};

/// The parameters of the token and revocation endpoints.
const PARAMETERS: [&str; 6] = ["grant_type", "scope", "refresh_token", "client_id", "client_secret", "token"];

/// The parameters of a request. Each occurs at most once, and an empty parameter counts as missing. Unknown parameters
/// are ignored (RFC 6749, section 3.2), because clients send `audience`, `resource`, `token_type_hint` and others.
#[derive(Default)]
struct Parameters([Option<String>; PARAMETERS.len()]);

impl Parameters {
    fn read(form: Result<Form<Vec<(String, String)>>>) -> Result<Self, Box<Response>> {
        let Form(pairs) = form.map_err(|error| Box::new(unread(error)))?;
        let mut parameters = Self::default();
        for (name, value) in pairs {
            let at = PARAMETERS.iter().position(|known| *known == name);
            let Some(place) = at.and_then(|at| parameters.0.get_mut(at)) else { continue };
            if place.replace(value).is_some() {
                return Err(Box::new(oauth(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    &format!("{name} is there twice."),
                )));
            }
        }
        Ok(parameters)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = PARAMETERS.iter().position(|known| *known == name)?;
        self.0.get_mut(at)?.take().filter(|value| !value.is_empty())
    }

    fn credentials(&mut self) -> (Option<String>, Option<SecretString>) {
        (self.take("client_id"), self.take("client_secret").map(SecretString::from))
    }

    /// Reads the requested grant (RFC 6749, sections 4.4.2 and 6).
    fn grant(&mut self) -> Result<Grant, TokenError> {
        let wrong = |text| TokenError::Oauth("invalid_request", text);
        let scope = self.take("scope");
        match self.take("grant_type").as_deref() {
            Some("client_credentials") if self.take("refresh_token").is_some() => {
                Err(wrong("refresh_token is for grant_type=refresh_token."))
            }
            Some("client_credentials") => Ok(Grant::ClientCredentials(scope)),
            Some("refresh_token") => {
                let token = self.take("refresh_token").ok_or_else(|| wrong("refresh_token is missing."))?;
                Ok(Grant::RefreshToken(token.into(), scope))
            }
            Some(_) => {
                let which = "Ask with client_credentials or with refresh_token.";
                Err(TokenError::Oauth("unsupported_grant_type", which))
            }
            None => Err(wrong("grant_type is missing.")),
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

pub(super) const TOKEN: Operation = Operation {
    summary: "Get an access token",
    description: "With the id and secret of a client (RFC 6749, section 4.4), or with a refresh token as well (section 6). With a \
                  proof of a key in the header `DPoP` the token is bound to that key. Unknown parameters are ignored.",
    request_body: Some((FORM, token_request)),
    success: (200, Some(token_answer), &[]),
    error_responses: ERROR_RESPONSES,
    ..Operation::DEFAULT
};

pub(super) const REVOKE: Operation = Operation {
    summary: "Revoke a token",
    description: "RFC 7009. A refresh token ends with every token that came of it, an access token alone. What is no token of the \
                  client is left alone, and the answer is the same.",
    request_body: Some((FORM, revocation_request)),
    success: (200, Some(|| json!({ "type": "object" })), &[]),
    error_responses: ERROR_RESPONSES,
    ..Operation::DEFAULT
};

const ERROR_RESPONSES: &[(u16, &str, Option<Schema>)] = &[
    (400, "`error` says which of the reasons of RFC 6749, section 5.2 or RFC 9449, section 5.", Some(refusal)),
    (401, "`invalid_client`: no such client, another secret, or one that has ended.", Some(refusal)),
];

fn token_request() -> Value {
    let text = json!({ "type": "string" });
    let grants = ["client_credentials", "refresh_token"];
    json!({
        "type": "object",
        "required": ["grant_type"],
        "properties": {
            "grant_type": { "type": "string", "enum": grants },
            "scope": { "type": "string", "description": "Scopes with spaces between. Without it, all that the client has." },
            "refresh_token": text,
            "client_id": text,
            "client_secret": text,
        },
    })
}

fn token_answer() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope", "refresh_token"],
        "properties": {
            "access_token": text,
            "token_type": { "type": "string", "enum": ["Bearer", "DPoP"] },
            "expires_in": { "type": "integer", "description": "Seconds." },
            "scope": { "type": "string", "description": "Scopes with spaces between." },
            "refresh_token": { "type": "string", "description": "Works once." },
        },
    })
}

fn revocation_request() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["token"],
        "properties": { "token": text, "token_type_hint": text, "client_id": text, "client_secret": text },
    })
}

fn refusal() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["error", "error_description"],
        "properties": { "error": text, "error_description": text },
    })
}

pub(super) async fn token(
    public: Public,
    State(tokens): State<Tokens>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>>,
) -> Result<Response> {
    let mut parameters = match Parameters::read(form) {
        Ok(parameters) => parameters,
        Err(unread) => return Ok(*unread),
    };
    let grant = match parameters.grant() {
        Ok(grant) => grant,
        Err(why) => return refused(why),
    };
    match tokens.issue(&headers, parameters.credentials(), grant, &public.context).await {
        Ok(issued) => Ok(Json(issued).into_response()),
        Err(why) => refused(why),
    }
}

/// The revocation endpoint (RFC 7009, section 2.1). The token type hint is not needed.
pub(super) async fn revoke(
    public: Public,
    State(tokens): State<Tokens>,
    headers: HeaderMap,
    form: Result<Form<Vec<(String, String)>>>,
) -> Result<Response> {
    let mut parameters = match Parameters::read(form) {
        Ok(parameters) => parameters,
        Err(unread) => return Ok(*unread),
    };
    let Some(token) = parameters.take("token") else {
        return refused(TokenError::Oauth("invalid_request", "token is missing."));
    };
    match tokens.revoke(&headers, parameters.credentials(), token.into(), &public.context).await {
        Ok(()) => Ok(Json(json!({})).into_response()),
        Err(why) => refused(why),
    }
}

/// Converts the error for a request that cannot be parsed. RFC 6749, section 5.2 has one error for it. Errors that the
/// client cannot fix stay the same.
fn unread(error: Error) -> Response {
    let (status, text) = match error {
        Error::UnsupportedType(text) | Error::Malformed(text) => (StatusCode::BAD_REQUEST, text),
        Error::Invalid(..) => {
            (StatusCode::BAD_REQUEST, "Send the parameters in the body, none of them with a NUL character.")
        }
        Error::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large."),
        Error::TooSlow => (StatusCode::REQUEST_TIMEOUT, "The request took too long to arrive."),
        error => return error.into_response(),
    };
    oauth(status, "invalid_request", text)
}

fn refused(why: TokenError) -> Result<Response> {
    match why {
        TokenError::Oauth(code @ "invalid_client", text) => {
            let challenge = HeaderValue::from_static("Basic realm=\"api\", charset=\"UTF-8\"");
            let answer = oauth(StatusCode::UNAUTHORIZED, code, text);
            Ok(([(header::WWW_AUTHENTICATE, challenge)], answer).into_response())
        }
        TokenError::Oauth(code, text) => Ok(oauth(StatusCode::BAD_REQUEST, code, text)),
        TokenError::Web(error) => Err(error),
    }
}

fn oauth(status: StatusCode, code: &str, text: &str) -> Response {
    let mut answer = Json(json!({ "error": code, "error_description": text })).into_response();
    *answer.status_mut() = status;
    answer
}

/// A key is published a day before it signs, so clients may cache the response.
pub(super) const CACHE_HEADERS: [(header::HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))];

pub(super) async fn keys(public: Public, State(tokens): State<Tokens>) -> Result<impl IntoResponse> {
    drop(public);
    Ok((CACHE_HEADERS, Json(tokens.key_set().await?)))
}

/// The metadata of the authorization server (RFC 8414).
pub(super) async fn metadata(public: Public, State(tokens): State<Tokens>) -> impl IntoResponse {
    drop(public);
    let issuer = tokens.issuer();
    let methods = ["client_secret_basic", "client_secret_post"];
    let document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{}", super::TOKEN),
        "revocation_endpoint": format!("{issuer}/api/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": tokens.offered(),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "protected_resources": [tokens.audience()],
        "service_documentation": format!("{issuer}{}", super::page::PATH),
    });
    (CACHE_HEADERS, Json(document))
}

/// The metadata of a protected resource (RFC 9728). The path after the well-known part names the resource (section
/// 3.3): the API or the whole origin.
pub(super) async fn resource(
    public: Public,
    State(tokens): State<Tokens>,
    OriginalUri(asked): OriginalUri,
) -> impl IntoResponse {
    drop(public);
    let issuer = tokens.issuer();
    let resource: Value = if asked.path() == crate::ADDRESSES.resource_metadata {
        tokens.audience().into()
    } else {
        issuer.to_owned().into()
    };
    let document = json!({
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": tokens.offered(),
        "bearer_methods_supported": ["header"],
        "resource_documentation": format!("{issuer}{}", super::page::PATH),
        "dpop_signing_alg_values_supported": ALGORITHMS,
    });
    Json(document)
}
