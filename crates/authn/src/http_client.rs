use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};
use url::{Host, Url};

use crate::ConfigError;

/// Largest answer of a provider that is read.
const LARGEST: usize = 256 * 1024;

/// Asks providers: no redirects (an answer that sends us elsewhere is how a server is made to fetch what it must not),
/// no proxy from the environment, limits on time and size.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient(
    #[expect(clippy::disallowed_types, reason = "the one place that holds an HTTP client")] reqwest::Client,
);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the address is neither https nor, for a provider on loopback, on loopback")]
    Address,
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Response(#[from] axum::http::Error),
}

impl HttpClient {
    pub(crate) fn new() -> Result<Self, ConfigError> {
        // Already there when another part of the process chose it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(
            clippy::disallowed_methods,
            clippy::disallowed_types,
            reason = "the one place that builds an HTTP client"
        )]
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(8))
            .build()
            .map(Self)
            .map_err(ConfigError::HttpClient)
    }

    pub(crate) async fn send(&self, request: HttpRequest, loopback: bool) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| HttpError::Address)?;
        if !may_be_asked(&url, loopback) {
            return Err(HttpError::Address);
        }
        let mut response = self.0.execute(reqwest::Request::try_from(request)?).await?;
        let mut answer = axum::http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LARGEST {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer.body(body)?)
    }
}

/// A provider is asked over https. One whose issuer is on loopback, which only development has, is asked there only.
pub(crate) fn may_be_asked(url: &Url, loopback: bool) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    plain && if loopback { is_loopback(url) } else { url.scheme() == "https" }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
