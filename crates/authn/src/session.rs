use std::sync::{Arc, Mutex, PoisonError};

use audit::Event;
use axum::extract::Request;
use axum::http::{HeaderMap, request};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use tenancy::{
    Account, ConnectionShare, Identity as IdentityPlane, Plane, Read, RequestAccess, Scope, SessionFacts, TenantId, Tx,
    Write, WriteLocks,
};
use uuid::Uuid;
use web::cookie;
use web::{Client, Context, Error, RateLimitKey};

use crate::actor::actor;
use crate::id_token::ProviderIdentity;
use crate::secret::{Token, hash};
use crate::session_cookie::SESSION;
use crate::signed_in::RequestPerson;
use crate::{AccountNotification, Authn, SignedIn, risk, session_cookie};

const USED_FROM_ELSEWHERE: &str = "used from elsewhere";
const TOKEN_REUSED: &str = "a replaced token was used";
/// The reason why sessions end when a passkey was cloned.
pub(crate) const PASSKEY_CLONED: &str = "a passkey was cloned";
/// The reasons that mean that another person may have the token of the session, or a passkey.
pub(crate) const SUSPICIOUS: [&str; 3] = [USED_FROM_ELSEWHERE, TOKEN_REUSED, PASSKEY_CLONED];
/// The minimum time between two updates of a session's last use. Idle expiry does not need to be more precise, and each
/// update costs a write.
const TOUCH_INTERVAL: Duration = Duration::seconds(60);

/// The token that will replace the one in the browser, on its way to the response.
#[derive(Clone, Debug, Default)]
pub(crate) struct RenewedToken(Arc<Mutex<Option<String>>>);

/// Middleware that adds a renewed session cookie to any response.
pub async fn renew_cookie(mut request: Request, next: Next) -> Response {
    let renewed = RenewedToken::default();
    request.extensions_mut().insert(renewed.clone());
    let mut response = next.run(request).await;
    let token = renewed.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    // If a session has just begun, ended or stepped up, the response already has a newer token.
    if let (Some(token), None) = (token, cookie::value_in_response(response.headers(), SESSION)) {
        session_cookie::set(response.headers_mut(), &token);
    }
    response
}

impl Authn {
    /// Authenticates a request: finds the live session of its cookie, and what the session may access at `scope`.
    ///
    /// This takes one round trip. About once a minute per session it takes more, to store that the session is in use
    /// and to replace its token.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`] without a live session, [`Error::TooMany`] above a rate limit.
    pub async fn authenticate<P: Plane>(
        &self,
        parts: &request::Parts,
        scope: Scope,
    ) -> Result<(SignedIn, Tx<Read, P>, RequestAccess), Error> {
        let context: Context =
            parts.extensions.get().cloned().ok_or_else(|| Error::internal("the edge is not around this route"))?;
        let given = session_cookie::token_of(&parts.headers).map(hash).ok_or(Error::Unauthenticated)?;
        let now = self.0.clock.now();
        let share = if context.network_is_over_limit() { ConnectionShare::OverLimit } else { ConnectionShare::Path };
        let look_up = || self.0.db.authenticate::<Read, P>(&given, now, scope, WriteLocks::default(), share);
        let Some((mut session, mut tx, mut access)) = look_up().await? else {
            // Any made-up token leads here. Past the limit of the network, it costs the look-up and no more.
            context.check_rate_limit_of_unknown()?;
            self.end_stolen(&given, now, &context).await?;
            return Err(Error::Unauthenticated);
        };
        let moved = risk::has_moved(&session, &context.client);
        if moved || self.is_due(&session, now) {
            // Release the connection first, because a request never holds two.
            drop(tx);
            self.touch(&session, given, now, parts, &context.client).await?;
            (session, tx, access) = look_up().await?.ok_or(Error::Unauthenticated)?;
        }
        tracing::Span::current().record("user", tracing::field::display(session.user));
        context.check_rate_limit(RateLimitKey::Person(session.user.uuid(), session.sso_tenant.map(TenantId::uuid)))?;
        if let Some(membership) = &access.membership {
            context.check_rate_limit(RateLimitKey::Organization(membership.tenant.uuid()))?;
        }
        let risk = risk::score(&session, &context.client, now);
        if risk > risk::MAX_SCORE {
            drop(tx);
            self.end_unusual(&session, risk, now, &context).await?;
            return Err(Error::Unauthenticated);
        }
        let who = SignedIn::new(session, given, context, risk, &access)?;
        RequestPerson::note(parts, &who);
        Ok((who, tx, access))
    }

