use serde::Deserialize;
use settings::{Refusal, Rule, Setting, refusals};

/// The `[tokens]` section of the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seconds for which an access token is valid.
    pub access_seconds: u32,
    /// Days for which a key signs tokens before the next one takes over.
    pub key_days: u32,
    /// Requests of one client to the token endpoint per minute.
    pub requests_per_minute: u32,
}

const LIMIT: &str = "tokens.requests_per_minute";

/// What production accepts.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "tokens.access_seconds",
        rule: Rule::Between(60, 900, |tokens| vec![tokens.access_seconds.into()]),
        why: "A stolen token works for this long.",
    },
    Setting {
        name: "tokens.key_days",
        rule: Rule::Between(2, 90, |tokens| vec![tokens.key_days.into()]),
        why: "A stolen key signs until the next key takes over. Each key is published a day before it signs.",
    },
    Setting {
        name: LIMIT,
        rule: Rule::Between(10, 600, |tokens| vec![tokens.requests_per_minute.into()]),
        why: "With too few, a client with several instances gets no tokens. With too many, one client can overload the server.",
    },
];

/// What is wrong with the configuration. The application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No profile accepts this lifetime.
    #[error("{0}")]
    Lifetime(Refusal),
    /// The limit would refuse everybody or nobody.
    #[error("tokens.requests_per_minute: want 1 to 60000")]
    Limit,
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if let Some(refusal) = refusals(SETTINGS, self).into_iter().find(|refusal| refusal.name() != LIMIT) {
            return Err(ConfigError::Lifetime(refusal));
        }
        if (1..=60_000).contains(&self.requests_per_minute) { Ok(()) } else { Err(ConfigError::Limit) }
    }
}
