use audit::Event;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenancy::{Identity as IdentityPlane, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Context, Error, Form, visible};

use crate::actor::actor;
use crate::authorization_request::LIFETIME;
use crate::id_token::{Audience, ProviderIdentity, SKEW, is_identifier};
use crate::jws::{Jws, JwsError};
use crate::lenient::{self, Identifier, NumericDate};
use crate::metadata::ProviderError;
use crate::provider::Provider;
use crate::rate_limit::RateLimit;
use crate::{Authn, Clock, ProviderKey};

/// The maximum age of a logout token.
const MAX_AGE: Duration = Duration::minutes(5);
/// The limit for one provider. When all people of a company sign out, it sends thousands of tokens, and may not repeat
/// them.
const LOGOUT_TOKEN_LIMIT: RateLimit =
    RateLimit { name: "logout notice", burst: 6_000, period: Duration::milliseconds(10) };
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A provider's message that a person signed out there. It exists only if the token was verified: type, algorithm,
/// signature, issuer, audience, times, event, no nonce (OpenID Connect Back-Channel Logout 1.0, section 2.6). The
/// transaction that ends the sessions checks that the token was not used before.
#[derive(Debug)]
pub struct LogoutToken(VerifiedClaims, Authn, Context);

#[derive(Debug)]
struct VerifiedClaims {
    provider: ProviderKey,
    issuer: String,
    subject: Option<String>,
    sid: Option<String>,
    jti: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Why a logout token is not accepted.
enum LogoutTokenError {
    /// The token proves nothing.
    Refused(String),
    /// The provider or its keys are not available now. The provider may send the token again.
    NotNow(ProviderError),
}

impl From<&str> for LogoutTokenError {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

impl From<ProviderError> for LogoutTokenError {
    fn from(reason: ProviderError) -> Self {
        Self::NotNow(reason)
    }
}

impl From<JwsError> for LogoutTokenError {
    fn from(reason: JwsError) -> Self {
        match reason {
            JwsError::Refused(reason) => Self::Refused(reason),
            JwsError::Unsupported(reason) => Self::Refused(format!("not supported: {reason}")),
            JwsError::NoKey => Self::Refused("it is signed with no key of the provider".to_owned()),
        }
    }
}

/// Unknown parameters are ignored (OpenID Connect Back-Channel Logout 1.0, section 2.5). If the token were refused
/// because of one, a session would stay open.
#[derive(Deserialize)]
struct Body {
    logout_token: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    iat: NumericDate,
    exp: NumericDate,
    jti: Identifier,
    #[serde(default, deserialize_with = "lenient::optional")]
    sub: Option<Identifier>,
    #[serde(default, deserialize_with = "lenient::optional")]
    sid: Option<Identifier>,
    events: Map<String, Value>,
    nonce: Option<Value>,
}

impl<S> FromRequest<S> for LogoutToken
where
    Authn: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let authn = Authn::from_ref(state);
        let (mut parts, body) = request.into_parts();
        let context = Context::from_request_parts(&mut parts, state).await?;
        let key = ProviderKey::from_request_parts(&mut parts, state).await?;
        let provider = authn.provider(&key).await?;
        let Form(Body { logout_token }) = Form::from_request(Request::from_parts(parts, body), state).await?;
        match provider.verify_logout(&key, &logout_token, &authn.0.clock).await {
            // Only signed tokens count, and only against the limit of their provider.
            Ok(verified) => authn
                .check_rate_limit(LOGOUT_TOKEN_LIMIT, &key, &context)
                .await
                .map(|()| Self(verified, authn, context)),
            Err(LogoutTokenError::NotNow(reason)) => {
                tracing::error!(provider = %key, %reason, "logout token could not be verified");
                Err(Error::Unavailable)
            }
            Err(LogoutTokenError::Refused(reason)) => {
                tracing::warn!(provider = %key, reason = %visible(&reason, 300), "logout token rejected");
                Err(Error::Malformed("This logout token is not acceptable."))
            }
        }
    }
}

impl Provider {
    async fn verify_logout(
        &self,
        key: &ProviderKey,
        token: &str,
        clock: &Clock,
    ) -> Result<VerifiedClaims, LogoutTokenError> {
        let token = Jws::parse(token)?;
        // An ID token is not a logout token, and a logout token is not an ID token.
        if token.kind.as_deref() != Some("logout+jwt") {
            return Err("not of type logout+jwt".into());
        }
        let metadata = self.metadata(clock).await?;
        let claims: Claims = self.claims(&token, &metadata, clock).await??;
        let now = clock.now();
        let (issued, expires) = (claims.iat.time(), claims.exp.time());
        let (subject, sid) = (claims.sub.map(Identifier::into_text), claims.sid.map(Identifier::into_text));
        let jti = claims.jti.into_text();
        let fits = |text: &Option<String>| text.as_ref().is_none_or(|text| is_identifier(text));
        if claims.iss != self.config.issuer {
            Err("another issuer")
        } else if !claims.aud.is(&self.config.client_id) {
            Err("another audience")
        } else if !(now - MAX_AGE..=now + SKEW).contains(&issued) {
            Err("issued too long ago, or in the future")
        } else if expires <= now - SKEW {
            Err("expired")
        } else if claims.nonce.is_some() {
            Err("has a nonce, so it is an ID token")
        } else if !claims.events.get(EVENT).is_some_and(Value::is_object) {
            Err("not the event of a sign-out")
        } else if subject.is_none() && sid.is_none() {
            Err("names neither a person nor a session")
        } else if !fits(&subject) || !fits(&sid) || !is_identifier(&jti) {
            Err("an identifier that is empty, too long, or has control characters")
        } else {
            Ok(VerifiedClaims {
                provider: key.clone(),
                issuer: claims.iss,
                subject,
                sid,
                jti,
                issued_at: issued,
                expires_at: issued + LIFETIME + MAX_AGE,
            })
        }
        .map_err(LogoutTokenError::from)
    }
}

