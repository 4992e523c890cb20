use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponseParts, ResponseParts};
use web::Error;
use web::cookie::{self, SameSite};

use crate::provider::Provider;
use crate::secret::Token;
use crate::{Authn, ProviderKey, SignedIn, session_cookie};

const COOKIE: &str = "logout";

/// A session that has ended here. As part of a response it clears what the browser holds.
#[derive(Debug)]
pub struct SignedOut {
    /// The provider's own sign-out (OpenID Connect RP-Initiated Logout 1.0), if it has one that can be reached.
    pub provider_url: Option<String>,
    state: Option<String>,
    /// What the browser showed for its session.
    ended: Option<String>,
}

impl SignedOut {
    /// There is no session to end. The browser forgets what it still holds.
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
        // Pages of the session, also those a browser would bring back by the back button.
        headers.insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(state) = &self.state {
            cookie::set(headers, COOKIE, state, SameSite::Lax, Some(600));
        }
        Ok(response)
    }
}

impl Authn {
    /// Ends the session, then says where the provider's own session can be ended. No ID token is kept, so none is sent
    /// as a hint; the provider asks the person.
    pub async fn sign_out(&self, who: &SignedIn, headers: &HeaderMap) -> Result<SignedOut, Error> {
        self.end_session(who).await?;
        let here = SignedOut::already(headers);
        let Some(provider) = self.provider_of_session(who).await? else { return Ok(here) };
        // The session has ended; a provider that is down must not make it look as if it had not.
        let metadata = provider.metadata(&self.0.clock).await.ok();
        let Some(mut url) = metadata.and_then(|metadata| metadata.end_session_endpoint.clone()) else {
            return Ok(here);
        };
        // The same for all that this browser does: one that comes back late is still ours.
        let state = Token::of_browser(headers, COOKIE)?;
        url.query_pairs_mut()
            .append_pair("client_id", &provider.config.client_id)
            .append_pair("post_logout_redirect_uri", &self.url(self.0.addresses.signed_out))
            .append_pair("state", state.reveal());
        Ok(SignedOut { provider_url: Some(url.into()), state: Some(state.reveal().to_owned()), ..here })
    }

    async fn provider_of_session(&self, who: &SignedIn) -> Result<Option<Arc<Provider>>, Error> {
        let Some(issuer) = &who.issuer else { return Ok(None) };
        let Some(tenant) = who.sign_on else {
            let of_issuer = |provider: &&Arc<Provider>| *issuer == provider.config.issuer;
            return Ok(self.0.providers.values().find(of_issuer).map(Arc::clone));
        };
        match self.provider(&ProviderKey::of_organization(tenant)).await {
            Ok(provider) => Ok(Some(provider)),
            // The organization has taken it away meanwhile.
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody who arrives from the provider's sign-out started it in this browser. Nothing depends on it but
    /// what the page says.
    #[must_use]
    pub fn sign_out_was_ours(headers: &HeaderMap, state: Option<&str>) -> bool {
        matches!((cookie::get(headers, COOKIE), state), (Some(ours), Some(theirs)) if ours == theirs)
    }
}