    /// Authenticates a request again before it writes, because its body may have taken a while to arrive. The session
    /// must still be live. This takes one round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthenticated`], as for a new request.
    pub async fn reauthenticate<P: Plane>(
        &self,
        who: &SignedIn,
        scope: Scope,
        locks: WriteLocks,
    ) -> Result<(SignedIn, Tx<Write, P>, RequestAccess), Error> {
        let now = self.0.clock.now();
        let share = ConnectionShare::Path;
        let found = self.0.db.authenticate::<Write, P>(who.token_hash(), now, scope, locks, share).await?;
        let (session, tx, access) = found.ok_or(Error::Unauthenticated)?;
        let context = who.context().clone();
        let risk = risk::score(&session, &context.client, now);
        if risk > risk::MAX_SCORE || session.session != who.session {
            return Err(Error::Unauthenticated);
        }
        Ok((SignedIn::new(session, *who.token_hash(), context, risk, &access)?, tx, access))
    }

    /// Begins a transaction on users, sessions and factors for a person, if they are still signed in.
    pub(crate) async fn begin_for(&self, who: &SignedIn) -> Result<Tx<Write, IdentityPlane>, Error> {
        let (_, tx, _) = self.reauthenticate(who, Scope::default(), WriteLocks::default()).await?;
        Ok(tx)
    }