impl VerifiedClaims {
    /// Stores the token. Returns `false` if it was used before.
    async fn register(&self, tx: &mut Tx<Write, IdentityPlane>) -> Result<bool, Error> {
        let registered = sqlx::query!(
            "insert into identity.logout_tokens (issuer, jti, provider, subject, sid, issued_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
            self.issuer,
            self.jti,
            &*self.provider,
            self.subject,
            self.sid,
            self.issued_at,
            self.expires_at,
        )
        .execute(&mut **tx)
        .await?;
        Ok(registered.rows_affected() == 1)
    }

    /// Deletes the record that the organization's provider has authenticated the person.
    async fn withdraw_authentication(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        organization: Option<TenantId>,
    ) -> Result<(), Error> {
        // After this, a passkey alone opens the organization only after the next sign-in at this provider. This also
        // holds if the session has already ended here.
        sqlx::query!(
            "delete from identity.sso_authentications v
              where v.sso_tenant_id = $1 and v.issuer = $2
                and (v.subject = $3
                     or v.subject in (select s.subject from identity.sessions s
                                       where s.issuer = $2 and s.provider = $4 and s.upstream_sid = $5
                                         and ($3::text is null or s.subject = $3)))",
            organization.map(TenantId::uuid) as Option<Uuid>,
            self.issuer,
            self.subject,
            &*self.provider,
            self.sid,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

impl LogoutToken {
    /// Ends the sessions that the token names. `sid` names one session. `sub` names all sessions of a person, including
    /// sessions that began with a passkey alone. If the token has both, sessions of the person without a `sid` end,
    /// too. An organization's own provider ends only sessions that are bonded to that organization.
    ///
    /// The token stays stored. A sign-in that is in progress therefore does not create such a session
    /// ([`signed_out_since`]).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if the token was used before.
    pub async fn end_sessions(self) -> Result<(), Error> {
        let Self(token, authn, context) = self;
        let now = authn.0.clock.now();
        let provider = authn.provider(&token.provider).await?;
        let _turn = provider.logout_tokens.lock().await;
        let mut tx = authn.0.db.begin_identity_for::<Write>(provider.organization).await?;
        // Either a sign-in with this provider has finished, and its session is found below, or it will find the stored
        // token.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", &*token.provider)
            .execute(&mut *tx)
            .await?;
        if !token.register(&mut tx).await? {
            return Err(Error::Malformed("This logout token was used before."));
        }
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $1, ended_reason = 'signed out at the provider'
              where ended_at is null and idle_expires_at > $1 and expires_at > $1 and sso_tenant_id is not distinct from $6 and (
                issuer = $2 and provider = $3
                and ($4::text is null or subject = $4)
                and ($5::text is null or upstream_sid = $5 or ($4 is not null and upstream_sid is null))
                or issuer is null
                and user_id = (select a.user_id from identity.accounts a where a.issuer = $2 and a.subject = $4))
             returning id, user_id",
            now,
            token.issuer,
            &*token.provider,
            token.subject,
            token.sid,
            provider.organization.map(TenantId::uuid) as Option<Uuid>,
        )
        .fetch_all(&mut *tx)
        .await?;
        token.withdraw_authentication(&mut tx, provider.organization).await?;
        let events: Vec<_> = ended
            .into_iter()
            .map(|session| {
                let details = json!({ "provider": *token.provider });
                let target = format!("Session::{}", session.id);
                let event = Event { kind: "session.ended_by_provider", target, details };
                (event, actor(&context, Some(session.user_id), Some(session.id)))
            })
            .collect();
        Event::record_all(&mut tx, &events).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Whether the provider said that the person signed out since they last authenticated there. In that case the sign-in
/// proves nothing. Until the transaction ends, no other logout token of this provider is processed.
pub(crate) async fn signed_out_since(
    tx: &mut Tx<Write, IdentityPlane>,
    provider: &str,
    identity: &ProviderIdentity,
) -> Result<bool, Error> {
    sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended($1, 0))", provider).execute(&mut **tx).await?;
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from identity.logout_tokens
              where issuer = $1 and provider = $2 and issued_at >= $3
                and (subject is null or subject = $4)
                and (sid is null or sid = $5 or (subject is not null and $5::text is null))) as "is!""#,
        identity.issuer,
        provider,
        identity.auth_time,
        identity.subject,
        identity.sid,
    )
    .fetch_one(&mut **tx)
    .await?)
}
