use std::sync::Arc;

use audit::Event;
use axum::http::HeaderMap;
use axum::response::{IntoResponseParts, ResponseParts};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{Identity as IdentityPlane, TenantId, Tx, Write};
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Context, Error, LocalPath};

use crate::actor::actor;
use crate::authorization_request::{AuthorizationRequest, LIFETIME};
use crate::id_token::{ExpectedClaims, IdTokenError, ProviderIdentity};
use crate::logout_token::signed_out_since;
use crate::metadata::{Metadata, ProviderError};
use crate::provider::Provider;
use crate::secret::{Token, base64url, hash};
use crate::session::Authentication;
use crate::session_cookie::LOGIN;
use crate::{Authn, NewCookie, ProofOfWorkSolution, ProviderKey};

/// The maximum number of login flows of one browser. If there are more, the oldest is dropped.
const MAX_LOGIN_FLOWS: i64 = 5;

/// A provider that people can choose.
#[derive(Clone, Debug)]
pub struct ProviderChoice {
    /// The key in URLs.
    pub key: String,
    /// The name that people see.
    pub name: String,
}

/// The redirect of the browser for a login flow. As part of a response, it sets the short-lived cookie that binds the
/// flow to this browser.
#[derive(Debug)]
pub struct AuthorizationRedirect {
    /// The URL at the provider.
    pub url: String,
    handle: String,
}

impl IntoResponseParts for AuthorizationRedirect {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        // The cookie is lax, because the browser must send it after the provider's redirect. Its random handle is
        // useless without the state.
        let seconds = LIFETIME.num_seconds().unsigned_abs();
        cookie::set(response.headers_mut(), LOGIN, &self.handle, SameSite::Lax, Some(seconds));
        Ok(response)
    }
}

/// Why a sign-in failed, as far as the person may know. The log has the details. If a flow existed, so does the audit
/// trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInFailure {
    /// This browser has no flow. It was started elsewhere, is finished, or was started more than ten minutes ago.
    NoFlow,
    /// The person or the provider declined.
    Declined,
    /// The provider is down or slow.
    ProviderDown,
    /// The provider lacks something that is required, or is not set up for us. Retrying does not help.
    Unsupported,
    /// The response of the provider does not prove who the person is.
    Refused,
    /// The account is locked here.
    Locked,
}

/// The parameters that a provider sends back (RFC 6749, section 4.1.2; RFC 9207).
#[derive(Debug, Default)]
struct AuthorizationResponse {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
    /// Whether an important parameter occurs twice. Two parsers could disagree on which one counts.
    ambiguous: bool,
}

impl AuthorizationResponse {
    fn parse(query: &str) -> Self {
        let mut answer = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "code" => &mut answer.code,
                "state" => &mut answer.state,
                "iss" => &mut answer.iss,
                "error" => &mut answer.error,
                _ => continue,
            };
            answer.ambiguous |= place.replace(value.into_owned()).is_some();
        }
        answer
    }
}

/// Interprets an error from a provider (RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6). An
/// unknown error counts as declined.
fn declined(error: &str) -> SignInFailure {
    match error {
        "server_error" | "temporarily_unavailable" => SignInFailure::ProviderDown,
        "invalid_request"
        | "unauthorized_client"
        | "unsupported_response_type"
        | "invalid_scope"
        | "invalid_request_uri"
        | "invalid_request_object"
        | "request_not_supported"
        | "request_uri_not_supported"
        | "registration_not_supported" => SignInFailure::Unsupported,
        _ => SignInFailure::Declined,
    }
}

impl From<ProviderError> for SignInFailure {
    fn from(unusable: ProviderError) -> Self {
        match unusable {
            ProviderError::NotNow(_) => Self::ProviderDown,
            ProviderError::Unsupported(_) => Self::Unsupported,
        }
    }
}

/// A row of `identity.login_flows`. It is deleted when it is taken.
struct LoginFlow {
    issuer: String,
    nonce: String,
    pkce_verifier: String,
    return_to: String,
    created_at: DateTime<Utc>,
    replaces: Option<Uuid>,
    reauthenticate: bool,
}

