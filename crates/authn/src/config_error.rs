use settings::Refusal;

/// An error in the configuration. The application does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A lifetime of sessions is too short or too long.
    #[error("{0}")]
    Session(Refusal),
    /// Passkeys cannot be bound to the origin.
    #[error("http.public_url: want an origin with a host name, which passkeys are bound to; not an IP address")]
    PublicUrl,
    /// A limit would let in nobody or everybody.
    #[error("authn.limits: want sign_ins_per_minute from 1 to 60000, free_percent from 1 to 100")]
    Limits,
    /// A provider key does not fit into a URL.
    #[error(
        "authn.providers.{0}: a key is of a-z, 0-9 and -, at most 32 characters, not `passkey`, `link` or \
         `organization`, which are taken, and does not begin with `o-`"
    )]
    Key(String),
    /// An issuer is not trustworthy.
    #[error(
        "authn.providers.{0}.issuer: want an https URL without query and fragment (http only on loopback, and never in the \
         production profile)"
    )]
    Issuer(String),
    /// A client has no secret.
    #[error("authn.providers.{0}: client_id and client_secret must not be empty")]
    Client(String),
    /// A domain would be withdrawn too early or too late.
    #[error("authn.sso: want withdraw_after_days from 3 to 30")]
    Sso,
    /// There is no DNS server.
    #[error("authn.sso.resolver: this machine has no DNS server ({0}); set one as address:port")]
    Resolver(String),
    /// The HTTP client cannot be built, for example because the machine has no certificates.
    #[error("no HTTP client: {0}")]
    HttpClient(reqwest::Error),
}
