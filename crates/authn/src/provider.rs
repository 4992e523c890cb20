use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Request, Response, StatusCode, header, request};
use chrono::{DateTime, Duration, Utc};
use fair::FairSemaphore;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tenancy::{TenantId, UserId};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::http_client::{HttpClient, NetworkScope, is_loopback};
use crate::jws::{Jws, JwsError, KeySet};
use crate::metadata::{ClientAuth, Metadata, ProviderError};
use crate::provider_key::PREFIX;
use crate::provider_settings::ProviderSettings;
use crate::secret::base64;
use crate::{Clock, ConfigError, ProviderConfig, ProviderKey};

/// The maximum number of requests that wait at a time for one configured provider, and for one provider of an
/// organization.
const MAX_WAITING: usize = 32;
const MAX_WAITING_PER_ORGANIZATION: usize = 4;

/// An identity provider. It is configured, or an organization has connected it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: ProviderConfig,
    pub(crate) settings: ProviderSettings,
    /// The redirect URL.
    pub(crate) redirect: String,
    /// The organization that connected the provider.
    pub(crate) organization: Option<TenantId>,
    /// The permits for all providers of organizations, and the person whose share the requests use.
    share: Option<(FairSemaphore<UserId>, UserId)>,
    network_scope: NetworkScope,
    http: HttpClient,
    known: Mutex<ProviderCache>,
    /// `asking` is held while one request fetches the metadata. `waiting` has the permits of all requests that wait for
    /// a response.
    asking: tokio::sync::Mutex<()>,
    waiting: Semaphore,
    /// Held while one logout token is processed. Otherwise tokens would wait for each other in the database, each with
    /// a connection.
    pub(crate) logout_tokens: tokio::sync::Mutex<()>,
}

/// A permit to wait for this provider. It includes a permit in the share of organizations' providers.
#[derive(Debug)]
pub(crate) struct ProviderPermit<'a>(
    #[expect(dead_code, reason = "held")] SemaphorePermit<'a>,
    #[expect(dead_code, reason = "held")] Option<fair::Permit<UserId>>,
);

#[derive(Debug, Default)]
struct ProviderCache {
    metadata: Option<(Arc<Metadata>, DateTime<Utc>)>,
    failed: Option<(DateTime<Utc>, ProviderError)>,
    /// When the key set was last fetched, and whether that succeeded.
    keys: Option<(DateTime<Utc>, bool)>,
}

impl ProviderCache {
    /// Returns the metadata if it is fresh. Returns `None` if it must be fetched.
    fn fresh(&self, config: &ProviderConfig, clock: &Clock) -> Result<Option<Arc<Metadata>>, ProviderError> {
        let now = clock.now();
        if let Some((metadata, at)) = &self.metadata
            && now - *at < Duration::seconds(config.metadata_seconds.into())
        {
            return Ok(Some(Arc::clone(metadata)));
        }
        match &self.failed {
            Some((at, why)) if now - *at < Duration::seconds(config.retry_seconds.into()) => Err(match why {
                ProviderError::NotNow(_) => {
                    ProviderError::NotNow("it failed a moment ago and is not contacted again yet".to_owned())
                }
                lasting @ ProviderError::Unsupported(_) => lasting.clone(),
            }),
            _ => Ok(None),
        }
    }
}

