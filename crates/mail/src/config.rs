use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Longest wait for a connection to the server.
const CONNECT: Duration = Duration::from_secs(20);

/// The `[mail]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: `smtps://user:password@host`, or `smtp://user:password@host:587?tls=required` for STARTTLS.
    pub url: SecretString,
    /// Who mail is from, as `Name <address>`.
    pub from: String,
}

/// What is wrong with the configuration; the application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No address of a mail server. Its parts are not repeated: there may be a password among them.
    #[error(
        "mail.url: want smtps://user:password@host, or smtp://user:password@host:587?tls=required; special characters of \
         user and password as %XX"
    )]
    Url,
    /// Mail, and the password of the server, would be readable on the way.
    #[error("mail.url: the production profile wants smtps://, or smtp:// with ?tls=required")]
    Unencrypted,
    /// No sender.
    #[error("mail.from: want `Name <address>`")]
    From,
    /// Nobody could answer.
    #[error("mail.from: this is the placeholder; want an address of yours")]
    Placeholder,
}

/// The way to the server, and who mail is from.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) transport: AsyncSmtpTransport<Tokio1Executor>,
    pub(crate) from: Mailbox,
}

impl Server {
    pub(crate) fn new(config: &Config, production: bool) -> Result<Self, ConfigError> {
        let url = config.url.expose_secret();
        let encrypted = url.starts_with("smtps://") || url.starts_with("smtp://") && url.ends_with("?tls=required");
        if production && !encrypted {
            return Err(ConfigError::Unencrypted);
        }
        let from: Mailbox = config.from.parse().map_err(|_| ConfigError::From)?;
        if production && from.email.domain() == "example.com" {
            return Err(ConfigError::Placeholder);
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| ConfigError::Url)?;
        Ok(Self { transport: builder.timeout(Some(CONNECT)).build(), from })
    }
}
