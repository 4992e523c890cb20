use audit::Event;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use sealing::{open_once, seal_once};
use serde_json::json;
use tenancy::{Identity as IdentityPlane, Tx, Write};
use tower::ServiceExt;
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Context, Error};

use crate::passkeys::{PasskeyFailure, Purpose};
use crate::secret::{Token, hash};
use crate::{Authn, NewCookie, SignedIn, session};

/// How long a form is kept for its proof.
const LIFETIME: Duration = Duration::minutes(10);
/// Most forms kept for one person; the oldest gives way.
const MOST: i64 = 5;

/// A session in which a factor has just been proved: its new cookie, and what it was proved for.
#[derive(Debug)]
pub struct SteppedUp {
    /// The new cookie.
    pub cookie: NewCookie,
    /// The form that waited, taken: it is done once or never.
    pub kept: Option<Kept>,
}

/// A form that was kept while its sender proved a passkey. As a response, it is done as it was sent ([`go_on`]).
#[derive(Clone, Debug)]
pub struct Kept {
    path: String,
    body: Vec<u8>,
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

impl Authn {
    /// Keeps a form until its sender has proved a passkey, once, for the same session in the same browser. Returns the id
    /// to ask for it by, and the cookie that stands for the browser: without it nobody can plant a form in a session that
    /// they have got hold of, and have its owner confirm it.
    pub async fn keep_form(
        &self,
        who: &SignedIn,
        action: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<(Uuid, HeaderValue), Error> {
        let (id, token, now) = (Uuid::now_v7(), Token::new()?, self.0.clock.now());
        let sealed = seal_once(token.reveal(), body);
        let mut tx = self.begin_for(who).await?;
        // By one request of a person at a time, so that parallel ones do not add up to more.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))", who.user.uuid())
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from identity.kept_requests where id in (
               select id from identity.kept_requests where user_id = $1 order by id desc offset $2)",
            who.user.uuid(),
            MOST - 1,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into identity.kept_requests (id, user_id, session_id, handle_hash, action, path, sealed, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            id,
            who.user.uuid(),
            who.session,
            &token.hash()[..],
            action,
            path,
            sealed,
            now + LIFETIME,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        let cookie = cookie::line(&name(id), token.reveal(), SameSite::Strict, Some(seconds));
        Ok((id, cookie.ok_or_else(|| Error::internal("no cookie"))?))
    }

    /// The action that a form asks for that this session and this browser has sent.
    pub async fn kept_action(&self, who: &SignedIn, headers: &HeaderMap, id: Uuid) -> Result<Option<String>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let action = sqlx::query_scalar!(
            "select action from identity.kept_requests
              where id = $1 and session_id = $2 and handle_hash = $3 and expires_at > $4",
            id,
            who.session,
            &hash(token)[..],
            self.0.clock.now(),
        );
        Ok(action.fetch_optional(&mut *tx).await?)
    }

    /// Accepts one of the person's passkeys for this session, gives the session a new token, and takes what was kept for
    /// it: all or nothing.
    pub async fn finish_step_up(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        answer: &str,
        kept: Option<Uuid>,
    ) -> Result<Result<SteppedUp, PasskeyFailure>, Error> {
        self.count_answer(who).await?;
        let mut tx = self.begin_for(who).await?;
        let proof = match self.prove(&mut tx, Purpose::step_up(who), answer, headers, who.context()).await? {
            Ok(proof) => proof,
            Err((failure, reason)) => {
                tracing::warn!(reason, "step-up failed");
                let details = json!({ "reason": reason });
                let event = Event { kind: "step_up.failed", target: format!("Session::{}", who.session), details };
                event.record(&mut tx, &who.actor()).await?;
                tx.commit().await?;
                return Ok(Err(failure));
            }
        };
        let cookie = self.note_proof(&mut tx, who, headers, proof.passkey).await?;
        let kept = match kept {
            Some(id) => self.take_kept(&mut tx, who, headers, id).await?,
            None => None,
        };
        let details = json!({ "passkey": proof.passkey });
        let event = Event { kind: "session.stepped_up", target: format!("Session::{}", who.session), details };
        event.record(&mut tx, &who.actor()).await?;
        tx.commit().await?;
        Ok(Ok(SteppedUp { cookie, kept }))
    }

    pub(crate) async fn take_kept(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
        id: Uuid,
    ) -> Result<Option<Kept>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let row = sqlx::query!(
            "delete from identity.kept_requests
              where id = $1 and session_id = $2 and handle_hash = $3 and expires_at > $4 returning path, sealed",
            id,
            who.session,
            &hash(token)[..],
            self.0.clock.now(),
        );
        let row = row.fetch_optional(&mut **tx).await?;
        Ok(row.and_then(|row| Some(Kept { body: open_once(token, &row.sealed)?, path: row.path })))
    }

    /// Notes a proof in the session, from where it was made, and replaces its token at once: whoever had the old one does
    /// not get what it now may. Of two proofs that came with one token the second one finds it replaced.
    pub(crate) async fn note_proof(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
        passkey: Uuid,
    ) -> Result<NewCookie, Error> {
        let token = Token::new()?;
        let given = session::token_of(headers).map(hash).ok_or(Error::Unauthenticated)?;
        let noted = sqlx::query!(
            "update identity.sessions
                set token_hash = $3, previous_hash = null, previous_until = null, rotated_at = $4, passkey_at = $4,
                    passkey_id = $2, device = $6, network = $7, seen_device = $6, seen_network = $7, new_device = false,
                    changes = 0, returns = 0, changed_at = null,
                    methods = case when 'passkey' = any (methods) then methods else array_append(methods, 'passkey') end
              where id = $1 and (token_hash = $5 or previous_hash = $5) and ended_at is null",
            who.session,
            passkey,
            &token.hash()[..],
            self.0.clock.now(),
            &given[..],
            who.context().client.device,
            who.context().client.network,
        )
        .execute(&mut **tx)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(Error::Unauthenticated);
        }
        Ok(NewCookie::of(&token))
    }
}

/// Name of the cookie that stands for the browser that sent a kept form.
fn name(id: Uuid) -> String {
    format!("kept-{}", id.simple())
}

/// Middleware around the whole application that does what a [`Kept`] form asked for, in the request that brought the
/// proof: the same router, the same guards, the session with its new token. `router` is the application without this.
pub async fn go_on(State(router): State<Router>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !["/step-up", "/step-up/code"].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (mut headers, context) = (request.headers().clone(), request.extensions().get::<Context>().cloned());
    let mut response = next.run(request).await;
    let (Some(Kept { path, body }), Some(context)) = (response.extensions_mut().remove::<Kept>(), context) else {
        return response;
    };
    let Some(session) = session::given(response.headers()) else {
        return Error::internal("a step-up without a new cookie").into_response();
    };
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    headers.insert(header::COOKIE, session);
    let mut again = Request::new(Body::from(body));
    *again.method_mut() = Method::POST;
    *again.headers_mut() = headers;
    *again.uri_mut() = match path.parse() {
        Ok(uri) => uri,
        Err(_) => return Error::internal("a kept form for what is no path").into_response(),
    };
    again.extensions_mut().insert(context);
    let Ok(mut done) = router.oneshot(again).await;
    // Those of the proof first: what the form itself set is newer.
    let newer: Vec<_> = done.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
    done.headers_mut().remove(header::SET_COOKIE);
    for cookie in response.headers().get_all(header::SET_COOKIE).iter().cloned().chain(newer) {
        done.headers_mut().append(header::SET_COOKIE, cookie);
    }
    done
}
