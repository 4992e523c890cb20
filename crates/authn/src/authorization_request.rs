use axum::http::StatusCode;
use chrono::Duration;
use serde::Deserialize;
use url::Url;

use crate::id_token::error_of;
use crate::metadata::{Metadata, ProviderError};
use crate::provider::Provider;

/// The time to finish a login flow at the provider.
pub(crate) const LIFETIME: Duration = Duration::minutes(10);

/// The values that are new in each authorization request.
pub(crate) struct AuthorizationRequest<'a> {
    pub(crate) state: &'a str,
    pub(crate) nonce: &'a str,
    /// The PKCE challenge (method S256).
    pub(crate) challenge: &'a str,
    /// Whether the provider must authenticate the person again and not rely on its own session.
    pub(crate) reauthenticate: bool,
}

impl Provider {
    /// Returns the URL that the browser opens to sign in (OpenID Connect Core 1.0, section 3.1.2.1). If requests must
    /// be pushed, the URL refers to a request that the provider has already accepted.
    pub(crate) async fn authorization_url(
        &self,
        metadata: &Metadata,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Url, ProviderError> {
        let config = &self.config;
        let scope =
            ["openid"].into_iter().chain(config.scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let max_age = if request.reauthenticate { 0 } else { config.max_age_seconds }.to_string();
        let acr_values = config.acr_values.join(" ");
        let mut fields = vec![
            ("response_type", "code"),
            ("redirect_uri", &*self.redirect),
            ("scope", &*scope),
            ("state", request.state),
            ("nonce", request.nonce),
            ("code_challenge", request.challenge),
            ("code_challenge_method", "S256"),
            ("max_age", &*max_age),
        ];
        if request.reauthenticate {
            // This is for providers that do not know `max_age`. The time in the token decides.
            fields.push(("prompt", &*self.settings.reauthentication_prompt));
        }
        if !acr_values.is_empty() {
            fields.push(("acr_values", &*acr_values));
        }
        let reference;
        if let Some(endpoint) = &metadata.pushed_to {
            reference = self.push(metadata, endpoint, &fields).await?;
            fields = vec![("request_uri", &*reference)];
        }
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut().append_pair("client_id", &config.client_id).extend_pairs(fields);
        Ok(url)
    }

    /// Pushes an authorization request (RFC 9126, section 2). Returns the reference to it.
    async fn push(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        fields: &[(&str, &str)],
    ) -> Result<String, ProviderError> {
        #[derive(Deserialize)]
        struct PushedRequest {
            request_uri: String,
        }
        let _place = self.acquire_permit().await?;
        let fields: Vec<_> =
            [("client_id", &*self.config.client_id)].into_iter().chain(fields.iter().copied()).collect();
        let answer = self.post(endpoint, metadata.client_auth, &fields).await;
        let answer = answer.map_err(|error| ProviderError::NotNow(format!("pushed request: {error}")))?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::OK => {}
            status => {
                let reason = format!("pushed request: the status is {} {}", status.as_u16(), error_of(answer.body()));
                // A client error means that the provider has read the request and does not support it. Any other error
                // means that the provider does not work.
                return Err(if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                    ProviderError::Unsupported(reason)
                } else {
                    ProviderError::NotNow(reason)
                });
            }
        }
        let pushed: Result<PushedRequest, _> = serde_json::from_slice(answer.body());
        let pushed = pushed.map_err(|error| ProviderError::NotNow(format!("pushed request: {error}")))?;
        if (1..=512).contains(&pushed.request_uri.len()) {
            Ok(pushed.request_uri)
        } else {
            Err(ProviderError::NotNow("pushed request: its reference is empty or too long".to_owned()))
        }
    }
}
