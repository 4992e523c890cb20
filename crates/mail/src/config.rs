use std::net::IpAddr;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use settings::{Rule, Setting};
use url::Url;

/// Longest wait for a connection to the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The `[mail]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: `smtps://user:password@host`, or `smtp://user:password@host:587?tls=required` for STARTTLS.
    pub url: SecretString,
    /// The sender, as `Name <address>`.
    pub from: String,
}

/// What production accepts.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "mail.url",
        rule: Rule::Must("smtps://, or smtp:// with ?tls=required, unless the server is on this machine", |mail| {
            is_protected(&mail.url)
        }),
        why: "Sign-in links, codes and the server's password would be readable on the network.",
    },
    Setting {
        name: "mail.from",
        rule: Rule::Must("`Name <address>` with an address of yours, not @example.com", |mail| {
            is_of_somebody(&mail.from)
        }),
        why: "Nobody could reply, and receivers refuse it.",
    },
];

/// Whether nobody on the network can read the connection. A URL that cannot be parsed is refused when it is used.
fn is_protected(url: &SecretString) -> bool {
    let Ok(url) = Url::parse(url.expose_secret()) else { return true };
    // `lettre` uses the first one.
    let tls = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    url.scheme() == "smtps"
        || url.scheme() == "smtp" && tls.as_deref() == Some("required")
        || host == "localhost"
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_of_somebody(from: &str) -> bool {
    from.parse::<Mailbox>().is_ok_and(|from| !from.email.domain().eq_ignore_ascii_case("example.com"))
}

/// What is wrong with the configuration. The application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// This is not the URL of a mail server. The message does not repeat it, because it may contain a password.
    #[error(
        "mail.url: want smtps://user:password@host, or smtp://user:password@host:587?tls=required; special characters of \
         user and password as %XX"
    )]
    Url,
    /// Email and the password of the server would be readable on the network.
    #[error("mail.url: the production profile wants smtps://, or smtp:// with ?tls=required, except on this machine")]
    Unencrypted,
    /// There is no sender.
    #[error("mail.from: want `Name <address>`")]
    From,
    /// The sender is the placeholder, so nobody could reply.
    #[error("mail.from: this is the placeholder; want an address of yours")]
    Placeholder,
}

/// The connection to the server, and the sender.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) transport: AsyncSmtpTransport<Tokio1Executor>,
    pub(crate) from: Mailbox,
}

impl Server {
    pub(crate) fn new(config: &Config, production: bool) -> Result<Self, ConfigError> {
        let url = config.url.expose_secret();
        if production && !is_protected(&config.url) {
            return Err(ConfigError::Unencrypted);
        }
        let from: Mailbox = config.from.parse().map_err(|_| ConfigError::From)?;
        if production && !is_of_somebody(&config.from) {
            return Err(ConfigError::Placeholder);
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|_| ConfigError::Url)?;
        Ok(Self { transport: builder.timeout(Some(CONNECT_TIMEOUT)).build(), from })
    }
}
