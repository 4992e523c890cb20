use chrono::{DateTime, Duration, Utc};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, ClaimsVerificationError, Client, EmptyExtraTokenFields,
    IdToken, IdTokenClaims, IdTokenFields, IdTokenVerifier, Nonce, OAuth2TokenResponse, PkceCodeVerifier,
    RequestTokenError, SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};

use web::{Email, visible};

use crate::Clock;
use crate::provider::{ALGORITHMS, Metadata, Provider, chain};

/// How far a provider's clock may be off.
pub(crate) const SKEW: Duration = Duration::seconds(60);

/// Claims that the crate leaves to us.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Extra {
    nbf: Option<i64>,
    sid: Option<String>,
}

impl AdditionalClaims for Extra {}

type Fields = IdTokenFields<
    Extra,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Token = IdToken<Extra, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type Claims = IdTokenClaims<Extra, CoreGenderClaim>;
/// The person a provider vouches for, after every check.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) auth_time: DateTime<Utc>,
    pub(crate) methods: Vec<String>,
    pub(crate) sid: Option<String>,
}

/// Why a code gave no identity. The text is for the log and the audit trail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("provider: {0}")]
    Provider(String),
    #[error("token: {0}")]
    Token(String),
}

/// What the sign-in started with, against which the token is held.
pub(crate) struct Expected<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) pkce_verifier: &'a str,
    pub(crate) started: DateTime<Utc>,
    /// The person must have proved who they are since then.
    pub(crate) anew: bool,
}

impl Provider {
    /// Exchanges a code and verifies the ID token: algorithm, signature, issuer, audience, authorized party, expiry,
    /// not-before, issue time, authentication time, authentication context, nonce and access-token hash (OpenID Connect
    /// Core 1.0, section 3.1.3.7). The tokens are dropped here.
    pub(crate) async fn redeem(
        &self,
        code: String,
        expected: Expected<'_>,
        clock: &Clock,
    ) -> Result<Identity, Refused> {
        let metadata = self.metadata(clock).await.map_err(|error| Refused::Provider(error.0))?;
        let client = Client::<
            Extra,
            CoreAuthDisplay,
            CoreGenderClaim,
            CoreJweContentEncryptionAlgorithm,
            CoreJsonWebKey,
            CoreAuthPrompt,
            StandardErrorResponse<CoreErrorResponseType>,
            StandardTokenResponse<Fields, CoreTokenType>,
            CoreTokenIntrospectionResponse,
            CoreRevocableToken,
            CoreRevocationErrorResponse,
            _,
            _,
            _,
            _,
            _,
            _,
        >::from_provider_metadata(
            Metadata::clone(&metadata), self.client_id.clone(), Some(self.client_secret.clone())
        )
        .set_redirect_uri(self.redirect.clone());
        let place = self.place().map_err(|error| Refused::Provider(error.0))?;
        let response = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| Refused::Provider(chain(&error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(expected.pkce_verifier.to_owned()))
            .request_async(&self.sender())
            .await
            .map_err(|error| {
                let reason = format!("code exchange: {}", chain(&error));
                match error {
                    // The provider is well; the code is forged, used, expired or of another sign-in.
                    RequestTokenError::ServerResponse(answer)
                        if *answer.error() == CoreErrorResponseType::InvalidGrant =>
                    {
                        Refused::Token(reason)
                    }
                    _ => Refused::Provider(reason),
                }
            })?;
        drop(place);
        let now = clock.now();
        let token = response.id_token().ok_or_else(|| Refused::Token("there is none".to_owned()))?;

        let (claims, metadata) = match self.verify(token, &metadata, &expected, now) {
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
                let metadata = self.metadata_with_new_keys(clock).await.map_err(|error| Refused::Provider(error.0))?;
                (self.verify(token, &metadata, &expected, now), metadata)
            }
            checked => (checked, metadata),
        };
        let claims = claims.map_err(|error| Refused::Token(chain(&error)))?;
        self.check_the_rest(&claims, now).map_err(|reason| Refused::Token(reason.to_owned()))?;

        if let Some(stated) = claims.access_token_hash() {
            let verifier = self.verifier(&metadata, &expected, now);
            let actual = token
                .signing_alg()
                .and_then(|alg| Ok((alg, token.signing_key(&verifier)?)))
                .map_err(|error| Refused::Token(chain(&error)))
                .and_then(|(alg, key)| {
                    AccessTokenHash::from_token(response.access_token(), alg, key)
                        .map_err(|error| Refused::Token(chain(&error)))
                })?;
            if actual != *stated {
                return Err(Refused::Token("it belongs to another access token".to_owned()));
            }
        }
        identity(&claims)
    }

