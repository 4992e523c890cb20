use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponseParts, ResponseParts};
use web::Error;
use web::cookie::{self, SameSite};

use crate::provider::Provider;
use crate::secret::Token;
use crate::{Authn, ProviderKey, SignedIn, session_cookie};

const COOKIE: &str = "logout";

/// A session that has ended. As part of a response, it clears what the browser stores.
#[derive(Debug)]
pub struct SignedOut {
    /// The URL of the provider's own sign-out (OpenID Connect RP-Initiated Logout 1.0), if the provider has one and
    /// responds.
    pub provider_url: Option<String>,
    state: Option<String>,
    /// The token of the session that ended.
    ended: Option<String>,
}

impl SignedOut {
    /// Signs out a browser that has no session. The browser still forgets its cookies.
    #[must_use]
    pub fn already(headers: &HeaderMap) -> Self {
        let ended = session_cookie::token_of(headers).map(str::to_owned);
        Self { provider_url: None, state: None, ended }
    }
}

impl IntoResponseParts for SignedOut {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let headers = response.headers_mut();
        session_cookie::remove(headers);
        if let Some(ended) = &self.ended {
            session_cookie::set_ended(headers, ended);
        }
        // This clears pages of the session, including pages that the back button would show.
        headers.insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(state) = &self.state {
            cookie::set(headers, COOKIE, state, SameSite::Lax, Some(600));
        }
        Ok(response)
    }
}

impl Authn {
    /// Ends the session, and returns the URL where the provider's session can be ended. ID tokens are not stored, so
    /// none is sent as a hint. The provider therefore asks the person to confirm.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn sign_out(&self, who: &SignedIn, headers: &HeaderMap) -> Result<SignedOut, Error> {
        self.end_session(who).await?;
        let here = SignedOut::already(headers);
        let Some(provider) = self.provider_of_session(who).await? else { return Ok(here) };
        // The session has ended. A provider that is down must not hide that.
        let metadata = provider.metadata(&self.0.clock).await.ok();
        let Some(mut url) = metadata.and_then(|metadata| metadata.end_session_endpoint.clone()) else {
            return Ok(here);
        };
        // All sign-outs of a browser share one state, so a late one is still recognized.
        let state = Token::of_browser(headers, COOKIE)?;
        url.query_pairs_mut()
            .append_pair("client_id", &provider.config.client_id)
            .append_pair("post_logout_redirect_uri", &self.url(self.0.addresses.signed_out))
            .append_pair("state", state.reveal());
        Ok(SignedOut { provider_url: Some(url.into()), state: Some(state.reveal().to_owned()), ..here })
    }

    async fn provider_of_session(&self, who: &SignedIn) -> Result<Option<Arc<Provider>>, Error> {
        let Some(issuer) = &who.issuer else { return Ok(None) };
        let Some(tenant) = who.sso_tenant else {
            let of_issuer = |provider: &&Arc<Provider>| *issuer == provider.config.issuer;
            return Ok(self.0.providers.values().find(of_issuer).map(Arc::clone));
        };
        match self.provider(&ProviderKey::of_organization(tenant)).await {
            Ok(provider) => Ok(Some(provider)),
            // The organization has removed the provider.
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this browser started the sign-out at the provider. It only affects the text of the page.
    #[must_use]
    pub fn sign_out_was_ours(headers: &HeaderMap, state: Option<&str>) -> bool {
        matches!((cookie::get(headers, COOKIE), state), (Some(ours), Some(theirs)) if ours == theirs)
    }
}
