use std::ops::Deref;
use std::time::Instant;

use audit::Actor;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use chrono::{DateTime, Utc};
use tenancy::{ClientFacts, Plane, PresentedToken, Read, RequestAccess, Scope, TenantId, Tx, Write, WriteLocks};
use web::{Context, Error, RateLimitKey};

use crate::dpop::{ALGORITHMS, Proof, RequestTarget};
use crate::{Scopes, Tokens};

/// An API client that is active, with its [`ClientFacts`].
///
/// It cannot be constructed or changed elsewhere:
///
/// ```compile_fail,E0451
/// fn forge(client: tokens::ApiClient, scopes: tokens::Scopes) -> tokens::ApiClient {
///     tokens::ApiClient { scopes, ..client }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ApiClient {
    facts: ClientFacts,
    scopes: Scopes,
    /// What the client presented, to look it up again when the request writes.
    presented: PresentedToken,
    since: DateTime<Utc>,
    scheme: Scheme,
    context: Context,
}

impl Deref for ApiClient {
    type Target = ClientFacts;

    fn deref(&self) -> &ClientFacts {
        &self.facts
    }
}

impl ApiClient {
    /// The scopes of this request: those of the client, narrowed by its token. The role it acts with limits them further.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Whether a decision about one also holds for the other.
    #[must_use]
    pub fn is_equivalent_to(&self, other: &Self) -> bool {
        self.facts == other.facts
    }

    /// When it authenticated.
    #[must_use]
    pub fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The request.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The actor of this request, for the audit trail.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            user: self.user,
            client: Some(self.client),
            client_name: self.name.clone(),
            ..Actor::unknown(self.context.request, self.context.client.network.clone())
        }
    }
}

/// How a client authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
    Signature,
}

/// The verified credentials of a request.
struct Authenticated {
    presented: PresentedToken,
    /// Organization and scopes of the token. A signature has none.
    token: Option<(TenantId, String)>,
    since: DateTime<Utc>,
    scheme: Scheme,
}

