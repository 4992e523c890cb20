use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::Value;
use web::{Email, visible};

use crate::Clock;
use crate::jws::{Jws, JwsError};
use crate::lenient::{self, Identifier, NumericDate};
use crate::metadata::{Metadata, ProviderError};
use crate::provider::Provider;

/// The maximum clock difference between us and a provider.
pub(crate) const SKEW: Duration = Duration::seconds(60);

/// A person that a provider has authenticated, after all checks.
#[derive(Debug)]
pub(crate) struct ProviderIdentity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// `None` if the provider did not respond.
    pub(crate) name: Option<String>,
    /// Empty if the person has no address. `None` if the provider did not respond.
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    pub(crate) auth_time: DateTime<Utc>,
    pub(crate) methods: Vec<String>,
    pub(crate) sid: Option<String>,
}

/// Why a code does not yield an identity. The text is for the log and the audit trail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdTokenError {
    #[error("provider: {0}")]
    Provider(ProviderError),
    #[error("token: {0}")]
    Token(String),
}

impl From<ProviderError> for IdTokenError {
    fn from(reason: ProviderError) -> Self {
        Self::Provider(reason)
    }
}

impl From<JwsError> for IdTokenError {
    fn from(reason: JwsError) -> Self {
        match reason {
            JwsError::Refused(reason) => Self::Token(reason),
            JwsError::Unsupported(reason) => Self::Provider(ProviderError::Unsupported(format!("token: {reason}"))),
            JwsError::NoKey => Self::Token("it is signed with no key of the provider".to_owned()),
        }
    }
}

/// The values of the login flow that the token must match.
pub(crate) struct ExpectedClaims<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) pkce_verifier: &'a str,
    pub(crate) started: DateTime<Utc>,
    /// Whether the person must have authenticated after the flow started.
    pub(crate) reauthenticate: bool,
}

/// The token response. Other members are ignored.
#[derive(Deserialize)]
struct Tokens {
    #[serde(default, deserialize_with = "lenient::optional")]
    access_token: Option<String>,
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default, deserialize_with = "lenient::optional")]
    nbf: Option<NumericDate>,
    #[serde(default, deserialize_with = "lenient::optional")]
    auth_time: Option<NumericDate>,
    #[serde(default, deserialize_with = "lenient::optional")]
    nonce: Option<String>,
    azp: Option<Value>,
    at_hash: Option<Value>,
    #[serde(default, deserialize_with = "lenient::optional")]
    acr: Option<Identifier>,
    #[serde(default, deserialize_with = "lenient::texts")]
    amr: Vec<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    sid: Option<Identifier>,
    #[serde(flatten)]
    profile: Profile,
}

/// The profile claims.
#[derive(Default, Deserialize)]
pub(crate) struct Profile {
    #[serde(default, deserialize_with = "lenient::optional")]
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    pub(crate) email: Option<String>,
    #[serde(default, deserialize_with = "lenient::optional")]
    pub(crate) email_verified: Option<bool>,
}

/// The audience of a token (RFC 7519, section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Whether this client is the only audience.
    pub(crate) fn is(&self, client: &str) -> bool {
        match self {
            Self::One(one) => one == client,
            Self::Many(many) => many.len() == 1 && many.iter().all(|one| one == client),
        }
    }
}

