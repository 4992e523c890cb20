use audit::{Actor, Event};
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use tenancy::{Identity, Mode, Read, TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Context, Error};

use crate::access::TokenSubject;
use crate::dpop::{Proof, RequestTarget};
use crate::refresh::{self, Rotation};
use crate::secret::{self, Hash};
use crate::{Scopes, Tokens};
use authn::RateLimit;

/// What a client requests from the token endpoint.
#[derive(Debug)]
pub enum Grant {
    /// A first token, with these scopes or with all of the client.
    ClientCredentials(Option<String>),
    /// A new token for a refresh token, with these scopes or with all.
    RefreshToken(SecretString, Option<String>),
}

/// RFC 6749, section 5.1.
#[derive(Serialize)]
pub struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
    scope: String,
    refresh_token: String,
}

/// Why no token is issued.
#[derive(Debug)]
pub enum TokenError {
    /// An error code of RFC 6749, section 5.2 or RFC 9449, section 5, and a sentence for the developer of the client.
    Oauth(&'static str, &'static str),
    /// An error that is not about the OAuth request.
    Web(Error),
}

impl<E: Into<Error>> From<E> for TokenError {
    fn from(error: E) -> Self {
        Self::Web(error.into())
    }
}

const UNKNOWN_CLIENT: TokenError = TokenError::Oauth("invalid_client", "No such client, or another secret.");
const NO_CREDENTIALS: TokenError =
    TokenError::Oauth("invalid_client", "The request does not say which client it is from.");
const TWO_CREDENTIALS: TokenError =
    TokenError::Oauth("invalid_request", "Authenticate in the header or in the body, not in both.");
const INVALID_SCOPE: TokenError = TokenError::Oauth("invalid_scope", "The client does not have this scope.");
const SECRET_TOO_OLD: TokenError =
    TokenError::Oauth("invalid_client", "The secret is older than 90 days. Create a new one.");
const SECRET_EXPIRED: TokenError = TokenError::Oauth("invalid_client", "The secret has expired. Create a new one.");
const INVALID_GRANT: TokenError =
    TokenError::Oauth("invalid_grant", "This refresh token is used, expired, revoked or not yours.");
const INVALID_DPOP_PROOF: TokenError =
    TokenError::Oauth("invalid_dpop_proof", "The DPoP proof is missing, used, too old or for another request.");

/// Wrong secrets for one client from one network.
const WRONG_SECRET_LIMIT: RateLimit = RateLimit { name: "api client", burst: 20, period: Duration::seconds(3) };
/// Refusals that are recorded for one client, network and reason. A client that is refused all the time does not fill the
/// audit trail or hide anything in it.
const RECORDED_REFUSALS_LIMIT: RateLimit =
    RateLimit { name: "api client refused", burst: 3, period: Duration::hours(1) };

/// A client that has authenticated with its secret.
struct AuthenticatedClient {
    id: Uuid,
    name: String,
    tenant: TenantId,
    user: Option<UserId>,
    scopes: Vec<String>,
    dpop: bool,
    version: i32,
    ends_at: DateTime<Utc>,
    /// Its secret has the maximum lifetime.
    longest: bool,
}

impl AuthenticatedClient {
    fn identity(&self) -> ClientIdentity {
        ClientIdentity { client: self.id, name: self.name.clone(), tenant: self.tenant, user: self.user }
    }
}

/// The client as an entity of the policies.
fn target(client: Uuid) -> String {
    format!("ApiClient::\"{client}\"")
}

/// A client, and who it belongs to.
struct ClientIdentity {
    client: Uuid,
    name: String,
    tenant: TenantId,
    user: Option<UserId>,
}

impl ClientIdentity {
    fn actor(&self, context: &Context) -> Actor {
        Actor {
            user: self.user,
            client: Some(self.client),
            client_name: self.name.clone(),
            ..Actor::unknown(context.request, context.client.network.clone())
        }
    }
}

/// Decodes one half of the `Authorization` header, which is form-encoded (RFC 6749, section 2.3.1 and appendix B). Our ids
/// and secrets contain no reserved characters, so an unencoded half decodes to itself.
fn decoded(half: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(half.as_bytes());
    match (pairs.next(), pairs.next()) {
        (Some((text, rest)), None) if rest.is_empty() => Some(text.into_owned()),
        _ => None,
    }
}