impl Scheme {
    fn of(headers: &HeaderMap) -> Option<(Self, &str)> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let signed = headers.contains_key("signature-input");
        match (given.next(), given.next(), signed) {
            (None, None, true) => Some((Self::Signature, "")),
            (Some(value), None, false) => {
                let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
                match scheme.to_ascii_lowercase().as_str() {
                    "bearer" => Some((Self::Bearer, token)),
                    "dpop" => Some((Self::Dpop, token)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
            Self::Signature => "Signature",
        }
    }
}

/// What is wrong with the credentials.
#[derive(Clone, Copy)]
enum InvalidCredential {
    Token,
    /// The token is bound to a key and came without a proof, or the reverse.
    Scheme,
    Proof,
}

impl Tokens {
    /// RFC 6750, section 3, RFC 9449, section 7.1, and RFC 9728, section 5.1.
    fn challenge(&self, scheme: Scheme, error: &str) -> String {
        let algs = if scheme == Scheme::Dpop { format!(", algs=\"{}\"", ALGORITHMS.join(" ")) } else { String::new() };
        let (name, issuer, metadata) = (scheme.name(), self.issuer(), self.0.authn.addresses().resource_metadata);
        format!("{name} realm=\"api\"{error}{algs}, resource_metadata=\"{issuer}{metadata}\"")
    }

    fn refuses(&self, scheme: Scheme, what: InvalidCredential) -> Error {
        let (error, text) = match (scheme, what) {
            (Scheme::Signature, _) => (
                "invalid_signature",
                "The signature is not valid: it covers something else, was used before, is older than a minute, or the client \
                 or its secret has ended.",
            ),
            (_, InvalidCredential::Proof) => {
                ("invalid_dpop_proof", "The DPoP proof is missing, used, too old or for another request.")
            }
            (Scheme::Dpop, InvalidCredential::Scheme) => {
                ("invalid_token", "The access token is bound to no key. Send it as Bearer.")
            }
            (_, InvalidCredential::Scheme) => {
                ("invalid_token", "The access token is bound to a key. Send it as DPoP, with a proof of the key.")
            }
            (_, InvalidCredential::Token) => {
                ("invalid_token", "The access token is not valid: it has expired or was revoked.")
            }
        };
        unauthorized(&self.challenge(scheme, &format!(", error=\"{error}\"")), text)
    }

    /// The response to a client whose scopes, or whose token's scopes, do not include an action.
    #[must_use]
    pub fn insufficient_scope(&self, client: &ApiClient, action: &'static str) -> Error {
        let error = format!(", error=\"insufficient_scope\", scope=\"{action}\"");
        let challenge = HeaderValue::try_from(self.challenge(client.scheme, &error)).ok();
        let what = if client.facts.scopes.iter().any(|scope| scope == action) { "access token" } else { "client" };
        Error::NotPermitted(format!("This needs the scope {action}, which the {what} does not have.").into(), challenge)
    }

    /// Authenticates a request of an API client, and looks up what it may access at `scope`. One round trip, and two more
    /// before it if a proof or signature is used up. Cookies are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Challenge`] without valid credentials, [`Error::TooMany`] above a rate limit.
    pub async fn authenticate<P: Plane>(
        &self,
        parts: &mut Parts,
        scope: Scope,
    ) -> Result<(ApiClient, Tx<Read, P>, RequestAccess), Error> {
        let context: Context =
            parts.extensions.get().cloned().ok_or_else(|| Error::internal("the edge is not around this route"))?;
        let now = self.0.authn.clock().now();
        let Authenticated { presented, token, since, scheme } = self.verify_credentials(parts, &context, now).await?;
        let found = self.0.db.authenticate_client::<Read, P>(presented, scope, WriteLocks::default()).await?;
        let (facts, tx, access) = found.ok_or_else(|| self.refuses(scheme, InvalidCredential::Token))?;
        let other_tenant = token.as_ref().is_some_and(|(tenant, _)| *tenant != facts.tenant);
        if other_tenant {
            return Err(self.refuses(scheme, InvalidCredential::Token));
        }
        if facts.dpop && scheme != Scheme::Dpop {
            return Err(self.refuses(scheme, InvalidCredential::Scheme));
        }
        let mut scopes = Scopes::stored(facts.scopes.clone(), self.offered());
        if let Some((_, said)) = token {
            scopes = scopes.within(&Scopes::stored(said.split(' ').map(str::to_owned).collect(), self.offered()));
        }
        tracing::Span::current().record("user", tracing::field::display(facts.client));
        // All clients of one person together get the limit of one person.
        if let Some(user) = facts.user {
            context.check_rate_limit(RateLimitKey::ClientsOf(user.uuid(), facts.tenant.uuid()))?;
        }
        context.check_rate_limit(RateLimitKey::Organization(facts.tenant.uuid()))?;
        Ok((ApiClient { facts, scopes, presented, since, scheme, context }, tx, access))
    }

    /// Authenticates a client again before its request writes. The scopes of its token stay as they were. One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Challenge`], as for a new request.
    pub async fn reauthenticate<P: Plane>(
        &self,
        client: &ApiClient,
        scope: Scope,
        locks: WriteLocks,
    ) -> Result<(ApiClient, Tx<Write, P>, RequestAccess), Error> {
        let found = self.0.db.authenticate_client::<Write, P>(client.presented, scope, locks).await?;
        let (facts, tx, access) = found.ok_or_else(|| self.refuses(client.scheme, InvalidCredential::Token))?;
        let given = Scopes::stored(facts.scopes.clone(), self.offered());
        let scopes = client.scopes.clone().within(&given);
        Ok((ApiClient { facts, scopes, ..client.clone() }, tx, access))
    }

    async fn verify_credentials(
        &self,
        parts: &mut Parts,
        context: &Context,
        now: DateTime<Utc>,
    ) -> Result<Authenticated, Error> {
        let none = || {
            let [bearer, dpop] = [Scheme::Bearer, Scheme::Dpop].map(|scheme| self.challenge(scheme, ""));
            unauthorized(
                &format!("{bearer}, {dpop}"),
                "The request has no access token and no signature, or more than one.",
            )
        };
        let (scheme, token) = Scheme::of(&parts.headers).ok_or_else(none)?;
        if scheme == Scheme::Signature {
            let client = self
                .signer(parts, context, now)
                .await?
                .ok_or_else(|| self.refuses(scheme, InvalidCredential::Token))?;
            let presented = PresentedToken { client, family: None, jti: None };
            return Ok(Authenticated { presented, token: None, since: now, scheme });
        }
        let began = Instant::now();
        let verified = self.verify(token).await?.ok_or_else(|| self.refuses(scheme, InvalidCredential::Token))?;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::Span::current().record("token_micros", micros);
        // Our signature identifies the client. It is counted before anything is written, even if the client has since been
        // revoked.
        context.check_rate_limit(RateLimitKey::Client(verified.client_id))?;
        match (scheme, &verified.cnf) {
            (Scheme::Bearer, None) => {}
            (Scheme::Dpop, Some(bound)) => {
                let url = format!("{}{}", self.issuer(), parts.uri.path());
                let request = RequestTarget { method: parts.method.as_str(), url: &url };
                let proof = Proof::of(&parts.headers, request, Some(token), now).ok().flatten();
                let proof = proof.filter(|proof| proof.jkt == bound.jkt);
                let proof = proof.ok_or_else(|| self.refuses(scheme, InvalidCredential::Proof))?;
                let mut tx = self.0.db.begin_identity::<Write>().await?;
                if !proof.take(&mut tx, now).await? {
                    return Err(self.refuses(scheme, InvalidCredential::Proof));
                }
                tx.commit().await?;
            }
            // RFC 9449, section 7.2: a bound token is worth nothing without its key, and only a bound token comes with one.
            (Scheme::Bearer | Scheme::Dpop | Scheme::Signature, _) => {
                return Err(self.refuses(scheme, InvalidCredential::Scheme));
            }
        }
        let presented =
            PresentedToken { client: verified.client_id, family: Some(verified.family), jti: Some(verified.jti) };
        let since = DateTime::from_timestamp(verified.iat, 0).unwrap_or(now);
        Ok(Authenticated { presented, token: Some((verified.tenant, verified.scope)), since, scheme })
    }
}

fn unauthorized(challenge: &str, text: &'static str) -> Error {
    let bare = HeaderValue::from_static("Bearer");
    Error::Challenge(HeaderValue::try_from(challenge).unwrap_or(bare), text)
}
