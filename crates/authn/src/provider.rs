use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{
    AdditionalProviderMetadata, ClientId, ClientSecret, HttpRequest, HttpResponse, IssuerUrl, ProviderMetadata,
    RedirectUrl,
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tenancy::TenantId;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::http_client::{HttpClient, HttpError, Reach, is_loopback};
use crate::provider_key::PREFIX;
use crate::{Clock, ConfigError, ProviderConfig, ProviderKey};

/// Most requests that wait for one provider at a time.
const WAITING: usize = 32;
/// Most that wait for one of an organization, and for all of those together: whoever makes organizations with slow providers
/// keeps nobody else's requests out.
const WAITING_FOR_ONE: usize = 4;
static ORGANIZATIONS: Semaphore = Semaphore::const_new(32);

/// Signatures that count. `none` and everything with a shared secret are refused whatever a provider announces.
pub(crate) const ALGORITHMS: [CoreJwsSigningAlgorithm; 3] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The parts of the discovery document that the crate does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Extra {
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
    pub(crate) end_session_endpoint: Option<Url>,
}

impl AdditionalProviderMetadata for Extra {}

pub(crate) type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type Asking = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>;

/// Why a provider cannot be used at the moment. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(pub(crate) String);

/// An identity provider, of the configuration or an organization's own.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: ProviderConfig,
    pub(crate) client_id: ClientId,
    pub(crate) client_secret: ClientSecret,
    pub(crate) issuer: IssuerUrl,
    pub(crate) redirect: RedirectUrl,
    /// The organization whose own it is.
    pub(crate) organization: Option<TenantId>,
    reach: Reach,
    http: HttpClient,
    known: Mutex<Known>,
    /// Held by the request that asks the provider about itself, and places for all that wait for an answer.
    asking: tokio::sync::Mutex<()>,
    waiting: Semaphore,
    /// Held by the notice that is acted on: in the database they wait for each other, each with a connection.
    pub(crate) notices: tokio::sync::Mutex<()>,
}

/// A place among those that wait: for this provider, and for all of organizations.
#[derive(Debug)]
pub(crate) struct Place<'a>(
    #[expect(dead_code, reason = "held")] SemaphorePermit<'a>,
    #[expect(dead_code, reason = "held")] Option<SemaphorePermit<'static>>,
);

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, DateTime<Utc>)>,
    failed_at: Option<DateTime<Utc>>,
    /// When the key set was last asked for, and whether it came.
    keys: Option<(DateTime<Utc>, bool)>,
}

impl Known {
    /// The metadata, if it is good; `None` if it is time to ask.
    fn fresh(&self, config: &ProviderConfig, clock: &Clock) -> Result<Option<Arc<Metadata>>, Unusable> {
        let now = clock.now();
        if let Some((metadata, at)) = &self.metadata
            && now - *at < Duration::seconds(config.metadata_seconds.into())
        {
            return Ok(Some(Arc::clone(metadata)));
        }
        if self.failed_at.is_some_and(|at| now - at < Duration::seconds(config.retry_seconds.into())) {
            return Err(Unusable("it failed a moment ago and is not asked again yet".to_owned()));
        }
        Ok(None)
    }
}

impl Provider {
    pub(crate) fn new(
        key: &str,
        config: ProviderConfig,
        public_url: &str,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        // Next to /sign-in/{key} stand these.
        let fits = !["passkey", "link", "organization"].contains(&key)
            && !key.starts_with(PREFIX)
            && (1..=32).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !fits {
            return Err(ConfigError::Key(key.to_owned()));
        }
        Self::at(key, config, public_url, (None, Reach::Https), production, http)
    }

    /// One that an organization brings. Its addresses are somebody else's choice.
    pub(crate) fn of_organization(
        tenant: TenantId,
        config: ProviderConfig,
        public_url: &str,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        let key = ProviderKey::of_organization(tenant);
        Self::at(&key, config, public_url, (Some(tenant), Reach::Public), production, http)
    }

    fn at(
        key: &str,
        config: ProviderConfig,
        public_url: &str,
        (organization, reach): (Option<TenantId>, Reach),
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        if config.client_id.is_empty() || config.client_secret.expose_secret().is_empty() {
            return Err(ConfigError::Client(key.to_owned()));
        }
        let no_issuer = || ConfigError::Issuer(key.to_owned());
        let url = Url::parse(&config.issuer).map_err(|_| no_issuer())?;
        let loopback = !production && url.scheme() == "http" && is_loopback(&url);
        let reach = if loopback { Reach::Loopback } else { reach };
        if !reach.covers(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(no_issuer());
        }
        Ok(Self {
            client_id: ClientId::new(config.client_id.clone()),
            client_secret: ClientSecret::new(config.client_secret.expose_secret().to_owned()),
            issuer: IssuerUrl::new(config.issuer.clone()).map_err(|_| no_issuer())?,
            redirect: RedirectUrl::new(format!("{public_url}/sign-in/{key}/callback")).map_err(|_| no_issuer())?,
            organization,
            reach,
            http,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            waiting: Semaphore::new(if organization.is_some() { WAITING_FOR_ONE } else { WAITING }),
            notices: tokio::sync::Mutex::default(),
            config,
        })
    }