    /// Ends a session that is used from another device than its own, and from more than one network.
    async fn end_unusual(
        &self,
        session: &SessionFacts,
        risk: i64,
        now: DateTime<Utc>,
        context: &Context,
    ) -> Result<(), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $2, ended_reason = $3 where id = $1 and ended_at is null",
            session.session,
            now,
            USED_FROM_ELSEWHERE,
        );
        if ended.execute(&mut *tx).await?.rows_affected() == 1 {
            let target = format!("Session::{}", session.session);
            tracing::warn!(session = %session.session, risk, "session ended: used from another device or network");
            let details = json!({
                "risk_score": risk,
                "began": { "device": session.device, "network": session.network },
                "used": { "device": context.client.device, "network": context.client.network },
            });
            let by = actor(context, Some(session.user.uuid()), Some(session.session));
            Event { kind: "session.ended_for_risk", target, details }.record(&mut tx, &by).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends a session whose replaced token is used after the grace period. Two browsers have had the token, and one of
    /// them should not have had it. (A lost response with the new token looks the same.)
    async fn end_stolen(&self, given: &[u8; 32], now: DateTime<Utc>, context: &Context) -> Result<(), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $2, ended_reason = $3
              where previous_hash = $1 and previous_until <= $2 and ended_at is null
                and idle_expires_at > $2 and expires_at > $2
             returning id, user_id",
            &given[..],
            now,
            TOKEN_REUSED,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(ended) = ended {
            let by = actor(context, Some(ended.user_id), Some(ended.id));
            let target = format!("Session::{}", ended.id);
            tracing::warn!(session = %ended.id, "session ended: a replaced token was reused");
            Event { kind: "session.token_reused", target, details: json!({}) }.record(&mut tx, &by).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn is_due(&self, session: &SessionFacts, now: DateTime<Utc>) -> bool {
        now - session.last_seen_at >= TOUCH_INTERVAL || (self.is_old(session, now) && !session.by_previous)
    }

    fn is_old(&self, session: &SessionFacts, now: DateTime<Utc>) -> bool {
        now - session.rotated_at >= Duration::seconds(self.0.session.rotate_seconds.into())
    }

    /// Stores that the session is in use and where, and replaces an old token. If parallel requests have the same
    /// token, one of them replaces it. The others keep their token, which stays valid for the grace period.
    async fn touch(
        &self,
        session: &SessionFacts,
        given: [u8; 32],
        now: DateTime<Utc>,
        parts: &request::Parts,
        client: &Client,
    ) -> Result<(), Error> {
        let idle = now + Duration::seconds(self.0.session.idle_seconds.into());
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        sqlx::query!(
            "update identity.sessions set last_seen_at = $2, idle_expires_at = $3 where id = $1",
            session.session,
            now,
            idle
        )
        .execute(&mut *tx)
        .await?;
        if risk::has_moved(session, client) {
            record_move(&mut tx, session, client, now).await?;
        }
        let replaced = if self.is_old(session, now) && !session.by_previous {
            self.replace_token(&mut tx, session, &given, now).await?
        } else {
            None
        };
        tx.commit().await?;
        if let Some(token) = replaced {
            let renewed = parts
                .extensions
                .get::<RenewedToken>()
                .ok_or_else(|| Error::internal("renew_cookie is not around this route"))?;
            *renewed.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.reveal().to_owned());
        }
        Ok(())
    }

    /// Replaces the token of a session, if the session still has the given token. Parallel requests with the same token
    /// replace it only once.
    async fn replace_token(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        session: &SessionFacts,
        given: &[u8; 32],
        now: DateTime<Utc>,
    ) -> Result<Option<Token>, Error> {
        let token = Token::new()?;
        let grace = now + Duration::seconds(self.0.session.grace_seconds.into());
        let won = sqlx::query!(
            "update identity.sessions
                    set token_hash = $3, previous_hash = token_hash, previous_until = $4, rotated_at = $5
                  where id = $1 and token_hash = $2",
            session.session,
            &given[..],
            &token.hash()[..],
            grace,
            now,
        )
        .execute(&mut **tx)
        .await?
        .rows_affected();
        Ok((won == 1).then_some(token))
    }

    /// Creates a session in the caller's transaction, always with a new id and a new token. A token that an attacker planted
    /// before the sign-in is therefore useless.
    pub(crate) async fn create_session(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        user: Uuid,
        authentication: Authentication<'_>,
        context: &Context,
    ) -> Result<(Uuid, Token), Error> {
        let id = Uuid::now_v7();
        let token = Token::new()?;
        let now = self.0.clock.now();
        let Authentication { provider, organization, auth_time, methods, passkey } = authentication;
        let new_device = sqlx::query_scalar!(
            "insert into identity.sessions
               (id, user_id, token_hash, provider, issuer, subject, upstream_sid, auth_time, methods, passkey_id,
                passkey_at, device, network, last_device, last_network, new_device, created_at, rotated_at, last_seen_at,
                idle_expires_at, expires_at, sso_tenant_id)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12, $13,
                    exists (select from identity.sessions known where known.user_id = $2)
                    and not exists (select from identity.sessions known where known.user_id = $2 and known.device = $12),
                    $14, $14, $14, $15, $16, $17
             returning new_device",
            id,
            user,
            &token.hash()[..],
            provider.map(|(key, _)| key),
            provider.map(|(_, identity)| &*identity.issuer),
            provider.map(|(_, identity)| &*identity.subject),
            provider.and_then(|(_, identity)| identity.sid.as_deref()),
            auth_time,
            &methods,
            passkey,
            passkey.map(|_| auth_time),
            context.client.device,
            context.client.network,
            now,
            now + Duration::seconds(self.0.session.idle_seconds.into()),
            now + Duration::seconds(self.0.session.absolute_seconds.into()),
            organization.map(TenantId::uuid) as Option<Uuid>,
        )
        .fetch_one(&mut **tx)
        .await?;
        if new_device {
            self.notify(tx, user.into(), &AccountNotification::NewDevice, context).await?;
        }
        Ok((id, token))
    }

    /// Returns the session of this browser, if it has one.
    pub(crate) async fn session_of_browser(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        headers: &HeaderMap,
    ) -> Result<Option<Uuid>, Error> {
        let Some(here) = session_cookie::token_of(headers).map(hash) else { return Ok(None) };
        let session = sqlx::query_scalar!(
            "select id from identity.sessions where token_hash = $1 or previous_hash = $1",
            &here[..]
        );
        Ok(session.fetch_optional(&mut **tx).await?)
    }

    /// Ends the session that a browser had before it signed in again. Its cookie is gone, so nothing else can end it.
    pub(crate) async fn end_replaced_session(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        session: Uuid,
        context: &Context,
    ) -> Result<(), Error> {
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $2, ended_reason = 'signed in again' where id = $1 and ended_at is null
             returning user_id",
            session,
            self.0.clock.now(),
        )
        .fetch_optional(&mut **tx)
        .await?;
        if let Some(ended) = ended {
            let by = actor(context, Some(ended.user_id), Some(session));
            let event = Event { kind: "session.replaced", target: format!("Session::{session}"), details: json!({}) };
            event.record(tx, &by).await?;
        }
        Ok(())
    }

    /// Ends one session. The next request will not find it.
    pub(crate) async fn end_session(&self, who: &SignedIn) -> Result<(), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let ended = sqlx::query!(
            "update identity.sessions set ended_at = $2, ended_reason = 'signed out' where id = $1 and ended_at is null",
            who.session,
            self.0.clock.now(),
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if ended == 1 {
            let event =
                Event { kind: "session.signed_out", target: format!("Session::{}", who.session), details: json!({}) };
            event.record(&mut tx, &who.actor()).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// How a person authenticated.
pub(crate) struct Authentication<'a> {
    provider: Option<(&'a str, &'a ProviderIdentity)>,
    /// The organization whose own provider authenticated the person, or whose provider the passkey depends on. If an
    /// organization manages the account, the database bonds the session to that organization, too.
    organization: Option<TenantId>,
    auth_time: DateTime<Utc>,
    methods: Vec<String>,
    passkey: Option<Uuid>,
}

impl<'a> Authentication<'a> {
    pub(crate) fn by_provider(key: &'a str, organization: Option<TenantId>, identity: &'a ProviderIdentity) -> Self {
        let methods = std::iter::once("oidc".to_owned()).chain(identity.methods.iter().cloned()).collect();
        Self { provider: Some((key, identity)), organization, auth_time: identity.auth_time, methods, passkey: None }
    }
}

impl Authentication<'static> {
    pub(crate) fn by_passkey(passkey: Uuid, organization: Option<TenantId>, now: DateTime<Utc>) -> Self {
        Self {
            provider: None,
            organization,
            auth_time: now,
            methods: vec!["passkey".to_owned()],
            passkey: Some(passkey),
        }
    }

    pub(crate) fn by_link(now: DateTime<Utc>) -> Self {
        Self { provider: None, organization: None, auth_time: now, methods: vec!["mail".to_owned()], passkey: None }
    }
}

