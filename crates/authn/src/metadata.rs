use serde::Deserialize;
use url::Url;

use crate::http_client::NetworkScope;
use crate::jws::{ACCEPTED, Algorithm, KeySet};
use crate::lenient;
use crate::provider_settings::ProviderSettings;

/// Why a provider cannot be used. The text is for the log and the audit trail.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// The provider may work in a moment.
    #[error("{0}")]
    NotNow(String),
    /// The provider lacks something, or says that our configuration is wrong. Retrying does not help.
    #[error("not supported: {0}")]
    Unsupported(String),
}

/// How we authenticate to a provider (OpenID Connect Core 1.0, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    Basic,
    Post,
}

impl ClientAuth {
    /// Chooses a method that the provider announces. Without an announcement, Basic is the default (OpenID Connect
    /// Discovery 1.0, section 3).
    fn of(announced: &[String]) -> Option<Self> {
        let offers = |method: &str| announced.iter().any(|one| one == method);
        if announced.is_empty() || offers("client_secret_basic") {
            Some(Self::Basic)
        } else {
            offers("client_secret_post").then_some(Self::Post)
        }
    }
}

/// The verified metadata of a provider, with its signing keys.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) authorization_endpoint: Url,
    pub(crate) token_endpoint: Url,
    pub(crate) jwks_uri: Url,
    pub(crate) userinfo_endpoint: Option<Url>,
    pub(crate) end_session_endpoint: Option<Url>,
    /// The endpoint for pushed authorization requests (RFC 9126), if requests must be pushed.
    pub(crate) pushed_to: Option<Url>,
    /// Whether the provider announces that its responses name it as issuer (RFC 9207).
    pub(crate) names_issuer: bool,
    pub(crate) client_auth: ClientAuth,
    pub(crate) keys: KeySet,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    #[serde(default, deserialize_with = "lenient::optional")]
    userinfo_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "lenient::optional")]
    end_session_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "lenient::optional")]
    pushed_authorization_request_endpoint: Option<Url>,
    #[serde(default, deserialize_with = "lenient::optional")]
    require_pushed_authorization_requests: Option<bool>,
    #[serde(default, deserialize_with = "lenient::optional")]
    authorization_response_iss_parameter_supported: Option<bool>,
    #[serde(default, deserialize_with = "lenient::texts")]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default, deserialize_with = "lenient::texts")]
    id_token_signing_alg_values_supported: Vec<String>,
}

impl Metadata {
    /// Parses a discovery document (OpenID Connect Discovery 1.0, section 3; RFC 8414). The keys are fetched
    /// afterwards.
    pub(crate) fn read(
        body: &[u8],
        issuer: &str,
        network_scope: NetworkScope,
        settings: &ProviderSettings,
    ) -> Result<Self, ProviderError> {
        let lacks = |what: &str| Err(ProviderError::Unsupported(format!("discovery: {what}")));
        let document: Document =
            serde_json::from_slice(body).map_err(|error| ProviderError::NotNow(format!("discovery: {error}")))?;
        // The issuers are compared as text, not as URLs (OpenID Connect Discovery 1.0, section 4.3).
        if document.issuer != issuer {
            return lacks("its document names another issuer");
        }
        let needed = [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri];
        if !needed.into_iter().all(|url| network_scope.covers(url)) {
            return lacks("an endpoint has an address that is not allowed");
        }
        let s256 = document.code_challenge_methods_supported.iter().any(|method| method == "S256");
        let silent = document.code_challenge_methods_supported.is_empty();
        if !(s256 || silent && settings.allow_unannounced_pkce) {
            return lacks(if silent {
                "it does not announce PKCE with S256 (RFC 9700, section 2.1.1); if its manual says that it has it, set \
                 allow_unannounced_pkce or a preset"
            } else {
                "it does not offer PKCE with S256 (RFC 9700, section 2.1.1)"
            });
        }
        let algorithms = &document.id_token_signing_alg_values_supported;
        if !algorithms.is_empty() && !algorithms.iter().any(|name| Algorithm::named(name).is_some()) {
            return lacks(&format!("it supports none of {ACCEPTED}"));
        }
        let Some(client_auth) = ClientAuth::of(&document.token_endpoint_auth_methods_supported) else {
            return lacks("it supports neither client_secret_basic nor client_secret_post");
        };
        // Optional endpoints may be missing. An endpoint that must not be contacted counts as missing.
        let reachable = |url: Option<Url>| url.filter(|url| network_scope.covers(url));
        let pushed_to = reachable(document.pushed_authorization_request_endpoint);
        let must_push = settings.push_requests || document.require_pushed_authorization_requests.unwrap_or_default();
        if must_push && pushed_to.is_none() {
            return lacks("requests must be pushed (RFC 9126), but it has no endpoint for that");
        }
        Ok(Self {
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            jwks_uri: document.jwks_uri,
            userinfo_endpoint: reachable(document.userinfo_endpoint),
            end_session_endpoint: reachable(document.end_session_endpoint),
            pushed_to: pushed_to.filter(|_| must_push),
            names_issuer: document.authorization_response_iss_parameter_supported.unwrap_or_default(),
            client_auth,
            keys: KeySet::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example";

    fn read(change: impl FnOnce(&mut Value)) -> Result<Metadata, ProviderError> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/",
            "code_challenge_methods_supported": ["S256"],
        });
        change(&mut document);
        Metadata::read(document.to_string().as_bytes(), ISSUER, NetworkScope::Public, &ProviderSettings::default())
    }

