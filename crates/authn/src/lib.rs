//! A `SignedIn` exists only for a live session of an unlocked user.
//!
//! People come in through an OpenID Connect provider ([`Authn::start_sign_in`], [`Authn::finish_sign_in`]), with a
//! passkey ([`Authn::start_passkey_sign_in`], [`Authn::finish_passkey_sign_in`]) or, where an organization allows it, with a
//! link by mail ([`Authn::send_link`], [`Authn::finish_link`]), and are then known by a random token in one strict cookie, of which the database keeps only a hash. Everything about sessions and running sign-ins is private
//! here; handlers receive [`SignedIn`], or an `Authorized` that holds one.

mod actor;
mod authorization;
mod clock;
mod config;
mod config_error;
mod dns;
mod email;
mod factors;
mod http_client;
mod id_token;
mod jws;
mod kept;
mod lenient;
mod link;
mod lockout;
mod login;
mod logout;
mod logout_token;
mod metadata;
mod notices;
mod passkeys;
mod proof_of_work;
mod provider;
mod provider_key;
mod provider_settings;
mod rate_limit;
mod recovery;
mod risk;
mod secret;
mod session;
mod session_cookie;
mod settings;
mod sign_on;
mod signed_in;
mod step_up;
mod totp;
mod user;
mod userinfo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use encryption::KeyRing;
use tenancy::{Db, HOUR, Keep, Rule, keep};
use web::Addresses;
use webauthn_rs::Webauthn;

pub use self::settings::SETTINGS;
pub use clock::Clock;
pub use config::{Config, LimitsConfig, ProviderConfig, RecoveryConfig, SessionConfig, SignOnConfig};
pub use config_error::ConfigError;
pub use email::EmailCode;
pub use factors::{RemovedFactors, remove_factors};
pub use kept::{Kept, KeptForm, go_on};
pub use link::LinkCookie;
pub use login::{ProviderChoice, SignInFailure, Started};
pub use logout::SignedOut;
pub use logout_token::LogoutNotice;
pub use notices::Notice;
pub use passkeys::{Challenge, Enrolled, KnownCredentials, PasskeyFailure};
pub use proof_of_work::ProofOfWorkSolution;
pub use provider_key::ProviderKey;
pub use provider_settings::Preset;
pub use rate_limit::RateLimit;
pub use recovery::{Recovery, RecoveryCodes, TypedRecovery, WaitingCookie};
pub use session::renew_cookie;
pub use session_cookie::NewCookie;
pub use sign_on::{ProvedDomain, SignOn, SignOnNotice, SignOnProblem, domain_record};
pub use signed_in::SignedIn;
pub use step_up::SteppedUp;
pub use totp::{ConfirmedTotp, TotpSecret};

use dns::Dns;
use http_client::HttpClient;
use provider::Provider;
use sign_on::Organizations;

/// How long what is here is kept.
pub const KEEPING: &[Rule] = &[
    keep!("identity.logins", "handle_hash, state_hash", "expires_at", HOUR),
    keep!("identity.email_codes", "user_id", "expires_at", HOUR),
    keep!("identity.sessions", "id", "expires_at", Keep::Sessions),
    keep!("identity.logout_tokens", "issuer, jti", "expires_at", HOUR),
    keep!("identity.ceremonies", "handle_hash", "expires_at", HOUR),
    keep!("identity.kept_requests", "id", "expires_at", HOUR),
    keep!("identity.recoveries", "user_id, bond", "expires_at", HOUR),
    keep!("identity.limits", "key", "free_at", HOUR),
    keep!("identity.solutions", "mark", "expires_at", HOUR),
    // Wrong codes count for so long, though nothing is locked any more.
    keep!("identity.lockouts", "user_id, bond", "free_at", Keep::For(Duration::from_hours(30 * 24))),
    keep!("identity.links", "token_hash", "expires_at", HOUR),
];

/// Who is asking. Holds the way to users, sessions and providers; cheap to clone.
#[derive(Clone, Debug)]
pub struct Authn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Clock,
    session: SessionConfig,
    recovery: RecoveryConfig,
    limits: LimitsConfig,
    providers: BTreeMap<String, Arc<Provider>>,
    organizations: Organizations,
    http: HttpClient,
    dns: Dns,
    withdraw_after: chrono::Duration,
    production: bool,
    webauthn: Webauthn,
    keys: KeyRing,
    public_url: String,
    addresses: Addresses,
}

impl Authn {
    /// Checks the configuration and keeps the door to the database. `addresses` are below `public_url`. Providers are not asked yet: one that is down must
    /// not keep the application from starting.
    pub fn new(
        config: Config,
        public_url: &str,
        addresses: Addresses,
        production: bool,
        keys: KeyRing,
        db: Db,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        self::settings::unsound_session(&config).map_or(Ok(()), |refusal| Err(ConfigError::Session(refusal)))?;
        config.limits.check()?;
        config.sign_on.check()?;
        let dns = Dns::new(config.sign_on.resolver)?;
        let http = HttpClient::new(&dns)?;
        let mut providers = BTreeMap::new();
        for (key, provider) in config.providers {
            let redirect = format!("{public_url}{}", addresses.callback_of(&key));
            let reserved = addresses.reserved_provider_keys;
            let provider = Provider::new(&key, reserved, provider, redirect, production, http.clone())?;
            providers.insert(key, Arc::new(provider));
        }
        let (session, recovery, limits) = (config.session, config.recovery, config.limits);
        let webauthn = passkeys::relying_party(public_url)?;
        Ok(Self(Arc::new(Inner {
            db,
            clock,
            session,
            recovery,
            limits,
            providers,
            organizations: Organizations::default(),
            http,
            dns,
            withdraw_after: chrono::Duration::days(config.sign_on.withdraw_after_days.into()),
            production,
            webauthn,
            keys,
            public_url: public_url.to_owned(),
            addresses,
        })))
    }

    /// Asks the providers of the configuration about themselves, and says in the log what is wrong with them: better at
    /// the start than at the first sign-in. Nothing depends on it.
    pub async fn check_providers(&self) {
        for (key, provider) in &self.0.providers {
            match provider.metadata(&self.0.clock).await {
                Ok(_) => tracing::info!(provider = key, "identity provider usable"),
                Err(error) => tracing::error!(provider = key, %error, "identity provider unusable"),
            }
        }
    }

    /// The addresses that the product gave.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }
}