/// Records that a session is used from another device or network than before.
async fn record_move(
    tx: &mut Tx<Write, IdentityPlane>,
    session: &SessionFacts,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (seen_device, seen_network) = risk::seen(session);
    // If parallel requests come from the same new place, only the first one counts it.
    sqlx::query!(
                "update identity.sessions
                    set location_changes = case when location_changed_at > $6 then location_changes else 0 end + 1,
                        location_returns = case when location_changed_at > $6 then location_returns else 0 end
                                  + case when location_changed_at > $6 and previous_device = $4 and previous_network = $5 then 1 else 0 end,
                        previous_device = last_device, previous_network = last_network,
                        last_device = $4, last_network = $5, location_changed_at = $7
                  where id = $1 and last_device = $2 and last_network = $3",
                session.session,
                seen_device,
                seen_network,
                client.device,
                client.network,
                now - risk::CHANGE_WINDOW,
                now,
            )
            .execute(&mut **tx)
            .await?;
    Ok(())
}

/// Locks the session until `tx` ends, if the session is still live. A request that ends the session then waits, and
/// finds what `tx` has added.
pub(crate) async fn lock_session(tx: &mut Tx<Write, Account>, who: &SignedIn) -> Result<bool, Error> {
    let live = sqlx::query_scalar!(
        "select id from identity.sessions where id = $1 and ended_at is null for share",
        who.session
    );
    Ok(live.fetch_optional(&mut **tx).await?.is_some())
}
