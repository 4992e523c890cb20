use secrecy::SecretString;
use serde::Deserialize;

/// The `[database]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://` URL of the application's login. In production a role that owns nothing and cannot bypass
    /// row-level security; [`Db::connect`](crate::Db::connect) refuses any other.
    pub url: SecretString,
    /// Most connections this process holds.
    pub max_connections: u32,
    /// Longest wait for a free connection, in milliseconds; then the request is answered 503.
    pub acquire_timeout_ms: u64,
    /// Prepared statements kept per connection. 0 behind a pooler in transaction mode that cannot follow them
    /// (PgBouncer before 1.21).
    pub statement_cache: usize,
}
