//! An access token is accepted only if we signed it, for us, it is valid now, and it was not revoked.
//!
//! An API client authenticates with its secret at the token endpoint ([`Tokens::issue`]). It then uses access tokens that
//! live for a few minutes, bound to a key if the client proves one (`DPoP`), and refresh tokens that work once. Alternatively
//! it signs every request with its secret. Either way, the request yields an [`ApiClient`].

mod access;
mod api_client;
mod config;
mod dpop;
mod endpoint;
mod jwt;
mod refresh;
mod replay_guard;
mod scopes;
mod secret;
mod signed;
mod signing_keys;
#[cfg(test)]
mod vectors;

use std::sync::Arc;

use authn::Authn;
use encryption::KeyRing;
use tenancy::{Db, HOUR, RetentionRule, retention_rule};

pub use access::AccessToken;
pub use api_client::ApiClient;
pub use config::{Config, ConfigError, SETTINGS};
pub use dpop::{ALGORITHMS, JTI, PROOF_SECONDS};
pub use endpoint::{Grant, TokenError, TokenResponse};
pub use scopes::Scopes;
pub use secret::{NewSecret, ends_at};
pub use signed::SignedExample;

use signing_keys::VerifyingKeys;

/// Retention of the rows of this crate. Refresh tokens are deleted with their family.
pub const RETENTION: &[RetentionRule] = &[
    retention_rule!("identity.token_families", "id", "expires_at", HOUR),
    retention_rule!("identity.revoked_tokens", "jti", "expires_at", HOUR),
    retention_rule!("identity.used_nonces", "key", "expires_at", HOUR),
    retention_rule!("identity.signing_keys", "id", "published_until", HOUR),
];

/// Authenticates API clients and issues their tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    authn: Authn,
    keys: KeyRing,
    ring: VerifyingKeys,
    config: Config,
    issuer: String,
    offered: &'static [&'static str],
}

impl Tokens {
    /// Checks the configuration. `offered` are the actions that clients may be given. They stay in memory for the life of the
    /// process.
    ///
    /// # Errors
    ///
    /// A setting is out of its range.
    pub fn new(
        config: Config,
        public_url: &str,
        offered: Vec<&'static str>,
        keys: KeyRing,
        db: Db,
        authn: Authn,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let (issuer, ring) = (public_url.to_owned(), VerifyingKeys::default());
        Ok(Self(Arc::new(Inner { db, authn, keys, ring, config, issuer, offered: offered.leak() })))
    }

    /// The issuer of tokens: our own origin.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The audience of access tokens: the API below this address.
    #[must_use]
    pub fn audience(&self) -> String {
        format!("{}{}", self.0.issuer, self.0.authn.addresses().api)
    }

    /// Host, and port if it is not the default: the `@authority` (RFC 9421, section 2.2.3) of a request to us. It does not
    /// depend on what a proxy does to `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        url::Url::parse(&self.0.issuer).map_or_else(|_| String::new(), |url| url.authority().to_owned())
    }

    /// The actions that clients may be given.
    #[must_use]
    pub fn offered(&self) -> &'static [&'static str] {
        self.0.offered
    }
}
