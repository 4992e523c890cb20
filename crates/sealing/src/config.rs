use secrecy::SecretString;
use serde::Deserialize;
use settings::{Rule, Setting};

/// The `[sealing]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The key everything is sealed with: 32 random bytes in base64.
    pub key: SecretString,
    /// The key before it, which still opens.
    pub previous_key: Option<SecretString>,
}

/// What production accepts.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "sealing.key",
        rule: Rule::Everywhere("32 random bytes in base64"),
        why: "Whoever guesses it reads what the database keeps sealed.",
    },
    Setting {
        name: "sealing.previous_key",
        rule: Rule::Everywhere("unset, or another key of the same kind"),
        why: "It opens what was sealed before, so it is as good as the key.",
    },
];

/// What is wrong with the configuration; the application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No key. The text is not repeated: it may be most of one.
    #[error("sealing.{0}: want 32 random bytes in base64; `openssl rand -base64 32` makes them")]
    Key(&'static str),
    /// A key that was thought out.
    #[error("sealing.{0}: these bytes are not random; `openssl rand -base64 32` makes such")]
    Weak(&'static str),
    /// One key under two names.
    #[error("sealing.previous_key: this is sealing.key; want the one before it, or none")]
    Same,
}
