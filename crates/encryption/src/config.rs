use secrecy::SecretString;
use serde::Deserialize;
use settings::{Rule, Setting};

/// The `[encryption]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The current key: 32 random bytes in base64. It encrypts and decrypts.
    pub key: SecretString,
    /// The previous key. It only decrypts.
    pub previous_key: Option<SecretString>,
}

/// The rules for these settings in production.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "encryption.key",
        rule: Rule::Everywhere("32 random bytes in base64"),
        why: "Anyone who guesses it can read the encrypted secrets in the database.",
    },
    Setting {
        name: "encryption.previous_key",
        rule: Rule::Everywhere("unset, or another key of the same kind"),
        why: "It decrypts older secrets, so it needs the same protection as the key.",
    },
];

/// An error in the configuration. The application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is not a key. The message does not repeat it, because it may contain most of one.
    #[error("encryption.{0}: want 32 random bytes in base64; `openssl rand -base64 32` makes them")]
    Key(&'static str),
    /// A person made up the key.
    #[error("encryption.{0}: these bytes are not random; `openssl rand -base64 32` makes such")]
    Weak(&'static str),
    /// Both settings hold the same key.
    #[error("encryption.previous_key: this is encryption.key; want the one before it, or none")]
    Same,
}