    /// What the provider says about itself, asked at most once per [`ProviderConfig::metadata_seconds`], and after a
    /// failure not before [`ProviderConfig::retry_seconds`]. One request asks; a few wait for it, the others are refused at
    /// once: requests do not pile up behind a provider that is slow or down.
    pub(crate) async fn metadata(&self, clock: &Clock) -> Result<Arc<Metadata>, Unusable> {
        if let Some(metadata) = self.known().fresh(&self.config, clock)? {
            return Ok(metadata);
        }
        let _turn = self.turn().await?;
        if let Some(metadata) = self.known().fresh(&self.config, clock)? {
            return Ok(metadata);
        }
        // A request that is given up meanwhile leaves no trace, and the next one asks: otherwise anybody could keep others
        // from signing in by asking and hanging up.
        let found = self.discover().await.map(Arc::new);
        let mut known = self.known();
        match &found {
            Ok(metadata) => {
                known.metadata = Some((Arc::clone(metadata), clock.now()));
                known.failed_at = None;
            }
            Err(_) => known.failed_at = Some(clock.now()),
        }
        found
    }

    /// The metadata with a key set just fetched, for a token whose key is not in the one we have: keys rotate. Fetched at
    /// most once per [`ProviderConfig::retry_seconds`], so that tokens with invented keys cause no storm.
    pub(crate) async fn metadata_with_new_keys(&self, clock: &Clock) -> Result<Arc<Metadata>, Unusable> {
        let metadata = self.metadata(clock).await?;
        let _turn = self.turn().await?;
        let asked = self.known().keys;
        if let Some((at, fetched)) = asked
            && clock.now() - at < Duration::seconds(self.config.retry_seconds.into())
        {
            // Perhaps by somebody who met the same new key: then it is there.
            let kept = self.known().metadata.as_ref().map_or(metadata, |(kept, _)| Arc::clone(kept));
            return if fetched { Ok(kept) } else { Err(Unusable("its key set failed a moment ago".to_owned())) };
        }
        let keys = CoreJsonWebKeySet::fetch_async(metadata.jwks_uri(), &self.sender()).await;
        let mut known = self.known();
        known.keys = Some((clock.now(), keys.is_ok()));
        let keys = keys.map_err(|error| Unusable(format!("its key set: {}", chain(&error))))?;
        let metadata = Arc::new(Metadata::clone(&metadata).set_jwks(keys));
        if let Some((kept, _)) = &mut known.metadata {
            *kept = Arc::clone(&metadata);
        }
        Ok(metadata)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those that wait for the provider.
    pub(crate) fn place(&self) -> Result<Place<'_>, Unusable> {
        let full = |_| Unusable("many requests wait for its answer already".to_owned());
        let of_all = self.organization.map(|_| ORGANIZATIONS.try_acquire().map_err(full)).transpose()?;
        Ok(Place(self.waiting.try_acquire().map_err(full)?, of_all))
    }

    /// The turn to ask the provider about itself.
    async fn turn(&self) -> Result<(Place<'_>, tokio::sync::MutexGuard<'_, ()>), Unusable> {
        Ok((self.place()?, self.asking.lock().await))
    }

    /// The HTTP client in the form the crate takes.
    pub(crate) fn sender(&self) -> impl Fn(HttpRequest) -> Asking + use<> {
        let (http, reach) = (self.http.clone(), self.reach);
        move |request| {
            let http = http.clone();
            Box::pin(async move { http.send(request, reach).await })
        }
    }

    async fn discover(&self) -> Result<Metadata, Unusable> {
        let metadata = Metadata::discover_async(self.issuer.clone(), &self.sender())
            .await
            .map_err(|error| Unusable(format!("discovery: {}", chain(&error))))?;
        // The crate compares URLs; an issuer is compared as text (OpenID Connect Discovery 1.0, section 4.3).
        if metadata.issuer().as_str() != self.config.issuer {
            return Err(Unusable("discovery: it calls itself by another issuer".to_owned()));
        }
        let extra = metadata.additional_metadata();
        if !extra.code_challenge_methods_supported.iter().any(|method| method == "S256") {
            return Err(Unusable("discovery: it does not offer PKCE with S256 (RFC 9700, section 2.1.1)".to_owned()));
        }
        let token_endpoint = metadata.token_endpoint().map(openidconnect::TokenUrl::url);
        let addresses = [
            Some(metadata.authorization_endpoint().url()),
            token_endpoint,
            Some(metadata.jwks_uri().url()),
            extra.end_session_endpoint.as_ref(),
        ];
        if token_endpoint.is_none() || !addresses.into_iter().flatten().all(|url| self.reach.covers(url)) {
            return Err(Unusable("discovery: an endpoint is missing or where it may not be".to_owned()));
        }
        Ok(metadata)
    }
}

/// An error with its causes, for the log: the outer ones often say only "request failed".
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