    // control: IDN-03
    #[test]
    fn members_that_nothing_needs_may_be_of_any_type() {
        for name in [
            "userinfo_endpoint",
            "end_session_endpoint",
            "pushed_authorization_request_endpoint",
            "require_pushed_authorization_requests",
            "authorization_response_iss_parameter_supported",
            "token_endpoint_auth_methods_supported",
            "id_token_signing_alg_values_supported",
            "response_types_supported",
            "display_values_supported",
        ] {
            for value in [json!(null), json!(1), json!("x y"), json!({"a": 1}), json!([1, null])] {
                let read = read(|document| document[name] = value.clone());
                // A string is accepted as a list with one entry. A list of algorithms or methods may contain unknown
                // entries.
                let said = value == json!("x y") && (name.contains("auth_methods") || name.contains("alg_values"));
                assert_eq!(read.is_ok(), !said, "{name}: {value}: {read:?}");
            }
        }
    }

    #[test]
    fn a_method_that_the_provider_announces_is_used() {
        let auth = |methods: Value| read(|document| document["token_endpoint_auth_methods_supported"] = methods);
        for (methods, expected) in [
            (json!([]), ClientAuth::Basic),
            (json!(["client_secret_post"]), ClientAuth::Post),
            (json!(["private_key_jwt", "client_secret_post"]), ClientAuth::Post),
            (json!(["client_secret_post", "client_secret_basic"]), ClientAuth::Basic),
        ] {
            assert_eq!(auth(methods.clone()).map(|read| read.client_auth).ok(), Some(expected), "{methods}");
        }
        let refused = auth(json!(["private_key_jwt", "none"])).unwrap_err().to_string();
        assert!(refused.contains("neither client_secret_basic nor client_secret_post"), "{refused}");
    }

    // control: IDN-15
    #[test]
    fn an_endpoint_that_may_not_be_contacted_counts_as_missing() {
        let elsewhere = "https://169.254.169.254/latest";
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            assert!(read(|document| document[name] = json!(elsewhere)).is_err(), "{name}");
        }
        for name in ["userinfo_endpoint", "end_session_endpoint", "pushed_authorization_request_endpoint"] {
            let read = read(|document| document[name] = json!(elsewhere)).unwrap();
            assert_eq!(
                (read.userinfo_endpoint, read.end_session_endpoint, read.pushed_to),
                (None, None, None),
                "{name}"
            );
        }
        let forced = read(|document| {
            document["require_pushed_authorization_requests"] = json!(true);
            document["pushed_authorization_request_endpoint"] = json!("http://localhost/par");
        });
        assert!(forced.unwrap_err().to_string().contains("has no endpoint for that"));
    }
}
