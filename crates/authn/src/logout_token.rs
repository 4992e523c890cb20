use audit::Event;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tenancy::{Identity as IdentityPlane, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Context, Error, Form, visible};

use crate::actor::actor;
use crate::authorization::LIFETIME;
use crate::id_token::{Audience, Identity, SKEW, is_identifier};
use crate::jws::{BadToken, Signed};
use crate::lenient::{self, Identifier, NumericDate};
use crate::metadata::Unusable;
use crate::provider::Provider;
use crate::rate_limit::RateLimit;
use crate::{Authn, Clock, ProviderKey};

/// A logout token is acted on at most this long after it was made.
const FRESH: Duration = Duration::minutes(5);
/// Notices of one provider. One at which a whole company signs out sends thousands, and perhaps none a second time.
const NOTICES: RateLimit = RateLimit { name: "logout notice", burst: 6_000, period: Duration::milliseconds(10) };
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A provider's word that a person signed out there. It exists only if the logout token was verified: type, algorithm,
/// signature, issuer, audience, times, event, no nonce (OpenID Connect Back-Channel Logout 1.0, section 2.6). That it
/// was not used before is checked in the transaction of its effect.
#[derive(Debug)]
pub struct LogoutNotice(Verified, Authn, Context);

#[derive(Debug)]
struct Verified {
    provider: ProviderKey,
    issuer: String,
    subject: Option<String>,
    sid: Option<String>,
    jti: String,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// Why a logout token is not acted on.
enum Unverified {
    /// It proves nothing.
    Refused(String),
    /// The provider, or its keys, cannot be asked. It may send the token again.
    NotNow(Unusable),
}

impl From<&str> for Unverified {
    fn from(reason: &str) -> Self {
        Self::Refused(reason.to_owned())
    }
}

impl From<Unusable> for Unverified {
    fn from(reason: Unusable) -> Self {
        Self::NotNow(reason)
    }
}

impl From<BadToken> for Unverified {
    fn from(reason: BadToken) -> Self {
        match reason {
            BadToken::Refused(reason) => Self::Refused(reason),
            BadToken::Unsupported(reason) => Self::Refused(format!("not supported: {reason}")),
            BadToken::NoKey => Self::Refused("it is signed with no key of the provider".to_owned()),
        }
    }
}

/// What else a provider sends along is not looked at (OpenID Connect Back-Channel Logout 1.0, section 2.5): a notice that is
/// refused leaves a session open.
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

impl<S> FromRequest<S> for LogoutNotice
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
            // Only what the provider signed counts, and for it alone.
            Ok(verified) => {
                authn.check_rate_limit(NOTICES, &key, &context).await.map(|()| Self(verified, authn, context))
            }
            Err(Unverified::NotNow(reason)) => {
                tracing::error!(provider = %key, %reason, "a logout token could not be verified");
                Err(Error::Unavailable)
            }
            Err(Unverified::Refused(reason)) => {
                tracing::warn!(provider = %key, reason = %visible(&reason, 300), "logout token refused");
                Err(Error::Malformed("This logout token is not acceptable."))
            }
        }
    }
}

impl Provider {
    async fn verify_logout(&self, key: &ProviderKey, token: &str, clock: &Clock) -> Result<Verified, Unverified> {
        let token = Signed::parse(token)?;
        // An ID token is no logout token, and the other way round.
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
        } else if !(now - FRESH..=now + SKEW).contains(&issued) {
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
            Ok(Verified {
                provider: key.clone(),
                issuer: claims.iss,
                subject,
                sid,
                jti,
                issued_at: issued,
                expires_at: issued + LIFETIME + FRESH,
            })
        }
        .map_err(Unverified::from)
    }
}

impl LogoutNotice {
    /// Ends the sessions the notice names: one by `sid`, all of a person by `sub` (those begun with a passkey alone
    /// included), and with both also those of the person for which the provider had named no session. All of them stand on
    /// the word of this provider: what an organization's own one says ends no others. It stays, so that a sign-in that is just being finished does not begin
    /// such a session ([`signed_out_meanwhile`]). A token seen before is refused.
    pub async fn end_sessions(self) -> Result<(), Error> {
        let Self(notice, authn, context) = self;
        let now = authn.0.clock.now();
        let provider = authn.provider(&notice.provider).await?;
        let _turn = provider.notices.lock().await;
        let mut tx = authn.0.db.begin_identity_for::<Write>(provider.organization).await?;
        // A sign-in with this provider is either done, and its session is found below, or it will find the notice.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1, 0))", &*notice.provider)
            .execute(&mut *tx)
            .await?;
        let first = sqlx::query!(
            "insert into identity.logout_tokens (issuer, jti, provider, subject, sid, issued_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
            notice.issuer,
            notice.jti,
            &*notice.provider,
            notice.subject,
            notice.sid,
            notice.issued_at,
            notice.expires_at,
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if first == 0 {
            return Err(Error::Malformed("This logout token was used before."));
        }
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $1, ended_why = 'signed out at the provider'
              where ended_at is null and idle_expires_at > $1 and expires_at > $1 and sign_on is not distinct from $6 and (
                issuer = $2 and provider = $3
                and ($4::text is null or subject = $4)
                and ($5::text is null or upstream_sid = $5 or ($4 is not null and upstream_sid is null))
                or issuer is null
                and user_id = (select a.user_id from identity.accounts a where a.issuer = $2 and a.subject = $4))
             returning id, user_id",
            now,
            notice.issuer,
            &*notice.provider,
            notice.subject,
            notice.sid,
            provider.organization.map(TenantId::uuid) as Option<Uuid>,
        )
        .fetch_all(&mut *tx)
        .await?;
        // A passkey alone opens the organization again only after the next sign-in at this provider. This also holds if
        // the session has already ended here.
        sqlx::query!(
            "delete from identity.vouches v
              where v.sign_on = $1 and v.issuer = $2
                and (v.subject = $3
                     or v.subject in (select s.subject from identity.sessions s
                                       where s.issuer = $2 and s.provider = $4 and s.upstream_sid = $5
                                         and ($3::text is null or s.subject = $3)))",
            provider.organization.map(TenantId::uuid) as Option<Uuid>,
            notice.issuer,
            notice.subject,
            &*notice.provider,
            notice.sid,
        )
        .execute(&mut *tx)
        .await?;
        let events: Vec<_> = ended
            .into_iter()
            .map(|session| {
                let details = json!({ "provider": *notice.provider });
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

/// Whether the provider said that the person signed out since they last proved to it who they are: then what it vouched for
/// while this sign-in was under way has ended. From here to the end of the transaction no notice of this provider is acted on.
pub(crate) async fn signed_out_meanwhile(
    tx: &mut Tx<Write, IdentityPlane>,
    provider: &str,
    identity: &Identity,
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
