use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use settings::{Rule, Setting};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The `[database]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://` URL of the application's login. In production the login must own nothing and must not bypass row-level
    /// security. [`Db::connect`](crate::Db::connect) refuses any other.
    pub url: SecretString,
    /// Maximum number of connections of this process.
    pub max_connections: u32,
    /// Longest wait for a free connection, in milliseconds. After it the request gets a 503.
    pub acquire_timeout_ms: u64,
    /// Prepared statements that are cached per connection. Use 0 behind a pooler in transaction mode that does not support
    /// them (PgBouncer before 1.21).
    pub statement_cache: usize,
}

/// What production accepts.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "database.url",
        rule: Rule::Must(
            "with sslmode=verify-full, unless the server is on this machine (loopback or a socket)",
            |database| is_protected(&database.url),
        ),
        why: "With any other mode, an attacker on the network can read and change all data, or impersonate the server.",
    },
    Setting {
        name: "database.max_connections",
        rule: Rule::Between(4, 500, |database| vec![database.max_connections.into()]),
        why: "With fewer, one slow organization keeps the others waiting. Each connection is a process of the server, and too \
              many use up its memory.",
    },
    Setting {
        name: "database.acquire_timeout_ms",
        rule: Rule::Between(100, 30_000, |database| vec![database.acquire_timeout_ms]),
        why: "If it is too short, a moment of load is an outage. If it is too long, requests pile up behind a slow database.",
    },
    Setting {
        name: "database.statement_cache",
        rule: Rule::Any,
        why: "It only affects speed, and must fit the pooler.",
    },
];

/// Whether nobody on the network can read the connection or impersonate the server. `verify-ca` is not enough: it accepts a
/// certificate for any name, also from public authorities. A URL that cannot be parsed is refused when it is used.
pub(crate) fn is_protected(url: &SecretString) -> bool {
    let Ok(options) = url.expose_secret().parse::<PgConnectOptions>() else { return true };
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
        || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull)
}
