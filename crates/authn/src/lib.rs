//! Authentication of people. A [`SignedIn`] exists only for a live session of an unlocked user.
//!
//! People sign in through an OpenID Connect provider ([`Authn::start_sign_in`], [`Authn::finish_sign_in`]), with a
//! passkey ([`Authn::start_passkey_sign_in`], [`Authn::finish_passkey_sign_in`]) or, if an organization allows it, with
//! a link by email ([`Authn::send_link`], [`Authn::finish_link`]).
//!
//! A random token in one strict cookie then identifies the session. The database stores only its hash. Everything about
//! sessions and login flows is private to this crate. Handlers receive a [`SignedIn`], or an `Authorized` that contains
//! one.

mod account_notification;
mod actor;
mod authorization_request;
mod clock;
mod config;
mod config_error;
mod deferred_request;
mod dns;
mod email;
mod factors;
mod http_client;
mod id_token;
mod jws;
mod lenient;
mod link;
mod lockout;
mod login;
mod logout;
mod logout_token;
mod metadata;
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
mod signed_in;
mod sso;
mod step_up;
mod totp;
mod user;
mod userinfo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use encryption::KeyRing;
use tenancy::{Db, HOUR, Retention, RetentionRule, retention_rule};
use web::Addresses;
use webauthn_rs::Webauthn;

pub use self::settings::SETTINGS;
pub use account_notification::AccountNotification;
pub use clock::Clock;
pub use config::{Config, LimitsConfig, ProviderConfig, RecoveryConfig, SessionConfig, SsoConfig};
pub use config_error::ConfigError;
pub use deferred_request::{DeferredRequest, DeferredRequestSummary, resume_deferred_request};
pub use email::EmailCode;
pub use factors::{RemovedFactors, remove_factors};
pub use link::LinkCookie;
pub use login::{AuthorizationRedirect, ProviderChoice, SignInFailure};
pub use logout::SignedOut;
pub use logout_token::LogoutToken;
pub use passkeys::{Challenge, ExistingCredentials, NewPasskey, PasskeyFailure};
pub use proof_of_work::ProofOfWorkSolution;
pub use provider_key::ProviderKey;
pub use provider_settings::Preset;
pub use rate_limit::RateLimit;
pub use recovery::{PendingRecoveryCookie, Recovery, RecoveryCodes, RecoveryInput};
pub use session::renew_cookie;
pub use session_cookie::NewCookie;
pub use signed_in::{EnrolledFactors, RequestPerson, SignedIn};
pub use sso::{IdentityProvider, IdentityProviderProblem, ProviderNotice, VerifiedDomain, domain_record};
pub use step_up::StepUpOutcome;
pub use totp::{ConfirmedTotp, TotpSecret};

use dns::Dns;
use http_client::HttpClient;
use provider::Provider;
use sso::Organizations;

/// The retention of the rows of this crate.
pub const RETENTION: &[RetentionRule] = &[
    retention_rule!("identity.login_flows", "handle_hash, state_hash", "expires_at", HOUR),
    retention_rule!("identity.email_codes", "user_id", "expires_at", HOUR),
    retention_rule!("identity.sessions", "id", "expires_at", Retention::Sessions),
    retention_rule!("identity.logout_tokens", "issuer, jti", "expires_at", HOUR),
    retention_rule!("identity.ceremonies", "handle_hash", "expires_at", HOUR),
    retention_rule!("identity.deferred_requests", "id", "expires_at", HOUR),
    retention_rule!("identity.recoveries", "user_id, sso_tenant_key", "expires_at", HOUR),
    retention_rule!("identity.rate_limits", "key", "tat", HOUR),
    retention_rule!("identity.proof_of_work_solutions", "mac", "expires_at", HOUR),
    // Wrong codes count for this long, even after the lockout has ended.
    retention_rule!(
        "identity.lockouts",
        "user_id, sso_tenant_key",
        "locked_until",
        Retention::For(Duration::from_hours(30 * 24))
    ),
    retention_rule!("identity.magic_links", "token_hash", "expires_at", HOUR),
];

/// Authentication of people: users, sessions, factors and identity providers. Cloning is cheap.
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
    /// Checks the configuration, and keeps the database private. `addresses` are paths below `public_url`. Identity providers
    /// are not contacted, because a provider that is down must not stop the application from starting.
    ///
    /// # Errors
    ///
    /// A setting is missing, malformed, or unsafe in production.
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
        config.sso.check()?;
        let dns = Dns::new(config.sso.resolver)?;
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
            withdraw_after: chrono::Duration::days(config.sso.withdraw_after_days.into()),
            production,
            webauthn,
            keys,
            public_url: public_url.to_owned(),
            addresses,
        })))
    }

    /// Fetches the metadata of the configured providers and logs problems. They show up at startup instead of at the
    /// first sign-in. Nothing depends on the result.
    pub async fn check_providers(&self) {
        for (key, provider) in &self.0.providers {
            match provider.metadata(&self.0.clock).await {
                Ok(_) => tracing::info!(provider = key, "identity provider ready"),
                Err(error) => tracing::error!(provider = key, %error, "identity provider unusable"),
            }
        }
    }

    /// Returns the paths that the product chose.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// Returns the clock of this crate.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }
}