impl Provider {
    pub(crate) fn new(
        key: &str,
        reserved: &[&str],
        config: ProviderConfig,
        redirect: String,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        let fits = !reserved.contains(&key)
            && !key.starts_with(PREFIX)
            && (1..=32).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            return Err(ConfigError::Key(key.to_owned()));
        }
        Self::at(key, config, redirect, None, production, http)
    }

    /// Creates the provider of an organization. The organization chooses its URLs, so they are not trusted.
    pub(crate) fn of_organization(
        tenant: TenantId,
        share: (FairSemaphore<UserId>, UserId),
        config: ProviderConfig,
        redirect: String,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        let key = ProviderKey::of_organization(tenant);
        let provider = Self::at(&key, config, redirect, Some(tenant), production, http)?;
        Ok(Self { share: Some(share), ..provider })
    }

    fn at(
        key: &str,
        config: ProviderConfig,
        redirect: String,
        organization: Option<TenantId>,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        if config.client_id.is_empty() || config.client_secret.expose_secret().is_empty() {
            return Err(ConfigError::Client(key.to_owned()));
        }
        let no_issuer = || ConfigError::Issuer(key.to_owned());
        let url = Url::parse(&config.issuer).map_err(|_| no_issuer())?;
        let loopback = !production && url.scheme() == "http" && is_loopback(&url);
        let network_scope = match organization {
            _ if loopback => NetworkScope::Loopback,
            Some(_) => NetworkScope::Public,
            None => NetworkScope::Https,
        };
        if !network_scope.covers(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(no_issuer());
        }
        Ok(Self {
            settings: config.settings(),
            redirect,
            organization,
            share: None,
            network_scope,
            http,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(if organization.is_some() { MAX_WAITING_PER_ORGANIZATION } else { MAX_WAITING }),
            logout_tokens: tokio::sync::Mutex::default(),
            config,
        })
    }

    /// Returns the provider's metadata. It is fetched at most once per [`ProviderConfig::metadata_seconds`], and after
    /// a failure not before [`ProviderConfig::retry_seconds`]. One request fetches it and a few wait. Other requests
    /// are refused at once, so they do not pile up behind a slow provider.
    pub(crate) async fn metadata(&self, clock: &Clock) -> Result<Arc<Metadata>, ProviderError> {
        if let Some(metadata) = self.known().fresh(&self.config, clock)? {
            return Ok(metadata);
        }
        let _turn = self.fetch_permit().await?;
        if let Some(metadata) = self.known().fresh(&self.config, clock)? {
            return Ok(metadata);
        }
        // A cancelled request leaves no trace, and the next one fetches the metadata. Otherwise anybody could stop
        // others from signing in, by starting a request and hanging up.
        let found = self.discover().await.map(Arc::new);
        let mut known = self.known();
        match &found {
            Ok(metadata) => {
                known.metadata = Some((Arc::clone(metadata), clock.now()));
                known.failed = None;
            }
            Err(why) => known.failed = Some((clock.now(), why.clone())),
        }
        found
    }

    /// Returns the metadata with a freshly fetched key set. It is for a token whose key is unknown, because keys
    /// rotate. The key set is fetched at most once per [`ProviderConfig::retry_seconds`], so tokens with invented keys
    /// cause few requests.
    pub(crate) async fn metadata_with_new_keys(&self, clock: &Clock) -> Result<Arc<Metadata>, ProviderError> {
        let metadata = self.metadata(clock).await?;
        let _turn = self.fetch_permit().await?;
        let asked = self.known().keys;
        if let Some((at, fetched)) = asked
            && clock.now() - at < Duration::seconds(self.config.retry_seconds.into())
        {
            // Another request may just have fetched the same new key.
            let kept = self.known().metadata.as_ref().map_or(metadata, |(kept, _)| Arc::clone(kept));
            return if fetched {
                Ok(kept)
            } else {
                Err(ProviderError::NotNow("its key set failed a moment ago".to_owned()))
            };
        }
        let keys = self.fetch_keys(&metadata).await;
        let mut known = self.known();
        known.keys = Some((clock.now(), keys.is_ok()));
        let metadata = Arc::new(Metadata { keys: keys?, ..Metadata::clone(&metadata) });
        if let Some((kept, _)) = &mut known.metadata {
            *kept = Arc::clone(&metadata);
        }
        Ok(metadata)
    }

    fn known(&self) -> MutexGuard<'_, ProviderCache> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acquires a permit to wait for the provider.
    pub(crate) async fn acquire_permit(&self) -> Result<ProviderPermit<'_>, ProviderError> {
        let full = || ProviderError::NotNow("many requests wait for its response".to_owned());
        let own = self.waiting.try_acquire().map_err(|_| full())?;
        let share = match &self.share {
            Some((places, whose)) => Some(places.acquire(*whose).await.ok_or_else(full)?),
            None => None,
        };
        Ok(ProviderPermit(own, share))
    }

    /// Returns the host of the issuer, with the port if it is not the default.
    pub(crate) fn host(&self) -> String {
        let authority = Url::parse(&self.config.issuer).map(|url| url.authority().to_owned());
        authority.unwrap_or_default()
    }

    /// Acquires the permission to fetch metadata or keys. One request at a time has it.
    async fn fetch_permit(&self) -> Result<(ProviderPermit<'_>, tokio::sync::MutexGuard<'_, ()>), ProviderError> {
        Ok((self.acquire_permit().await?, self.asking.lock().await))
    }

    /// Returns the claims of a token of this provider. If its key is unknown, the key set is fetched again.
    pub(crate) async fn claims<T: for<'de> Deserialize<'de>>(
        &self,
        token: &Jws<'_>,
        metadata: &Metadata,
        clock: &Clock,
    ) -> Result<Result<T, JwsError>, ProviderError> {
        match token.claims(&metadata.keys) {
            Err(JwsError::NoKey) => Ok(token.claims(&self.metadata_with_new_keys(clock).await?.keys)),
            checked => Ok(checked),
        }
    }

    /// Posts a form, authenticated as our client (RFC 6749, section 2.3.1).
    pub(crate) async fn post(
        &self,
        url: &Url,
        auth: ClientAuth,
        fields: &[(&str, &str)],
    ) -> Result<Response<Vec<u8>>, ProviderError> {
        let (id, secret) = (&*self.config.client_id, self.config.client_secret.expose_secret());
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let mut fields = fields.to_vec();
        let mut request = Request::post(url.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match auth {
            ClientAuth::Basic => {
                let credentials = base64(format!("{}:{}", encoded(id), encoded(secret)).as_bytes());
                request = request.header(header::AUTHORIZATION, format!("Basic {credentials}"));
            }
            ClientAuth::Post => {
                if !fields.iter().any(|(name, _)| *name == "client_id") {
                    fields.push(("client_id", id));
                }
                fields.push(("client_secret", secret));
            }
        }
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(request, form.into_bytes()).await
    }

    /// Fetches a document. Sends a bearer token if there is one.
    pub(crate) async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Response<Vec<u8>>, ProviderError> {
        let mut request = Request::get(url).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request, Vec::new()).await
    }

    async fn send(&self, request: request::Builder, body: Vec<u8>) -> Result<Response<Vec<u8>>, ProviderError> {
        let request = request.body(body).map_err(|error| ProviderError::NotNow(chain(&error)))?;
        self.http.send(request, self.network_scope).await.map_err(|error| ProviderError::NotNow(chain(&error)))
    }

    async fn fetch(&self, what: &str, url: &str) -> Result<Vec<u8>, ProviderError> {
        let answer = self.get(url, None).await.map_err(|error| ProviderError::NotNow(format!("{what}: {error}")))?;
        if answer.status() != StatusCode::OK {
            return Err(ProviderError::NotNow(format!("{what}: the status is {}", answer.status().as_u16())));
        }
        Ok(answer.into_body())
    }

    async fn discover(&self) -> Result<Metadata, ProviderError> {
        let issuer = &self.config.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.fetch("discovery", &url).await?;
        let metadata = Metadata::read(&document, issuer, self.network_scope, &self.settings)?;
        Ok(Metadata { keys: self.fetch_keys(&metadata).await?, ..metadata })
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, ProviderError> {
        let body = self.fetch("its key set", metadata.jwks_uri.as_str()).await?;
        KeySet::parse(&body).map_err(|error| ProviderError::NotNow(format!("its key set: {error}")))
    }
}

/// Formats an error with its causes, for the log. The outer error often says only "request failed".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
