use std::time::Duration;

use axum::http::{StatusCode, header};
use serde::Deserialize;
use web::visible;

use crate::id_token::{IdTokenError, Profile, address};
use crate::metadata::Metadata;
use crate::provider::Provider;

/// The timeout for userinfo. Together with the other requests of a sign-in, it is below the timeout of our own request.
const TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    profile: Profile,
}

/// Name, address, and whether the address is verified. Name and address are `None` if the provider did not respond.
type FullProfile = (Option<String>, Option<String>, bool);

impl Provider {
    /// Returns the name and the address. They come from userinfo if the ID token lacks one of them (OpenID Connect Core
    /// 1.0, sections 5.3 and 5.4). If userinfo fails, they are unknown. If userinfo is about another person, the
    /// sign-in is refused.
    pub(crate) async fn full_profile(
        &self,
        metadata: &Metadata,
        subject: &str,
        mut profile: Profile,
        access_token: Option<&str>,
    ) -> Result<FullProfile, IdTokenError> {
        let mut known = true;
        if (profile.name.is_none() || profile.email.is_none())
            && let (Some(url), Some(token)) = (&metadata.userinfo_endpoint, access_token)
        {
            match self.userinfo(url.as_str(), token).await {
                Ok(more) if more.sub != subject => {
                    return Err(IdTokenError::Token("userinfo is about somebody else".to_owned()));
                }
                Ok(UserInfo { profile: more, .. }) => {
                    profile.name = profile.name.or(more.name);
                    // An address and its verification belong together.
                    if profile.email.is_none() {
                        (profile.email, profile.email_verified) = (more.email, more.email_verified);
                    }
                }
                Err(reason) => {
                    let reason = visible(&reason, 300);
                    tracing::warn!(issuer = self.config.issuer, reason, "userinfo request failed");
                    known = false;
                }
            }
        }
        let given = profile.email.as_deref().unwrap_or_default();
        let name = profile.name.as_deref().map(|name| visible(name, 120)).filter(|name| !name.is_empty());
        let local = || visible(given.split('@').next().unwrap_or_default(), 120);
        let name = name.or_else(|| known.then(local)).filter(|name| !name.is_empty());
        let email = address(given).or_else(|| (known || profile.email.is_some()).then(String::new));
        let verified = email.as_ref().is_some_and(|email| !email.is_empty()) && profile.email_verified == Some(true);
        Ok((name.or_else(|| known.then(|| "Unnamed".to_owned())), email, verified))
    }

    async fn userinfo(&self, url: &str, token: &str) -> Result<UserInfo, String> {
        let _place = self.acquire_permit().await.map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(TIMEOUT, self.get(url, Some(token))).await;
        let answer = answer.map_err(|_| "it takes too long".to_owned())?.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the status is {}", answer.status().as_u16()));
        }
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.to_ascii_lowercase().starts_with("application/jwt") {
            // A provider sends such a response only to clients that have registered for it.
            return Err("not supported: it is signed or encrypted; register the client for plain JSON".to_owned());
        }
        serde_json::from_slice(answer.body()).map_err(|error| error.to_string())
    }
}
