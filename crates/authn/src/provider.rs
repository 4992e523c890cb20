use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{Request, Response, StatusCode, header, request};
use chrono::{DateTime, Duration, Utc};
use fair::Places;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tenancy::{TenantId, UserId};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::http_client::{HttpClient, Reach, is_loopback};
use crate::jws::{BadToken, KeySet, Signed};
use crate::metadata::{ClientAuth, Metadata, Unusable};
use crate::provider_key::PREFIX;
use crate::provider_settings::ProviderSettings;
use crate::secret::base64;
use crate::{Clock, ConfigError, ProviderConfig, ProviderKey};

/// Most requests that wait for one provider at a time, and for one of an organization.
const WAITING: usize = 32;
const WAITING_FOR_ONE: usize = 4;

/// An identity provider, of the configuration or an organization's own.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: ProviderConfig,
    pub(crate) settings: ProviderSettings,
    /// Where it sends people back to.
    pub(crate) redirect: String,
    /// The organization whose own it is.
    pub(crate) organization: Option<TenantId>,
    /// Whose share of the places for all providers of organizations its requests wait in.
    share: Option<(Places<UserId>, UserId)>,
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
    #[expect(dead_code, reason = "held")] Option<fair::Place<UserId>>,
);

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, DateTime<Utc>)>,
    failed: Option<(DateTime<Utc>, Unusable)>,
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
        match &self.failed {
            Some((at, why)) if now - *at < Duration::seconds(config.retry_seconds.into()) => Err(match why {
                Unusable::NotNow(_) => Unusable::NotNow("it failed a moment ago and is not asked again yet".to_owned()),
                lasting @ Unusable::Unsupported(_) => lasting.clone(),
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
        Self::at(key, config, redirect, (None, Reach::Https), production, http)
    }

    /// One that an organization brings. Its addresses are somebody else's choice.
    pub(crate) fn of_organization(
        tenant: TenantId,
        share: (Places<UserId>, UserId),
        config: ProviderConfig,
        redirect: String,
        production: bool,
        http: HttpClient,
    ) -> Result<Self, ConfigError> {
        let key = ProviderKey::of_organization(tenant);
        let provider = Self::at(&key, config, redirect, (Some(tenant), Reach::Public), production, http)?;
        Ok(Self { share: Some(share), ..provider })
    }

    fn at(
        key: &str,
        config: ProviderConfig,
        redirect: String,
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
            settings: config.settings(),
            redirect,
            organization,
            share: None,
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
                known.failed = None;
            }
            Err(why) => known.failed = Some((clock.now(), why.clone())),
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
            return if fetched {
                Ok(kept)
            } else {
                Err(Unusable::NotNow("its key set failed a moment ago".to_owned()))
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

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among those that wait for the provider.
    pub(crate) async fn place(&self) -> Result<Place<'_>, Unusable> {
        let full = || Unusable::NotNow("many requests wait for its answer already".to_owned());
        let own = self.waiting.try_acquire().map_err(|_| full())?;
        let share = match &self.share {
            Some((places, whose)) => Some(places.take(*whose).await.ok_or_else(full)?),
            None => None,
        };
        Ok(Place(own, share))
    }

    /// Host of the issuer, with the port where it is not the usual one.
    pub(crate) fn host(&self) -> String {
        let authority = Url::parse(&self.config.issuer).map(|url| url.authority().to_owned());
        authority.unwrap_or_default()
    }

    /// The turn to ask the provider about itself.
    async fn turn(&self) -> Result<(Place<'_>, tokio::sync::MutexGuard<'_, ()>), Unusable> {
        Ok((self.place().await?, self.asking.lock().await))
    }

    /// The claims of a token of this provider, with keys just fetched if it is signed with one that is not known.
    pub(crate) async fn claims<T: for<'de> Deserialize<'de>>(
        &self,
        token: &Signed<'_>,
        metadata: &Metadata,
        clock: &Clock,
    ) -> Result<Result<T, BadToken>, Unusable> {
        match token.claims(&metadata.keys) {
            Err(BadToken::NoKey) => Ok(token.claims(&self.metadata_with_new_keys(clock).await?.keys)),
            checked => Ok(checked),
        }
    }

    /// Sends a form as the client that we are there (RFC 6749, section 2.3.1).
    pub(crate) async fn post(
        &self,
        url: &Url,
        auth: ClientAuth,
        fields: &[(&str, &str)],
    ) -> Result<Response<Vec<u8>>, Unusable> {
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

    /// Fetches a document, with a token where it takes one.
    pub(crate) async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Response<Vec<u8>>, Unusable> {
        let mut request = Request::get(url).header(header::ACCEPT, "application/json");
        if let Some(token) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request, Vec::new()).await
    }

    async fn send(&self, request: request::Builder, body: Vec<u8>) -> Result<Response<Vec<u8>>, Unusable> {
        let request = request.body(body).map_err(|error| Unusable::NotNow(chain(&error)))?;
        self.http.send(request, self.reach).await.map_err(|error| Unusable::NotNow(chain(&error)))
    }

    async fn fetch(&self, what: &str, url: &str) -> Result<Vec<u8>, Unusable> {
        let answer = self.get(url, None).await.map_err(|error| Unusable::NotNow(format!("{what}: {error}")))?;
        if answer.status() != StatusCode::OK {
            return Err(Unusable::NotNow(format!("{what}: it answers {}", answer.status().as_u16())));
        }
        Ok(answer.into_body())
    }

    async fn discover(&self) -> Result<Metadata, Unusable> {
        let issuer = &self.config.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.fetch("discovery", &url).await?;
        let metadata = Metadata::read(&document, issuer, self.reach, &self.settings)?;
        Ok(Metadata { keys: self.fetch_keys(&metadata).await?, ..metadata })
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<KeySet, Unusable> {
        let body = self.fetch("its key set", metadata.jwks_uri.as_str()).await?;
        KeySet::parse(&body).map_err(|error| Unusable::NotNow(format!("its key set: {error}")))
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