/// Id and secret of a client, from the header or from the form, but not from both (RFC 6749, section 2.3.1).
fn credentials(
    headers: &HeaderMap,
    form: (Option<String>, Option<SecretString>),
) -> Result<(Uuid, SecretString), TokenError> {
    let mut given = headers.get_all("authorization").iter();
    let parse = |id: &str| id.parse::<web::Id>().map(web::Id::uuid).map_err(|_| UNKNOWN_CLIENT);
    match (given.next(), given.next(), form) {
        (None, None, (Some(id), Some(secret))) => Ok((parse(&id)?, secret)),
        (Some(header), None, (id, None)) => {
            let basic = || {
                let (scheme, pair) = header.to_str().ok()?.split_once(' ')?;
                let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
                let (id, secret) = pair.split_once(':')?;
                let both = parse(&decoded(id)?).ok()?;
                scheme.eq_ignore_ascii_case("basic").then_some((both, SecretString::from(decoded(secret)?)))
            };
            let basic = basic().ok_or(UNKNOWN_CLIENT)?;
            if id.is_some_and(|id| parse(&id).ok() != Some(basic.0)) {
                return Err(UNKNOWN_CLIENT);
            }
            Ok(basic)
        }
        (None, None, _) => Err(NO_CREDENTIALS),
        _ => Err(TWO_CREDENTIALS),
    }
}

/// The requested scopes: a set, in any order (RFC 6749, section 3.3).
fn parsed(wanted: &str, offered: &'static [&'static str]) -> Option<Scopes> {
    let mut names: Vec<&str> = wanted.split(' ').filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    Scopes::parse(names, offered)
}

impl Tokens {
    /// Authenticates a client by its secret, however old the secret is.
    ///
    /// Only authenticated callers are counted: a request with the right secret counts for the client, a wrong secret for the
    /// client and the network it comes from. Once that limit is used up, no further secret is compared, not even the right
    /// one. A request for an unknown client counts for nobody: it costs one look-up, and there is nothing to guess.
    async fn authenticate_client(
        &self,
        headers: &HeaderMap,
        form: (Option<String>, Option<SecretString>),
        context: &Context,
    ) -> Result<(AuthenticatedClient, Tx<Write, Identity>), TokenError> {
        let (id, secret) = credentials(headers, form)?;
        let from = format!("{id} {}", context.client.network);
        let mut tx = self.0.db.begin_identity::<Read>().await?;
        let found = self.client_by_secret(&mut tx, id, &secret).await?.ok_or(UNKNOWN_CLIENT)?;
        self.0.authn.refuse_if_limited(&mut tx, WRONG_SECRET_LIMIT, &from).await?;
        drop(tx);
        if let Err(identity) = found {
            self.0.authn.check_rate_limit(WRONG_SECRET_LIMIT, &from, context).await?;
            self.record_refusal(&identity, "wrong secret", context).await?;
            return Err(UNKNOWN_CLIENT);
        }
        let per_minute = self.0.config.requests_per_minute;
        let period = Duration::milliseconds(60_000 / i64::from(per_minute));
        let requests = RateLimit { name: "token endpoint", burst: per_minute, period };
        self.0.authn.check_rate_limit(requests, &id.to_string(), context).await?;
        // Look the client up again, in the transaction of the request.
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        match self.client_by_secret(&mut tx, id, &secret).await? {
            Some(Ok(client)) => Ok((client, tx)),
            _ => Err(UNKNOWN_CLIENT),
        }
    }

    /// The client if the secret is right. Otherwise its organization and member, or `None` if there is no such client.
    async fn client_by_secret<M: Mode>(
        &self,
        tx: &mut Tx<M, Identity>,
        id: Uuid,
        secret: &SecretString,
    ) -> Result<Option<Result<AuthenticatedClient, ClientIdentity>>, Error> {
        let found = sqlx::query!(
            r#"select name, tenant_id as "tenant: TenantId", member as "user: UserId", scopes, dpop, signs, secret, secret_created_at,
                      secret_version, secret_days,
                      (member is null or exists (select from identity.users u where u.id = member and u.locked_at is null))
                        as "unlocked!"
                 from tenant.api_clients where id = $1"#,
            id,
        );
        let Some(found) = found.fetch_optional(&mut **tx).await? else { return Ok(None) };
        if found.signs || !found.unlocked || found.secret != secret::hash(secret.expose_secret()) {
            return Ok(Some(Err(ClientIdentity {
                client: id,
                name: found.name,
                tenant: found.tenant,
                user: found.user,
            })));
        }
        Ok(Some(Ok(AuthenticatedClient {
            id,
            name: found.name,
            tenant: found.tenant,
            user: found.user,
            scopes: found.scopes,
            dpop: found.dpop,
            version: found.secret_version,
            ends_at: secret::ends_at(found.secret_created_at, found.secret_days),
            longest: Duration::days(found.secret_days.into()) == secret::MAX_AGE,
        })))
    }