impl Provider {
    /// Exchanges a code and verifies the ID token: algorithm, signature, type, issuer, audience, authorized party, expiry,
    /// not-before, issue time, authentication time, authentication context, nonce and access-token hash (OpenID Connect
    /// Core 1.0, section 3.1.3.7). The tokens are dropped here.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        expected: ExpectedClaims<'_>,
        clock: &Clock,
    ) -> Result<ProviderIdentity, IdTokenError> {
        let metadata = self.metadata(clock).await?;
        let place = self.acquire_permit().await?;
        let tokens = self.exchange(&metadata, code, expected.pkce_verifier).await?;
        drop(place);
        let refused = |reason: &str| IdTokenError::Token(reason.to_owned());
        let token = tokens.id_token.ok_or_else(|| refused("there is none"))?;
        let token = Jws::parse(&token)?;
        // A token for another purpose, such as a logout token, is refused.
        if token.kind.as_ref().is_some_and(|kind| kind != "jwt" && kind != "jose") {
            return Err(refused("not of the type of an ID token"));
        }
        let claims: Claims = self.claims(&token, &metadata, clock).await??;
        self.check(&claims, &expected, clock.now()).map_err(refused)?;
        if let Some(stated) = &claims.at_hash
            && tokens.access_token.as_deref().is_none_or(|access| *stated != token.algorithm.half_hash(access))
        {
            return Err(refused("it belongs to another access token"));
        }
        let profile = self.full_profile(&metadata, &claims.sub, claims.profile, tokens.access_token.as_deref());
        let (name, email, email_verified) = profile.await?;
        Ok(ProviderIdentity {
            issuer: claims.iss,
            subject: claims.sub,
            name,
            email,
            email_verified,
            // The claim is optional here: the person has just signed in at the provider.
            auth_time: claims.auth_time.unwrap_or(claims.iat).time(),
            methods: claims.amr.iter().take(8).map(|method| visible(method, 32)).collect(),
            sid: claims.sid.map(Identifier::into_text),
        })
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, verifier: &str) -> Result<Tokens, IdTokenError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect),
            ("code_verifier", verifier),
        ];
        let answer = self.post(&metadata.token_endpoint, metadata.client_auth, &fields).await;
        let answer = answer.map_err(|error| ProviderError::NotNow(format!("code exchange: {error}")))?;
        if answer.status().is_success() {
            let read = serde_json::from_slice(answer.body());
            return read.map_err(|error| ProviderError::NotNow(format!("code exchange: {error}")).into());
        }
        let (status, error) = (answer.status().as_u16(), error_of(answer.body()));
        let reason = format!("code exchange: the status is {status} {error}");
        Err(match &*error {
            // The provider works, but the code is forged, used, expired or from another flow.
            "invalid_grant" => IdTokenError::Token(reason),
            // Our registration at the provider does not match our configuration.
            "invalid_client" | "unauthorized_client" | "unsupported_grant_type" | "invalid_request" => {
                ProviderError::Unsupported(reason).into()
            }
            _ => ProviderError::NotNow(reason).into(),
        })
    }

    fn check(&self, claims: &Claims, expected: &ExpectedClaims<'_>, now: DateTime<Utc>) -> Result<(), &'static str> {
        let (config, started) = (&self.config, expected.started);
        let max_age = Duration::seconds(config.max_age_seconds.into());
        let earliest = if expected.reauthenticate { started } else { now - max_age } - SKEW;
        let context = claims.acr.clone().map(Identifier::into_text);
        if claims.iss != config.issuer {
            Err("another issuer")
        } else if !claims.aud.is(&config.client_id) {
            Err("another audience")
        } else if claims.azp.as_ref().is_some_and(|party| *party != *config.client_id) {
            Err("issued to another client (azp)")
        } else if claims.exp.time() <= now - SKEW {
            Err("expired")
        } else if claims.nbf.is_some_and(|nbf| nbf.time() > now + SKEW) {
            Err("not valid yet (nbf)")
        } else if !(started - SKEW..=now + SKEW).contains(&claims.iat.time()) {
            Err("not issued for this sign-in")
        } else if claims.nonce.as_deref() != Some(expected.nonce) {
            Err("another nonce, or none")
        } else if claims.auth_time.is_none() && !self.settings.allow_missing_auth_time {
            Err("max_age was asked for and there is no auth_time; if the provider never says it, see \
                 allow_missing_auth_time or a preset")
        } else if claims.auth_time.is_some_and(|seen| !(earliest..=now + SKEW).contains(&seen.time())) {
            Err("the provider authenticated the person too long ago, or in the future")
        } else if !config.acr_values.is_empty() && context.is_none_or(|acr| !config.acr_values.contains(&acr)) {
            Err("not one of the requested authentication contexts")
        } else if !(1..=255).contains(&claims.sub.len()) || !claims.sub.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            // OpenID Connect Core 1.0, section 2 allows at most 255 ASCII characters.
            Err("a subject of 1 to 255 printable characters is required")
        } else if !claims.sid.clone().is_none_or(|sid| is_identifier(&sid.into_text())) {
            Err("a session id of 1 to 255 characters without controls is required")
        } else {
            Ok(())
        }
    }
}

/// Extracts the `error` of a response (RFC 6749, section 5.2) for the log.
pub(crate) fn error_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    serde_json::from_slice::<Answer>(body).map_or_else(|_| String::new(), |answer| visible(&answer.error, 64))
}

/// Whether the database accepts an identifier from a provider.
pub(crate) fn is_identifier(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Returns an email address unchanged, or `None`. A corrected address would be a different one that nobody has
/// verified. Only the domain is converted to A-labels.
pub(crate) fn address(given: &str) -> Option<String> {
    Email::try_from(given).ok().filter(|_| given.trim() == given).map(|email| email.to_string())
}
