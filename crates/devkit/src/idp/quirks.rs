//! What the specifications leave open, and what well-known providers do differently.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::{Fault, Idp, as_json, claims, id_token};

/// How the provider differs from the specifications. The default follows the specifications and has everything in the ID token.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    /// Members of the metadata that are added or replaced. `null` removes one.
    pub metadata: Map<String, Value>,
    /// Claims of ID tokens, in the same way.
    pub claims: Map<String, Value>,
    /// Members of the token response, in the same way.
    pub tokens: Map<String, Value>,
    /// Claims of userinfo, in the same way.
    pub userinfo: Map<String, Value>,
    /// Name and address are at userinfo and not in the ID token (OpenID Connect Core 5.4).
    pub claims_at_userinfo: bool,
    /// Status, content type and body of userinfo, instead of its claims.
    pub userinfo_answer: Option<(u16, &'static str, String)>,
    /// The only supported method of client authentication.
    pub client_auth: Option<&'static str>,
    /// Authorization requests must be pushed (RFC 9126).
    pub requires_push: bool,
    /// The supported values of `prompt`. If empty, all.
    pub prompts: &'static [&'static str],
}

impl Quirks {
    /// The quirks of a known product, as far as a sign-in shows them.
    ///
    /// # Panics
    /// If the product is not known here.
    #[must_use]
    #[allow(clippy::panic, reason = "a test may panic")]
    pub fn of(preset: &str) -> Self {
        let members = |value: Value| value.as_object().cloned().unwrap_or_default();
        let silent_about_pkce = members(json!({ "code_challenge_methods_supported": null }));
        let without_auth_time = members(json!({ "auth_time": null }));
        match preset {
            "google" => Self {
                claims: members(json!({ "auth_time": null, "acr": null, "amr": null, "sid": null, "azp": "holdfast" })),
                prompts: &["none", "consent", "select_account"],
                ..Self::default()
            },
            "microsoft" => Self {
                metadata: members(json!({
                    "code_challenge_methods_supported": null,
                    "authorization_response_iss_parameter_supported": null,
                    "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                })),
                claims: members(json!({ "email_verified": null, "acr": "1", "ver": "2.0", "tid": "9188040d" })),
                ..Self::default()
            },
            "cognito" => Self {
                metadata: silent_about_pkce,
                claims: members(json!({
                    "email_verified": "true", "phone_number_verified": "true", "address": "x", "cognito:groups": ["a"],
                })),
                ..Self::default()
            },
            "gitlab" => Self { claims: without_auth_time, claims_at_userinfo: true, ..Self::default() },
            "gitea" => Self { claims: without_auth_time, ..Self::default() },
            "auth0" => Self { tokens: members(json!({ "expires_in": "86400", "scope": 1 })), ..Self::default() },
            "okta" => Self { claims: members(json!({ "ver": 1, "idp": "00o" })), ..Self::default() },
            "keycloak" => Self { claims: members(json!({ "acr": "1", "typ": "ID" })), ..Self::default() },
            _ => panic!("the quirks of {preset} are not known"),
        }
    }
}

pub(super) async fn userinfo(State(idp): State<Idp>, headers: HeaderMap) -> Response {
    idp.count(|counts| &mut counts.userinfo);
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let (grant, quirks) = {
        let state = idp.lock();
        (state.access.get(token).cloned(), state.quirks.clone())
    };
    let Some((person, scope)) = grant else {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")])
            .into_response();
    };
    if let Some((status, kind, body)) = quirks.userinfo_answer {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    }
    let mut claims = claims::profile(&person, &scope);
    claims.insert("sub".to_owned(), json!(person.subject));
    if matches!(idp.fault(), Fault::HugeName | Fault::ControlCharsInName | Fault::LongEmailNoName) {
        id_token::distort(&mut claims, idp.fault(), idp.now());
    }
    claims::change(&mut claims, &quirks.userinfo);
    as_json(&Value::Object(claims))
}

impl Idp {
    /// Sets the quirks.
    pub fn set_quirks(&self, quirks: Quirks) {
        self.lock().quirks = quirks;
    }

    pub(super) fn quirks(&self) -> Quirks {
        self.lock().quirks.clone()
    }
}
