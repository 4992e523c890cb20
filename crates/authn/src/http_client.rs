use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use url::{Host, Url};

use crate::ConfigError;
use crate::dns::Dns;

/// The maximum size of a response from a configured provider, and of one from an organization's provider.
const MAX_BODY: usize = 256 * 1024;
const MAX_BODY_PUBLIC: usize = 64 * 1024;

/// The HTTP client for providers. It follows no redirects, because redirects could make the server fetch what it must
/// not. It ignores proxies in the environment, and limits time and size.
#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types, reason = "the only place that holds HTTP clients")]
pub(crate) struct HttpClient {
    anywhere: reqwest::Client,
    public: reqwest::Client,
}

/// The networks where a provider may be. They depend on who configured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkScope {
    /// Configured by the operator: https, on any network.
    Https,
    /// Connected by an organization: https on the default port of a host name. Only public addresses are contacted.
    Public,
    /// In development: loopback only.
    Loopback,
}

impl NetworkScope {
    /// Whether an address of a provider may be contacted.
    pub(crate) fn covers(self, url: &Url) -> bool {
        let plain = url.username().is_empty() && url.password().is_none();
        plain
            && match self {
                Self::Https => url.scheme() == "https",
                Self::Public => url.scheme() == "https" && url.domain().is_some() && url.port().is_none(),
                Self::Loopback => is_loopback(url),
            }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the address is not one that this provider may be at")]
    Address,
    #[error("the response is too large")]
    TooLarge,
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Response(#[from] axum::http::Error),
}

impl HttpClient {
    pub(crate) fn new(dns: &Dns) -> Result<Self, ConfigError> {
        // This fails if another part of the process has already installed a crypto provider, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(
            clippy::disallowed_methods,
            clippy::disallowed_types,
            reason = "the only place that builds HTTP clients"
        )]
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .connect_timeout(Duration::from_secs(3))
                .timeout(Duration::from_secs(8))
        };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(ConfigError::HttpClient);
        Ok(Self {
            anywhere: build(builder())?,
            public: build(builder().https_only(true).dns_resolver(Arc::new(dns.clone())))?,
        })
    }

    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        network_scope: NetworkScope,
    ) -> Result<Response<Vec<u8>>, HttpError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| HttpError::Address)?;
        if !network_scope.covers(&url) {
            return Err(HttpError::Address);
        }
        let (client, largest) = if network_scope == NetworkScope::Public {
            (&self.public, MAX_BODY_PUBLIC)
        } else {
            (&self.anywhere, MAX_BODY)
        };
        let mut response = client.execute(reqwest::Request::try_from(request)?).await?;
        let mut answer = Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > largest {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer.body(body)?)
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
