//! Forms that were submitted but not executed yet. A form may wait for a factor, or for its person to sign in again
//! after the session has ended. A deferred request has no authority of its own. When it is executed, the guards decide
//! as they do for any other request.

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
use web::{Addresses, Context, Error, LocalPath};

use crate::secret::{Token, hash};
use crate::{Authn, SignedIn, session, session_cookie};

/// How long a request stays deferred.
const LIFETIME: Duration = Duration::minutes(10);
/// The maximum number of deferred requests of one person and bond. If there are more, the oldest is dropped.
const MAX_PER_PERSON: i64 = 5;
/// The maximum length of a path that is stored, in bytes. Our paths are shorter.
const MAX_PATH: usize = 2048;

/// A deferred form that was taken from the database. [`resume_deferred_request`] executes it.
#[derive(Clone, Debug)]
pub struct DeferredRequest {
    path: String,
    body: Vec<u8>,
}

impl IntoResponse for DeferredRequest {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// The part of a deferred request that the confirmation page shows.
#[derive(Debug)]
pub struct DeferredRequestSummary {
    /// The name of the action.
    pub action: String,
    /// When it was submitted.
    pub sent_at: DateTime<Utc>,
}

/// The owner of a deferred request: a person, and the organization that their session is bonded to, if any. The same
/// person with another bond is a different owner.
struct RequestOwner {
    user: Uuid,
    sso_tenant: Option<Uuid>,
}

impl RequestOwner {
    fn of(who: &SignedIn) -> Self {
        Self { user: who.user.uuid(), sso_tenant: who.sso_tenant.map(TenantId::uuid) }
    }
}

impl Authn {
    /// Defers a form until its person has verified a factor. Only the same person in the same browser can resume it.
    /// Returns its id and a cookie for the browser. Without that cookie, an attacker with a stolen session could plant
    /// a form, and the owner of the session could confirm it.
    ///
    /// # Errors
    ///
    /// The session has ended, or the database fails.
    pub async fn defer_request(
        &self,
        who: &SignedIn,
        action: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<(Uuid, HeaderValue), Error> {
        let tx = self.begin_for(who).await?;
        self.store(tx, &RequestOwner::of(who), action, path, body).await
    }

    /// Authenticates a request as [`authenticate`](Self::authenticate) does. If the session has ended, the form of a
    /// page is deferred for its person. The error then leads to the sign-in, and from there to the form.
    ///
    /// # Errors
    ///
    /// The errors of [`authenticate`](Self::authenticate). [`Error::StepUp`] leads to the sign-in.
    pub async fn authenticate_or_defer<P: Plane>(
        &self,
        parts: &request::Parts,
        scope: Scope,
        action: &'static str,
    ) -> Result<(SignedIn, Tx<Read, P>, RequestAccess), Error> {
        match self.authenticate(parts, scope).await {
            Err(Error::Unauthenticated) if parts.method == Method::POST && web::wants_html(&parts.headers) => {
                Err(self.defer_until_sign_in(parts, action).await?)
            }
            entered => entered,
        }
    }

    async fn defer_until_sign_in(&self, parts: &request::Parts, action: &'static str) -> Result<Error, Error> {
        let context: &Context =
            parts.extensions.get().ok_or_else(|| Error::internal("the edge is not around this route"))?;
        context.check_rate_limit_of_unknown()?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let owner = self.owner_of_ended_session(&parts.headers).await?.filter(|_| path.len() <= MAX_PATH);
        let Some(owner) = owner else { return Ok(Error::Unauthenticated) };
        let form = web::form_of_refused(parts).await?;
        let tx = self.0.db.begin_identity::<Write>().await?;
        let (id, cookie) = self.store(tx, &owner, action, path, &form).await?;
        let addresses = &self.0.addresses;
        let resume = LocalPath::or_home(&format!("{}?deferred={id}", addresses.resume));
        Ok(Error::StepUp(format!("{}?return_to={}", addresses.sign_in, resume.encoded()), Some(cookie)))
    }

    /// Returns the person of the ended session whose token the browser sent. Returns `None` if the session ended for a
    /// suspicious reason.
    async fn owner_of_ended_session(&self, headers: &HeaderMap) -> Result<Option<RequestOwner>, Error> {
        // SECURITY: nothing is written without the 256 random bits of a session that existed here.
        let shown = session_cookie::token_of(headers).or_else(|| session_cookie::ended_token(headers)).map(hash);
        let Some(shown) = shown else { return Ok(None) };
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        // One request can replace the token and end the session. The browser then still has the old token, which was
        // valid.
        let owner = sqlx::query_as!(
            RequestOwner,
            "select s.user_id as user, s.sso_tenant_id as sso_tenant from identity.sessions s join identity.users u on u.id = s.user_id
              where (s.token_hash = $1 or s.previous_hash = $1
                     and s.previous_until > coalesce(s.ended_at, least(s.idle_expires_at, s.expires_at)))
                and (s.ended_at is not null or s.idle_expires_at <= $2 or s.expires_at <= $2)
                and coalesce(s.ended_reason, '') <> all ($3::text[]) and u.locked_at is null",
            &shown[..],
            self.0.clock.now(),
            &session::SUSPICIOUS.map(str::to_owned)[..],
        );
        Ok(owner.fetch_optional(&mut *tx).await?)
    }

    async fn store(
        &self,
        mut tx: Tx<Write, IdentityPlane>,
        owner: &RequestOwner,
        action: &'static str,
        path: &str,
        body: &[u8],
    ) -> Result<(Uuid, HeaderValue), Error> {
        let (id, token, now) = (Uuid::now_v7(), Token::new()?, self.0.clock.now());
        let encrypted = encrypt_with_token(token.reveal(), body);
        // Only one request per person runs this at a time, so parallel requests do not exceed the maximum.
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 1))", owner.user)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from identity.deferred_requests where id in (
               select id from identity.deferred_requests where user_id = $1 and sso_tenant_id is not distinct from $2
                order by id desc offset $3)",
            owner.user,
            owner.sso_tenant,
            MAX_PER_PERSON - 1,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into identity.deferred_requests
               (id, user_id, sso_tenant_id, handle_hash, action, path, ciphertext, created_at, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            id,
            owner.user,
            owner.sso_tenant,
            &token.hash()[..],
            action,
            path,
            encrypted,
            now,
            now + LIFETIME,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        let cookie = cookie::header_value(&name(id), token.reveal(), SameSite::Strict, Some(seconds));
        Ok((id, cookie.ok_or_else(|| Error::internal("no cookie"))?))
    }