    fn verify(
        &self,
        token: &Token,
        metadata: &Metadata,
        expected: &Expected<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, ClaimsVerificationError> {
        let verifier = self.verifier(metadata, expected, now);
        token.claims(&verifier, &Nonce::new(expected.nonce.to_owned())).cloned()
    }

    fn verifier(
        &self,
        metadata: &Metadata,
        expected: &Expected<'_>,
        now: DateTime<Utc>,
    ) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let started = expected.started;
        let max_age = Duration::seconds(self.config.max_age_seconds.into());
        let earliest = if expected.anew { started } else { now - max_age } - SKEW;
        let acr_values = self.config.acr_values.clone();
        IdTokenVerifier::new_confidential_client(
            self.client_id.clone(),
            self.client_secret.clone(),
            self.issuer.clone(),
            metadata.jwks().clone(),
        )
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || now - SKEW)
        // The crate's own defaults for the next three accept anything.
        .set_issue_time_verifier_fn(move |issued| {
            if (started - SKEW..=now + SKEW).contains(&issued) {
                Ok(())
            } else {
                Err("not issued for this sign-in".to_owned())
            }
        })
        .set_auth_time_verifier_fn(move |seen| match seen {
            Some(seen) if (earliest..=now + SKEW).contains(&seen) => Ok(()),
            Some(_) => Err("the provider saw the person too long ago, or in the future".to_owned()),
            None => Err("max_age was asked for and there is no auth_time".to_owned()),
        })
        .set_auth_context_verifier_fn(move |acr| match acr {
            _ if acr_values.is_empty() => Ok(()),
            Some(acr) if acr_values.iter().any(|wanted| *wanted == **acr) => Ok(()),
            _ => Err("not one of the authentication contexts asked for".to_owned()),
        })
    }

    /// What the crate does not look at: `azp` and `nbf`, and the issuer as text.
    fn check_the_rest(&self, claims: &Claims, now: DateTime<Utc>) -> Result<(), &'static str> {
        if claims.issuer().as_str() != self.config.issuer {
            return Err("another issuer");
        }
        if claims.authorized_party().is_some_and(|party| *party != self.client_id) {
            return Err("made for another client (azp)");
        }
        if claims.additional_claims().nbf.is_some_and(|nbf| nbf > (now + SKEW).timestamp()) {
            return Err("not valid yet (nbf)");
        }
        Ok(())
    }
}

/// An identifier a provider made up, as the database takes it.
pub(crate) fn is_identifier(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn identity(claims: &Claims) -> Result<Identity, Refused> {
    let subject = claims.subject().as_str();
    // OpenID Connect Core 1.0, section 2: at most 255 ASCII characters.
    if subject.is_empty() || subject.len() > 255 || !subject.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(Refused::Token("a subject of 1 to 255 printable characters is required".to_owned()));
    }
    let sid = claims.additional_claims().sid.clone();
    if !sid.as_ref().is_none_or(|sid| is_identifier(sid)) {
        return Err(Refused::Token("a session id of 1 to 255 characters without controls is required".to_owned()));
    }
    let given = claims.email().map(|email| email.as_str()).unwrap_or_default();
    // As it is or not at all: what is left of an address after a correction is another one, that nobody vouches for. That
    // its domain is put into A-labels is no correction.
    let email = Email::try_from(given)
        .ok()
        .filter(|_| given.trim() == given)
        .map(|email| email.to_string())
        .unwrap_or_default();
    let name = claims.name().and_then(|name| name.get(None)).map(|name| visible(name, 120)).unwrap_or_default();
    let name = if name.is_empty() { visible(given.split('@').next().unwrap_or_default(), 120) } else { name };
    Ok(Identity {
        issuer: claims.issuer().as_str().to_owned(),
        subject: subject.to_owned(),
        name: if name.is_empty() { "Unnamed".to_owned() } else { name },
        email_verified: !email.is_empty() && claims.email_verified().unwrap_or(false),
        email,
        auth_time: claims.auth_time().ok_or_else(|| Refused::Token("there is no auth_time".to_owned()))?,
        methods: claims
            .auth_method_refs()
            .map_or_else(Vec::new, |methods| methods.iter().take(8).map(|method| visible(method, 32)).collect()),
        sid,
    })
}
