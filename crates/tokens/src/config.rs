use serde::Deserialize;

/// The `[tokens]` section of the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seconds an access token is good for.
    pub access_seconds: u32,
    /// Days a key signs tokens before the next one does.
    pub key_days: u32,
    /// Requests of one network to the token endpoint in a minute.
    pub requests_per_minute: u32,
}

/// What is wrong with the configuration; the application does not start.
#[derive(Debug, thiserror::Error)]
#[error("tokens.{0}: want {1}")]
pub struct ConfigError(&'static str, &'static str);

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(60..=900).contains(&self.access_seconds) {
            return Err(ConfigError("access_seconds", "60 to 900 seconds"));
        }
        if !(2..=90).contains(&self.key_days) {
            return Err(ConfigError("key_days", "2 to 90 days"));
        }
        if !(1..=60_000).contains(&self.requests_per_minute) {
            return Err(ConfigError("requests_per_minute", "1 to 60000"));
        }
        Ok(())
    }
}