    /// Returns the deferred request with this id, if it belongs to the same person and bond in the same browser.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn deferred_request(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        id: Uuid,
    ) -> Result<Option<DeferredRequestSummary>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let owner = RequestOwner::of(who);
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        let form = sqlx::query_as!(
            DeferredRequestSummary,
            "select action, created_at as sent_at from identity.deferred_requests
              where id = $1 and user_id = $2 and sso_tenant_id is not distinct from $3 and handle_hash = $4 and expires_at > $5",
            id,
            owner.user,
            owner.sso_tenant,
            &hash(token)[..],
            self.0.clock.now(),
        );
        Ok(form.fetch_optional(&mut *tx).await?)
    }

    /// Takes the deferred request. It is executed once or never.
    ///
    /// # Errors
    ///
    /// The session has ended, or the database fails.
    pub async fn take_deferred_request(
        &self,
        who: &SignedIn,
        headers: &HeaderMap,
        id: Uuid,
    ) -> Result<Option<DeferredRequest>, Error> {
        let mut tx = self.begin_for(who).await?;
        let deferred = self.take_deferred_request_in(&mut tx, who, headers, id).await?;
        tx.commit().await?;
        Ok(deferred)
    }

    pub(crate) async fn take_deferred_request_in(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        who: &SignedIn,
        headers: &HeaderMap,
        id: Uuid,
    ) -> Result<Option<DeferredRequest>, Error> {
        let Some(token) = cookie::get(headers, &name(id)) else { return Ok(None) };
        let owner = RequestOwner::of(who);
        // SECURITY: the same person, the same bond, the same browser, in time, once.
        let row = sqlx::query!(
            "delete from identity.deferred_requests
              where id = $1 and user_id = $2 and sso_tenant_id is not distinct from $3 and handle_hash = $4 and expires_at > $5
             returning path, ciphertext",
            id,
            owner.user,
            owner.sso_tenant,
            &hash(token)[..],
            self.0.clock.now(),
        );
        let row = row.fetch_optional(&mut **tx).await?;
        Ok(row.and_then(|row| {
            Some(DeferredRequest { body: decrypt_with_token(token, &row.ciphertext)?, path: row.path })
        }))
    }
}

/// Returns the name of the cookie that identifies the browser of a deferred request.
fn name(id: Uuid) -> String {
    format!("deferred-{}", id.simple())
}

/// Middleware around the whole application that executes a [`DeferredRequest`] in the request that took it. It uses the
/// same router, the same guards, and the newest token of the session. `router` is the application without this
/// middleware. `addresses` names the routes whose handlers return a deferred request.
pub async fn resume_deferred_request(
    State((router, addresses)): State<(Router, Addresses)>,
    request: Request,
    next: Next,
) -> Response {
    let resuming = [addresses.step_up, addresses.step_up_code, addresses.resume];
    if request.method() != Method::POST || !resuming.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let (mut headers, context) = (request.headers().clone(), request.extensions().get::<Context>().cloned());
    let mut response = next.run(request).await;
    let Some(context) = context else { return response };
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    // The deferred form may itself take another one. Each one is taken only once, so this loop ends.
    while let Some(DeferredRequest { path, body }) = response.extensions_mut().remove::<DeferredRequest>() {
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
        response = cookie::with_cookies_of(&response, done);
    }
    response
}
