//! Forms that were sent and not done yet: one that needs a factor waits for the proof, and one that came after its session had
//! ended waits until its person has signed in. No authority comes from a kept form. When it is done, the guards decide as for
//! any other request.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header, request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Duration, Utc};
use encryption::{decrypt_with_token, encrypt_with_token};
use tenancy::{Identity as IdentityPlane, Plane, Read, RequestAccess, Scope, TenantId, Tx, Write};
use tower::ServiceExt;
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Addresses, Context, Error, LocalPath, RateLimitKey};

use crate::secret::{Token, hash};
use crate::{Authn, SignedIn, session, session_cookie};

/// How long a form is kept.
const LIFETIME: Duration = Duration::minutes(10);
/// Most forms kept for one person and bond; the oldest gives way.
const MOST: i64 = 5;
/// The longest path that is kept, in bytes. Ours are shorter.
const LONGEST_PATH: usize = 2048;

/// A form that was kept, and is now done as it was sent ([`go_on`]).
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

/// What the page that asks about a kept form says of it.
#[derive(Debug)]
pub struct KeptForm {
    /// Name of the action it asks for.
    pub action: String,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
}

/// Who a form is kept for: a person, and the organization that their session is bonded to, if any. The same person
/// with another bond is another sender.
struct Sender {
    user: Uuid,
    sign_on: Option<Uuid>,
}

impl Sender {
    fn of(who: &SignedIn) -> Self {
        Self { user: who.user.uuid(), sign_on: who.sign_on.map(TenantId::uuid) }
    }
}

impl Authn {
    /// Keeps a form until its sender has proved a passkey, once, for the same person in the same browser. Returns the id
    /// to ask for it by, and the cookie that stands for the browser: without it nobody can plant a form in a session that
    /// they have got hold of, and have its owner confirm it.
    pub async fn keep_form(
        &self,
        who: &SignedIn,
        action: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<(Uuid, HeaderValue), Error> {
        let tx = self.begin_for(who).await?;
        self.keep(tx, &Sender::of(who), action, path, body).await
    }

    /// As [`enter`](Self::enter). Where the session has ended, the form of a page is kept for its person, and the error leads
    /// to the sign-in and from there to the form.
    pub async fn enter_or_keep<P: Plane>(
        &self,
        parts: &request::Parts,
        scope: Scope,
        action: &'static str,
    ) -> Result<(SignedIn, Tx<Read, P>, RequestAccess), Error> {
        match self.enter(parts, scope).await {
            Err(Error::Unauthenticated) if parts.method == Method::POST && web::wants_html(&parts.headers) => {
                Err(self.keep_for_sign_in(parts, action).await?)
            }
            entered => entered,
        }
    }

    async fn keep_for_sign_in(&self, parts: &request::Parts, action: &'static str) -> Result<Error, Error> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let sender = self.sender_of_ended(&parts.headers).await?.filter(|_| path.len() <= LONGEST_PATH);
        let Some(sender) = sender else { return Ok(Error::Unauthenticated) };
        let context: &Context =
            parts.extensions.get().ok_or_else(|| Error::internal("the edge is not around this route"))?;
        context.check_rate_limit(RateLimitKey::Network)?;
        let form = web::form_of_refused(parts).await?;
        let tx = self.0.db.begin_identity::<Write>().await?;
        let (id, cookie) = self.keep(tx, &sender, action, path, &form).await?;
        let addresses = &self.0.addresses;
        let resume = LocalPath::or_home(&format!("{}?kept={id}", addresses.resume));
        Ok(Error::StepUp(format!("{}?return_to={}", addresses.sign_in, resume.encoded()), Some(cookie)))
    }

    /// The person of the ended session whose token the browser shows, if nothing was suspicious about its end.
    async fn sender_of_ended(&self, headers: &HeaderMap) -> Result<Option<Sender>, Error> {
        // SECURITY: nothing is written without the 256 random bits of a session that existed here.
        let shown = session_cookie::token_of(headers).or_else(|| session_cookie::ended_token(headers)).map(hash);
        let Some(shown) = shown else { return Ok(None) };
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        // One request can replace the token and end the session. The browser then has the old token, which was still good.
        let sender = sqlx::query_as!(
            Sender,
            "select s.user_id as user, s.sign_on from identity.sessions s join identity.users u on u.id = s.user_id
              where (s.token_hash = $1 or s.previous_hash = $1
                     and s.previous_until > coalesce(s.ended_at, least(s.idle_expires_at, s.expires_at)))
                and (s.ended_at is not null or s.idle_expires_at <= $2 or s.expires_at <= $2)
                and coalesce(s.ended_why, '') <> all ($3::text[]) and u.locked_at is null",
            &shown[..],
            self.0.clock.now(),
            &session::SUSPICIOUS.map(str::to_owned)[..],
        );
        Ok(sender.fetch_optional(&mut *tx).await?)
    }

    async fn keep(
        &self,
        mut tx: Tx<Write, IdentityPlane>,
        sender: &Sender,
        action: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<(Uuid, HeaderValue), Error> {
        let (id, token, now) = (Uuid::now_v7(), Token::new()?, self.0.clock.now());
        let sealed = encrypt_with_token(token.reveal(), body);
        // By one request of a person at a time, so that parallel ones do not add up to more.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))", sender.user)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from identity.kept_requests where id in (
               select id from identity.kept_requests where user_id = $1 and sign_on is not distinct from $2
                order by id desc offset $3)",
            sender.user,
            sender.sign_on,
            MOST - 1,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into identity.kept_requests
               (id, user_id, sign_on, handle_hash, action, path, sealed, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            id,
            sender.user,
            sender.sign_on,
            &token.hash()[..],
            action,
            path,
            sealed,
            now,
            now + LIFETIME,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        let cookie = cookie::line(&name(id), token.reveal(), SameSite::Strict, Some(seconds));
        Ok((id, cookie.ok_or_else(|| Error::internal("no cookie"))?))
    }

    /// The form with this id, if this person has sent it, on the same word and from this browser.
    pub async fn kept_form(&self, who: &SignedIn, headers: &HeaderMap, id: Uuid) -> Result<Option<KeptForm>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let sender = Sender::of(who);
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        let form = sqlx::query_as!(
            KeptForm,
            "select action, created_at as sent_at from identity.kept_requests
              where id = $1 and user_id = $2 and sign_on is not distinct from $3 and handle_hash = $4 and expires_at > $5",
            id,
            sender.user,
            sender.sign_on,
            &hash(token)[..],
            self.0.clock.now(),
        );
        Ok(form.fetch_optional(&mut *tx).await?)
    }

    /// The same form, taken: it is done once or never.
    pub async fn take_form(&self, who: &SignedIn, headers: &HeaderMap, id: Uuid) -> Result<Option<Kept>, Error> {
        let mut tx = self.begin_for(who).await?;
        let kept = self.take_kept(&mut tx, who, headers, id).await?;
        tx.commit().await?;
        Ok(kept)
    }

    pub(crate) async fn take_kept(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
        id: Uuid,
    ) -> Result<Option<Kept>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let sender = Sender::of(who);
        // SECURITY: the same person, the same bond, the same browser, in time, once.
        let row = sqlx::query!(
            "delete from identity.kept_requests
              where id = $1 and user_id = $2 and sign_on is not distinct from $3 and handle_hash = $4 and expires_at > $5
             returning path, sealed",
            id,
            sender.user,
            sender.sign_on,
            &hash(token)[..],
            self.0.clock.now(),
        );
        let row = row.fetch_optional(&mut **tx).await?;
        Ok(row.and_then(|row| Some(Kept { body: decrypt_with_token(token, &row.sealed)?, path: row.path })))
    }
}