    /// Issues tokens (RFC 6749, sections 4.4 and 6).
    ///
    /// # Errors
    ///
    /// The client is unknown, its secret is wrong or has expired, or it may not have what it requests.
    pub async fn issue(
        &self,
        headers: &HeaderMap,
        client: (Option<String>, Option<SecretString>),
        grant: Grant,
        context: &Context,
    ) -> Result<TokenResponse, TokenError> {
        let now = self.0.authn.clock().now();
        let (client, tx) = self.authenticate_client(headers, client, context).await?;
        let identity = client.identity();
        let answer = if client.ends_at <= now {
            drop(tx);
            Err(if client.longest { SECRET_TOO_OLD } else { SECRET_EXPIRED })
        } else {
            self.issue_to(client, tx, headers, grant, context, now).await
        };
        if let Err(TokenError::Oauth(_, reason)) = &answer {
            self.record_refusal(&identity, reason, context).await?;
        }
        answer
    }

    async fn record_refusal(&self, identity: &ClientIdentity, reason: &str, context: &Context) -> Result<(), Error> {
        match self
            .0
            .authn
            .check_rate_limit_silently(
                RECORDED_REFUSALS_LIMIT,
                &format!("{} {} {reason}", identity.client, context.client.network),
            )
            .await
        {
            Err(Error::TooMany(_)) => return Ok(()),
            counted => counted?,
        }
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let target = target(identity.client);
        let event = Event { kind: "api_token.refused", target, details: json!({ "reason": reason }) };
        event.record_in(&mut tx, Some(identity.tenant), &identity.actor(context)).await?;
        Ok(tx.commit().await?)
    }

    async fn issue_to(
        &self,
        client: AuthenticatedClient,
        mut tx: Tx<Write, Identity>,
        headers: &HeaderMap,
        grant: Grant,
        context: &Context,
        now: DateTime<Utc>,
    ) -> Result<TokenResponse, TokenError> {
        let url = format!("{}{}", self.issuer(), self.0.authn.addresses().token_endpoint);
        let jkt = match Proof::of(headers, RequestTarget { method: "POST", url: &url }, None, now) {
            Ok(Some(proof)) if proof.take(&mut tx, now).await? => Some(proof.jkt),
            Ok(None) if !client.dpop => None,
            _ => return Err(INVALID_DPOP_PROOF),
        };
        sqlx::query!("update tenant.api_clients set last_used_at = $2 where id = $1", client.id, now)
            .execute(&mut *tx)
            .await?;
        let (name, (family, scopes, refresh_token)) = match grant {
            Grant::ClientCredentials(wanted) => {
                ("client_credentials", self.begin_family(&mut tx, &client, wanted, jkt.as_deref(), now).await?)
            }
            Grant::RefreshToken(token, wanted) => {
                let presented = secret::hash(token.expose_secret());
                let Some(rotated) = self.rotate(&mut tx, &client, presented, jkt.as_deref(), now).await? else {
                    let target = target(client.id);
                    let details = json!({ "ended": "all tokens from the same use of the secret" });
                    let event = Event { kind: "api_client.token_reused", target, details };
                    event.record_in(&mut tx, Some(client.tenant), &client.identity().actor(context)).await?;
                    tx.commit().await?;
                    tracing::warn!(client = %client.id, "refresh token reused; token family revoked");
                    return Err(INVALID_GRANT);
                };
                // Only this access token has fewer scopes. The refresh token keeps all of them (RFC 6749, section 6).
                ("refresh_token", (rotated.0, self.wanted(wanted.as_deref(), rotated.1)?, rotated.2))
            }
        };
        let token_type = if jkt.is_some() { "DPoP" } else { "Bearer" };
        let subject = client.user.map_or(client.id, UserId::uuid);
        let subject = TokenSubject { client: client.id, subject, tenant: client.tenant, family, scopes: &scopes, jkt };
        let (access_token, jti) = self.sign(&mut tx, subject, now).await?;
        let details = json!({ "grant": name, "token": jti, "scopes": scopes.names() });
        let event = Event { kind: "api_token.issued", target: target(client.id), details };
        event.record_in(&mut tx, Some(client.tenant), &client.identity().actor(context)).await?;
        tx.commit().await?;
        Ok(TokenResponse {
            access_token,
            token_type,
            expires_in: self.0.config.access_seconds,
            scope: scopes.names().join(" "),
            refresh_token: refresh_token.to_string(),
        })
    }