/// A login flow that is about to start.
struct NewLoginFlow<'a> {
    key: &'a ProviderKey,
    issuer: &'a str,
    state: &'a Token,
    nonce: &'a Token,
    verifier: &'a Token,
    return_to: &'a LocalPath,
    reauthenticate: bool,
}

impl Authn {
    /// Returns the providers that people can choose.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderChoice> {
        let choice = |(key, provider): (&String, &Arc<Provider>)| ProviderChoice {
            key: key.clone(),
            name: provider.config.name.clone(),
        };
        self.0.providers.iter().map(choice).collect()
    }

    /// Starts a login flow. With `reauthenticate` the provider must authenticate the person again and not rely on its
    /// own session.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such provider. [`Error::ProofOfWork`] or [`Error::TooMany`] if the network
    /// has started many sign-ins. The inner error says why the provider cannot be used now.
    pub async fn start_sign_in(
        &self,
        key: &ProviderKey,
        return_to: &LocalPath,
        reauthenticate: bool,
        solution: &ProofOfWorkSolution,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<AuthorizationRedirect, SignInFailure>, Error> {
        self.check_sign_in(key, solution, context).await?;
        let provider = self.provider(key).await?;
        let (state, nonce, verifier) = (Token::new()?, Token::new()?, Token::new()?);
        let challenge = base64url(&verifier.hash());
        let request = AuthorizationRequest {
            state: state.reveal(),
            nonce: nonce.reveal(),
            challenge: &challenge,
            reauthenticate,
        };
        let url = match provider.metadata(&self.0.clock).await {
            Ok(metadata) => provider.authorization_url(&metadata, &request).await,
            Err(error) => Err(error),
        };
        let url = match url {
            Ok(url) => url,
            Err(error) => {
                tracing::error!(provider = %key, %error, "identity provider unusable");
                self.record_failure(key, &error.to_string(), context).await?;
                return Ok(Err(error.into()));
            }
        };
        let flow = NewLoginFlow {
            key,
            issuer: &provider.config.issuer,
            state: &state,
            nonce: &nonce,
            verifier: &verifier,
            return_to,
            reauthenticate,
        };
        let handle = self.store_login_flow(flow, headers).await?;
        Ok(Ok(AuthorizationRedirect { url: url.into(), handle: handle.reveal().to_owned() }))
    }

    /// Stores a login flow for this browser. If the browser has too many, its oldest flow is dropped. Returns the
    /// handle for the cookie.
    async fn store_login_flow(&self, flow: NewLoginFlow<'_>, headers: &HeaderMap) -> Result<Token, Error> {
        let now = self.0.clock.now();
        // All tabs of a browser share one handle. Each flow has its own state.
        let handle = Token::of_browser(headers, LOGIN)?;
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        // The browser sends the strict session cookie with this request, but not with the redirect back.
        let here = self.session_of_browser(&mut tx, headers).await?;
        sqlx::query!("select pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 3))", &handle.hash()[..])
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "delete from identity.login_flows where handle_hash = $1 and state_hash in
               (select state_hash from identity.login_flows where handle_hash = $1 order by created_at desc, state_hash offset $2)",
            &handle.hash()[..],
            MAX_LOGIN_FLOWS - 1,
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "insert into identity.login_flows
               (handle_hash, state_hash, provider, issuer, nonce, pkce_verifier, return_to, created_at, expires_at,
                replaces, reauthenticate)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &handle.hash()[..],
            &flow.state.hash()[..],
            &**flow.key,
            flow.issuer,
            flow.nonce.reveal(),
            flow.verifier.reveal(),
            flow.return_to.as_str(),
            now,
            now + LIFETIME,
            here,
            flow.reauthenticate,
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(handle)
    }

    /// Finishes a login flow with the response of the provider. It takes the flow (once), checks the response,
    /// exchanges the code, verifies the ID token and creates a session. Either all of this happens or none of it.
    ///
    /// Nothing is counted here. A flow takes one response, and it was counted when it started. A response without a
    /// flow is only logged, so forged responses use up no limit that others share. They also end nothing: the right
    /// response can still finish the flow.
    ///
    /// # Errors
    ///
    /// The database fails. The inner error says why the person is not signed in.
    pub async fn finish_sign_in(
        &self,
        key: &ProviderKey,
        query: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<(NewCookie, LocalPath), SignInFailure>, Error> {
        let now = self.0.clock.now();
        let answer = AuthorizationResponse::parse(query);
        let Some(login) = self.take_login(key, &answer, headers, now).await? else {
            tracing::warn!(provider = %key, "sign-in failed: no flow for this browser and state");
            return Ok(Err(SignInFailure::NoFlow));
        };
        let provider = self.provider(key).await?;
        match self.redeem(&provider, answer, &login).await {
            Ok(identity) => self.begin_session(key, provider.organization, identity, &login, headers, context).await,
            Err((failure, reason)) => {
                tracing::warn!(provider = %key, reason = %web::visible(&reason, 300), "sign-in failed");
                self.record_failure(key, &reason, context).await?;
                Ok(Err(failure))
            }
        }
    }

    async fn take_login(
        &self,
        key: &ProviderKey,
        answer: &AuthorizationResponse,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Option<LoginFlow>, Error> {
        let (Some(handle), Some(state)) = (cookie::get(headers, LOGIN), &answer.state) else {
            return Ok(None);
        };
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let login = sqlx::query_as!(
            LoginFlow,
            "delete from identity.login_flows
              where handle_hash = $1 and state_hash = $2 and provider = $3 and expires_at > $4
             returning issuer, nonce, pkce_verifier, return_to, created_at, replaces, reauthenticate",
            &hash(handle)[..],
            &hash(state)[..],
            &**key,
            now,
        )
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(login)
    }

    async fn redeem(
        &self,
        provider: &Provider,
        answer: AuthorizationResponse,
        login: &LoginFlow,
    ) -> Result<ProviderIdentity, (SignInFailure, String)> {
        if answer.ambiguous {
            return Err((SignInFailure::Refused, "response: a parameter occurs twice".to_owned()));
        }
        let metadata: Arc<Metadata> =
            provider.metadata(&self.0.clock).await.map_err(|error| (error.clone().into(), error.to_string()))?;
        // RFC 9207 identifies the issuer of the response. This is checked before anything is sent, so that a code of
        // one provider never reaches another.
        if login.issuer != provider.config.issuer
            || answer.iss.as_ref().map_or(metadata.names_issuer, |iss| *iss != login.issuer)
        {
            return Err((
                SignInFailure::Refused,
                "response: it has another issuer, or lacks a promised one".to_owned(),
            ));
        }
        if let Some(error) = answer.error {
            return Err((declined(&error), format!("response: error {}", web::visible(&error, 64))));
        }
        let code = answer.code.filter(|code| (1..=2048).contains(&code.len()));
        let code = code.ok_or((SignInFailure::Refused, "response: no code".to_owned()))?;
        let LoginFlow { nonce, pkce_verifier, created_at: started, reauthenticate, .. } = login;
        let expected = ExpectedClaims { nonce, pkce_verifier, started: *started, reauthenticate: *reauthenticate };
        provider.redeem(&code, expected, &self.0.clock).await.map_err(|error| {
            let reason = error.to_string();
            let failure = match error {
                IdTokenError::Provider(unusable) => unusable.into(),
                IdTokenError::Token(_) => SignInFailure::Refused,
            };
            if failure == SignInFailure::Unsupported {
                tracing::error!(issuer = provider.config.issuer, reason, "identity provider unusable");
            }
            (failure, reason)
        })
    }

    async fn begin_session(
        &self,
        key: &ProviderKey,
        organization: Option<TenantId>,
        mut identity: ProviderIdentity,
        login: &LoginFlow,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<(NewCookie, LocalPath), SignInFailure>, Error> {
        let mut tx = self.0.db.begin_identity_for::<Write>(organization).await?;
        if let Some(tenant) = organization {
            // This is checked before the token is trusted for anything.
            if !self.is_still_connected(&mut tx, tenant, &identity.issuer, login.created_at).await? {
                drop(tx);
                self.record_failure(key, "the provider was changed", context).await?;
                return Ok(Err(SignInFailure::Refused));
            }
            let email = identity.email.as_deref().unwrap_or_default();
            identity.email_verified &= self.may_verify_address(&mut tx, tenant, email).await?;
        }
        let signed_out = signed_out_since(&mut tx, key, &identity).await?;
        let (user, locked) = self.find_or_create_user(&mut tx, organization, &identity, context).await?;
        let refused = match (locked, signed_out) {
            (true, _) => Some((SignInFailure::Locked, "the account is locked")),
            (false, true) => Some((SignInFailure::Refused, "signed out at the provider")),
            (false, false) => None,
        };
        if let Some((failure, reason)) = refused {
            let by = actor(context, Some(user), None);
            let details = json!({ "provider": **key, "reason": reason });
            let event = Event { kind: "sign_in.failed", target: format!("User::{user}"), details };
            event.record(&mut tx, &by).await?;
            tx.commit().await?;
            return Ok(Err(failure));
        }
        if let Some(replaced) = login.replaces {
            self.end_replaced_session(&mut tx, replaced, context).await?;
        }
        if let Some(tenant) = organization {
            self.record_sso_authentication(&mut tx, tenant, user, &identity).await?;
        }
        let authentication = Authentication::by_provider(key, organization, &identity);
        let (session, token) = self.create_session(&mut tx, user, authentication, context).await?;
        let by = actor(context, Some(user), Some(session));
        let details = json!({ "provider": **key, "device": context.client.device });
        let event = Event { kind: "sign_in.succeeded", target: format!("Session::{session}"), details };
        event.record(&mut tx, &by).await?;
        let others = self.supersede_in_other_tabs(&mut tx, headers, session).await?;
        tx.commit().await?;
        Ok(Ok((NewCookie::after_sign_in(&token, others), LocalPath::or_home(&login.return_to))))
    }

    /// Makes login flows in other tabs of this browser replace its new session. Returns whether there are any.
    pub(crate) async fn supersede_in_other_tabs(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        headers: &HeaderMap,
        session: Uuid,
    ) -> Result<bool, Error> {
        let Some(handle) = cookie::get(headers, LOGIN) else { return Ok(false) };
        let others = sqlx::query!(
            "update identity.login_flows set replaces = $2 where handle_hash = $1 and expires_at > $3",
            &hash(handle)[..],
            session,
            self.0.clock.now(),
        );
        Ok(others.execute(&mut **tx).await?.rows_affected() > 0)
    }

    /// Returns the page that a finished or expired login flow should have opened, if it is still stored.
    ///
    /// # Errors
    ///
    /// The database fails.
    pub async fn return_to_of(&self, query: &str, headers: &HeaderMap) -> Result<LocalPath, Error> {
        let (Some(handle), Some(state)) = (cookie::get(headers, LOGIN), AuthorizationResponse::parse(query).state)
        else {
            return Ok(LocalPath::or_home(""));
        };
        let mut tx = self.0.db.begin_identity::<tenancy::Read>().await?;
        let page = sqlx::query_scalar!(
            "select return_to from identity.login_flows where handle_hash = $1 and state_hash = $2",
            &hash(handle)[..],
            &hash(&state)[..],
        );
        Ok(LocalPath::or_home(&page.fetch_optional(&mut *tx).await?.unwrap_or_default()))
    }

    async fn record_failure(&self, key: &ProviderKey, reason: &str, context: &Context) -> Result<(), Error> {
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let details = json!({ "provider": **key, "reason": web::visible(reason, 300) });
        let event = Event { kind: "sign_in.failed", target: format!("Provider::{key}"), details };
        event.record(&mut tx, &actor(context, None, None)).await?;
        tx.commit().await?;
        Ok(())
    }
}
