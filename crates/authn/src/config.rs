use std::collections::BTreeMap;
use std::net::SocketAddr;

use chrono::Duration;
use secrecy::SecretString;
use serde::Deserialize;

use crate::ConfigError;
use crate::provider_settings::{Preset, ProviderSettings};
use crate::rate_limit::RateLimit;

/// The `[authn]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Life of sessions.
    pub session: SessionConfig,
    /// Getting back in without a passkey.
    pub recovery: RecoveryConfig,
    /// How often people may try.
    pub limits: LimitsConfig,
    /// Providers that organizations bring.
    pub sso: SsoConfig,
    /// Identity providers by key. The key is part of the address that they send people back to.
    #[serde(default)]
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// `[authn.session]`: all in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionConfig {
    /// A session not used for this long has ended.
    pub idle_seconds: u32,
    /// A session this old has ended, however much it is used.
    pub absolute_seconds: u32,
    /// The token in the cookie is replaced when it is this old.
    pub rotate_seconds: u32,
    /// How long a replaced token still works, for tabs that were loading.
    pub grace_seconds: u32,
}

/// `[authn.recovery]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryConfig {
    /// How long a recovery waits where the person has a passkey or a role that takes one, in seconds.
    pub wait_seconds: u32,
}

/// `[authn.sso]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoConfig {
    /// The DNS server that domains are proved with. `None`: those of this machine.
    pub resolver: Option<SocketAddr>,
    /// Days after which a proved domain whose record is gone is withdrawn.
    pub withdraw_after_days: u32,
}

impl SsoConfig {
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        // Less would let a slip in somebody's DNS end their sign-in over a weekend.
        if (3..=30).contains(&self.withdraw_after_days) { Ok(()) } else { Err(ConfigError::Sso) }
    }
}

/// `[authn.limits]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Sign-ins that may be started or answered from one network in a minute.
    pub sign_ins_per_minute: u32,
    /// How much of that, in percent, is let in without a proof of work.
    pub unasked_percent: u32,
}

impl LimitsConfig {
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        let sound = (1..=60_000).contains(&self.sign_ins_per_minute) && (1..=100).contains(&self.unasked_percent);
        if sound { Ok(()) } else { Err(ConfigError::Limits) }
    }

    /// What one network may do with sign-ins.
    pub(crate) fn sign_in(self, name: &'static str) -> RateLimit {
        let period = Duration::milliseconds(60_000 / i64::from(self.sign_ins_per_minute.max(1)));
        RateLimit { name, burst: self.sign_ins_per_minute, period }
    }

    /// How many of them are let in at once without a proof of work.
    pub(crate) fn unasked(self) -> u32 {
        (self.sign_ins_per_minute * self.unasked_percent / 100).max(1)
    }
}

/// `[authn.providers.<key>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What people see: "Continue with {name}".
    pub name: String,
    /// Issuer identifier, exactly as the provider states it, trailing slash included.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there.
    pub client_secret: SecretString,
    /// Scopes besides `openid`.
    #[serde(default = "profile_and_email")]
    pub scopes: Vec<String>,
    /// The provider must have seen the person at most this long ago (`max_age`), in seconds.
    #[serde(default = "eight_hours")]
    pub max_age_seconds: u32,
    /// Acceptable `acr` values. Empty: none is asked for. Otherwise a token without one of exactly these is refused.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// How long the provider's metadata is kept, in seconds.
    #[serde(default = "one_hour")]
    pub metadata_seconds: u32,
    /// A provider that failed is asked again only after this many seconds; so is its key set for an unknown key.
    #[serde(default = "ten")]
    pub retry_seconds: u32,
    /// What this provider is known to need. The settings below override it.
    pub preset: Option<Preset>,
    /// Its discovery document need not announce PKCE, which it has. PKCE is used in any case.
    #[serde(default, deserialize_with = "switch")]
    pub allow_unannounced_pkce: Option<bool>,
    /// It need not say when it saw the person. The time of the sign-in then counts for that.
    #[serde(default, deserialize_with = "switch")]
    pub allow_missing_auth_time: Option<bool>,
    /// The `prompt` that is sent where it is to ask the person again.
    pub reauthentication_prompt: Option<String>,
    /// Requests are pushed to it first (RFC 9126), also where it does not say that they have to be.
    #[serde(default, deserialize_with = "switch")]
    pub push_requests: Option<bool>,
}

impl ProviderConfig {
    /// With the defaults, for one that an organization brings.
    pub(crate) fn of_organization(
        issuer: &str,
        client_id: &str,
        client_secret: &SecretString,
        preset: Option<Preset>,
    ) -> Self {
        Self {
            name: "your organization".to_owned(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.clone(),
            scopes: profile_and_email(),
            max_age_seconds: eight_hours(),
            acr_values: Vec::new(),
            metadata_seconds: one_hour(),
            retry_seconds: ten(),
            preset,
            allow_unannounced_pkce: None,
            allow_missing_auth_time: None,
            reauthentication_prompt: None,
            push_requests: None,
        }
    }
}

/// A yes or no, which a variable of the environment says as text.
fn switch<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum BoolOrText {
        Bool(bool),
        Text(String),
    }
    match BoolOrText::deserialize(from)? {
        BoolOrText::Bool(given) => Ok(Some(given)),
        BoolOrText::Text(text) => text.parse().map(Some).map_err(|_| serde::de::Error::custom("want true or false")),
    }
}

fn profile_and_email() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn eight_hours() -> u32 {
    8 * 3600
}

fn one_hour() -> u32 {
    3600
}

fn ten() -> u32 {
    10
}

impl ProviderConfig {
    pub(crate) fn settings(&self) -> ProviderSettings {
        let preset = self.preset.map_or_else(ProviderSettings::default, Preset::settings);
        ProviderSettings {
            allow_unannounced_pkce: self.allow_unannounced_pkce.unwrap_or(preset.allow_unannounced_pkce),
            allow_missing_auth_time: self.allow_missing_auth_time.unwrap_or(preset.allow_missing_auth_time),
            push_requests: self.push_requests.unwrap_or_default(),
            reauthentication_prompt: self.reauthentication_prompt.clone().unwrap_or(preset.reauthentication_prompt),
        }
    }
}