/// Name of the cookie that stands for the browser that sent a kept form.
fn name(id: Uuid) -> String {
    format!("kept-{}", id.simple())
}

/// Middleware around the whole application that does what a [`Kept`] form asked for, in the request that took it: the same
/// router, the same guards, the session with its newest token. `router` is the application without this, and `addresses`
/// has the routes whose handlers answer with such a form.
pub async fn go_on(State((router, addresses)): State<(Router, Addresses)>, request: Request, next: Next) -> Response {
    let resuming = [addresses.step_up, addresses.step_up_code, addresses.resume];
    if request.method() != Method::POST || !resuming.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (mut headers, context) = (request.headers().clone(), request.extensions().get::<Context>().cloned());
    let mut response = next.run(request).await;
    let Some(context) = context else { return response };
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    // What was kept may be such a form itself, and take another one. Each is taken once, so this ends.
    while let Some(Kept { path, body }) = response.extensions_mut().remove::<Kept>() {
        session_cookie::replace(response.headers(), &mut headers);
        let mut again = Request::new(Body::from(body));
        *again.method_mut() = Method::POST;
        *again.headers_mut() = headers.clone();
        *again.uri_mut() = match path.parse() {
            Ok(uri) => uri,
            Err(_) => return Error::internal("a kept form for what is no path").into_response(),
        };
        again.extensions_mut().insert(context.clone());
        let Ok(done) = router.clone().oneshot(again).await;
        response = with_cookies_of(&response, done);
    }
    response
}

/// `done` with the cookies of both. Those of `before` come first: what the form itself set is newer.
fn with_cookies_of(before: &Response, mut done: Response) -> Response {
    let newer: Vec<_> = done.headers().get_all(header::SET_COOKIE).iter().cloned().collect();
    done.headers_mut().remove(header::SET_COOKIE);
    for cookie in before.headers().get_all(header::SET_COOKIE).iter().cloned().chain(newer) {
        done.headers_mut().append(header::SET_COOKIE, cookie);
    }
    done
}
