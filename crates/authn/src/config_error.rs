use settings::Refusal;

/// What is wrong with the configuration; the application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Lifetimes that make no session, or one that never ends.
    #[error("{0}")]
    Session(Refusal),
    /// An origin that passkeys cannot be bound to.
    #[error("http.public_url: want an origin with a host name, which passkeys are bound to; not an IP address")]
    PublicUrl,
    /// A limit that lets nobody in, or everybody.
    #[error("authn.limits: want sign_ins_per_minute from 1 to 60000, unasked_percent from 1 to 100")]
    Limits,
    /// A provider key that does not fit into an address.
    #[error(
        "authn.providers.{0}: a key is of a-z, 0-9 and -, at most 32 characters, not `passkey`, `link` or \
         `organization`, which are taken, and does not begin with `o-`"
    )]
    Key(String),
    /// An issuer that cannot be trusted.
    #[error(
        "authn.providers.{0}.issuer: want an https URL without query and fragment (http only on loopback, and never in the \
         production profile)"
    )]
    Issuer(String),
    /// A client without a secret.
    #[error("authn.providers.{0}: client_id and client_secret must not be empty")]
    Client(String),
    /// A proof that ends at once, or never.
    #[error("authn.sso: want withdraw_after_days from 3 to 30")]
    Sso,
    /// No DNS.
    #[error("authn.sso.resolver: this machine says of no DNS server ({0}); name one as address:port")]
    Resolver(String),
    /// The HTTP client cannot be built, for example because the machine has no certificates.
    #[error("no HTTP client: {0}")]
    HttpClient(reqwest::Error),
}