    /// The requested scopes, which must be among the given ones.
    fn wanted(&self, wanted: Option<&str>, given: Scopes) -> Result<Scopes, TokenError> {
        let Some(wanted) = wanted else { return Ok(given) };
        let all_given = |wanted: &Scopes| wanted.names().iter().all(|name| given.include(name));
        parsed(wanted, self.offered()).filter(all_given).ok_or(INVALID_SCOPE)
    }

    async fn begin_family(
        &self,
        tx: &mut Tx<Write, Identity>,
        client: &AuthenticatedClient,
        wanted: Option<String>,
        jkt: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(Uuid, Scopes, Token), TokenError> {
        let given = Scopes::stored(client.scopes.clone(), self.offered());
        let scopes = self.wanted(wanted.as_deref(), given)?;
        let family = Uuid::now_v7();
        sqlx::query!(
            "insert into identity.token_families (id, tenant_id, client_id, secret_version, jkt, scopes, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            family,
            client.tenant.uuid(),
            client.id,
            client.version,
            jkt,
            scopes.names(),
            now,
        )
        .execute(&mut **tx)
        .await?;
        let token = refresh::new(tx, family, None, now).await?;
        Ok((family, scopes, token))
    }

    /// `None` if the token was used before. Its family is then revoked.
    async fn rotate(
        &self,
        tx: &mut Tx<Write, Identity>,
        client: &AuthenticatedClient,
        presented: Hash,
        jkt: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<(Uuid, Scopes, Token)>, TokenError> {
        // Locked, so parallel requests see what the one before them did.
        let family = sqlx::query!(
            "select f.id, f.scopes, f.jkt from identity.token_families f
              where f.id = (select family_id from identity.refresh_tokens where token_hash = $1)
                and f.tenant_id = $2 and f.client_id = $3 and f.secret_version = $4 and f.revoked_at is null
                for update",
            &presented,
            client.tenant.uuid(),
            client.id,
            client.version,
        );
        let family = family.fetch_optional(&mut **tx).await?.ok_or(INVALID_GRANT)?;
        if family.jkt.is_some() && family.jkt.as_deref() != jkt {
            return Err(INVALID_DPOP_PROOF);
        }
        match refresh::rotate(tx, family.id, presented, now).await? {
            Rotation::Next(token) => {
                let given = Scopes::stored(client.scopes.clone(), self.offered());
                Ok(Some((family.id, Scopes::stored(family.scopes, self.offered()).within(&given), token)))
            }
            Rotation::Reused => Ok(None),
            Rotation::Invalid => Err(INVALID_GRANT),
        }
    }

    /// Revokes a token of the authenticated client (RFC 7009): a refresh token with its whole family, or one access token. A
    /// token of another client stays valid, and the response is the same.
    ///
    /// # Errors
    ///
    /// The client is unknown or its secret is wrong.
    pub async fn revoke(
        &self,
        headers: &HeaderMap,
        client: (Option<String>, Option<SecretString>),
        token: SecretString,
        context: &Context,
    ) -> Result<(), TokenError> {
        let now = self.0.authn.clock().now();
        // Before the transaction, because the key list may have to be read.
        let access = self.verify(token.expose_secret()).await?;
        let (client, mut tx) = self.authenticate_client(headers, client, context).await?;
        let ended = sqlx::query_scalar!(
            "update identity.token_families f set revoked_at = $4 from identity.refresh_tokens t
              where t.token_hash = $1 and f.id = t.family_id and f.tenant_id = $2 and f.client_id = $3 and f.revoked_at is null
             returning f.id",
            &secret::hash(token.expose_secret()),
            client.tenant.uuid(),
            client.id,
            now,
        );
        let mut details: Option<Value> =
            ended.fetch_optional(&mut *tx).await?.map(|family| json!({ "family": family }));
        if details.is_none()
            && let Some(access) = access.filter(|access| access.client_id == client.id)
        {
            let expires_at = DateTime::from_timestamp(access.exp, 0).unwrap_or(now);
            let listed = sqlx::query!(
                "insert into identity.revoked_tokens (jti, expires_at) values ($1, $2) on conflict do nothing",
                access.jti,
                expires_at,
            );
            details = (listed.execute(&mut *tx).await?.rows_affected() == 1).then(|| json!({ "token": access.jti }));
        }
        if let Some(details) = details {
            let event = Event { kind: "api_token.revoked", target: target(client.id), details };
            event.record_in(&mut tx, Some(client.tenant), &client.identity().actor(context)).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

type Token = secrecy::zeroize::Zeroizing<String>;
