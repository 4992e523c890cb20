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
    /// Lifetimes of sessions.
    pub session: SessionConfig,
    /// Recovery of an account without a passkey.
    pub recovery: RecoveryConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// Identity providers of organizations.
    pub sso: SsoConfig,
    /// Identity providers by key. The key is part of the redirect address.
    #[serde(default)]
    pub providers: BTreeMap<String, ProviderConfig>,
}

/// `[authn.session]`. All values are in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionConfig {
    /// A session ends after this long without use.
    pub idle_seconds: u32,
    /// A session ends after this long, even if it is in use.
    pub absolute_seconds: u32,
    /// The token in the cookie is replaced when it is this old.
    pub rotate_seconds: u32,
    /// How long a replaced token still works, for tabs that load in parallel.
    pub grace_seconds: u32,
}

/// `[authn.recovery]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryConfig {
    /// How long a recovery waits if the person has a passkey or a role that needs one, in seconds.
    pub wait_seconds: u32,
}

/// `[authn.sso]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SsoConfig {
    /// The DNS server that verifies domains. `None` means the DNS servers of this machine.
    pub resolver: Option<SocketAddr>,
    /// The days after which a verified domain whose record is missing is withdrawn.
    pub withdraw_after_days: u32,
}

impl SsoConfig {
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        // With fewer days, a DNS mistake over a weekend would lock everybody out.
        if (3..=30).contains(&self.withdraw_after_days) { Ok(()) } else { Err(ConfigError::Sso) }
    }
}

/// `[authn.limits]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Sign-ins that one network may start per minute.
    pub sign_ins_per_minute: u32,
    /// The percentage of these sign-ins that need no proof of work.
    pub free_percent: u32,
}

impl LimitsConfig {
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        let sound = (1..=60_000).contains(&self.sign_ins_per_minute) && (1..=100).contains(&self.free_percent);
        if sound { Ok(()) } else { Err(ConfigError::Limits) }
    }

    /// Returns the limit on sign-ins from one network.
    pub(crate) fn sign_in(self, name: &'static str) -> RateLimit {
        let period = Duration::milliseconds(60_000 / i64::from(self.sign_ins_per_minute.max(1)));
        RateLimit { name, burst: self.sign_ins_per_minute, period }
    }

    /// Returns how many of these sign-ins need no proof of work.
    pub(crate) fn free_sign_ins(self) -> u32 {
        (self.sign_ins_per_minute * self.free_percent / 100).max(1)
    }
}

/// `[authn.providers.<key>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// The name on the page: "Continue with {name}".
    pub name: String,
    /// The issuer identifier, exactly as the provider states it, including a trailing slash.
    pub issuer: String,
    /// Our client id at the provider.
    pub client_id: String,
    /// Our client secret at the provider.
    pub client_secret: SecretString,
    /// The scopes in addition to `openid`.
    #[serde(default = "profile_and_email")]
    pub scopes: Vec<String>,
    /// The maximum time since the provider authenticated the person (`max_age`), in seconds.
    #[serde(default = "eight_hours")]
    pub max_age_seconds: u32,
    /// The accepted `acr` values. If there are any, a token without exactly one of them is refused.
    #[serde(default)]
    pub acr_values: Vec<String>,
    /// How long the provider's metadata is cached, in seconds.
    #[serde(default = "one_hour")]
    pub metadata_seconds: u32,
    /// The pause in seconds before the provider is contacted again after a failure. It is also the pause between two
    /// fetches of its key set because of unknown keys.
    #[serde(default = "ten")]
    pub retry_seconds: u32,
    /// The settings that a known product needs. The settings below override them.
    pub preset: Option<Preset>,
    /// Whether the provider supports PKCE even though its discovery document does not announce it. PKCE is always used.
    #[serde(default, deserialize_with = "switch")]
    pub allow_unannounced_pkce: Option<bool>,
    /// Whether a token without `auth_time` is accepted. The time of the sign-in is used instead.
    #[serde(default, deserialize_with = "switch")]
    pub allow_missing_auth_time: Option<bool>,
    /// The `prompt` that is sent if the provider must authenticate the person again.
    pub reauthentication_prompt: Option<String>,
    /// Whether authorization requests are pushed (RFC 9126) even if the provider does not require it.
    #[serde(default, deserialize_with = "switch")]
    pub push_requests: Option<bool>,
}

impl ProviderConfig {
    /// Returns the configuration of an organization's provider, with the default settings.
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

/// Deserializes a boolean. An environment variable contains it as text.
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
