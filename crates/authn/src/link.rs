use askama::Template;
use audit::Event;
use axum::http::HeaderMap;
use axum::response::{IntoResponseParts, ResponseParts};
use chrono::Duration;
use mail::Mail;
use serde_json::json;
use tenancy::{Identity as IdentityPlane, Tx, UserId, Write};
use uuid::Uuid;
use web::cookie::{self, SameSite};
use web::{Client, Context, Email, Error, LocalPath};

use crate::actor::actor;
use crate::rate_limit::RateLimit;
use crate::secret::{Token, hash};
use crate::session::Authentication;
use crate::{Authn, NewCookie, ProofOfWorkSolution, SignInFailure};

const COOKIE: &str = "link";
/// How long a link is valid.
const LIFETIME: Duration = Duration::minutes(10);
/// Links to one email address that one network may request, whether or not anybody has the address. A proof of work
/// allows more.
const LINK_LIMIT: RateLimit = RateLimit { name: "sign-in link", burst: 3, period: Duration::minutes(10) };
const LINK_LIMIT_AFTER_WORK: RateLimit =
    RateLimit { name: "sign-in link after work", burst: 5, period: Duration::minutes(5) };
/// Links to one email address that all networks together may request. Above this limit, email is sent only for requests
/// from a network where the person has signed in before. Strangers can neither fill a mailbox nor lock its owner out.
const LINK_LIMIT_ALL_NETWORKS: RateLimit = RateLimit { name: "sign-in links", burst: 20, period: Duration::minutes(5) };

/// The cookie of the browser that requested a link. Only this browser can use the link. All links of a browser share
/// one cookie.
#[derive(Debug)]
pub struct LinkCookie(String);

impl IntoResponseParts for LinkCookie {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        // The cookie is strict, because it is needed only when our own page submits the form.
        cookie::set(
            response.headers_mut(),
            COOKIE,
            &self.0,
            SameSite::Strict,
            Some(LIFETIME.num_seconds().unsigned_abs()),
        );
        Ok(response)
    }
}

#[derive(Template)]
#[template(path = "mail/sign_in_link.txt")]
struct LinkMail<'a> {
    url: String,
    client: &'a Client,
}

impl Authn {
    /// Sends a sign-in link to the only account with this verified email address. The account must be in an
    /// organization that allows links, and must not have a privileged role anywhere. If there is no such account, the
    /// response and the amount of work are the same.
    ///
    /// # Errors
    ///
    /// [`Error::ProofOfWork`] or [`Error::TooMany`] above a rate limit.
    pub async fn send_link(
        &self,
        email: &Email,
        return_to: &LocalPath,
        solution: &ProofOfWorkSolution,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<LinkCookie, Error> {
        let address = email.folded();
        let worked = self.check_sign_in("link", solution, context).await?;
        self.check_link_rate_limit(&address, worked, context).await?;
        let flooded = match self.check_rate_limit_silently(LINK_LIMIT_ALL_NETWORKS, &address).await {
            Err(Error::TooMany(_)) => true,
            counted => counted.map(|()| false)?,
        };
        let (handle, token) = (Token::of_browser(headers, COOKIE)?, Token::new()?);
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let found = sqlx::query_scalar!(
            r#"select id as "id: UserId" from identity.users where verified_email = $1 limit 2"#,
            address,
        );
        let found = found.fetch_all(&mut *tx).await?;
        // If two accounts have the address, it is not clear which one is meant.
        let user = if let [user] = found[..] { Some(user) } else { None };
        let allowed = self.takes_links(&mut tx, user.unwrap_or_else(UserId::new)).await?;
        let known = sqlx::query_scalar!(
            r#"select exists (select from identity.sessions where user_id = $1 and network = $2) as "known!""#,
            user.unwrap_or_else(UserId::new).uuid(),
            context.client.network,
        );
        let known = known.fetch_one(&mut *tx).await?;
        let user = user.filter(|_| allowed && (known || !flooded));
        sqlx::query!(
            "insert into identity.magic_links (token_hash, handle_hash, user_id, return_to, expires_at)
             values ($1, $2, $3, $4, $5)",
            &token.hash()[..],
            &handle.hash()[..],
            user.map(UserId::uuid),
            return_to.as_str(),
            now + LIFETIME,
        )
        .execute(&mut *tx)
        .await?;
        let by = actor(context, None, None);
        self.link_mail(&token, context)?.queue_to(&mut tx, user.unwrap_or_else(UserId::new), &by).await?;
        tx.commit().await?;
        Ok(LinkCookie(handle.reveal().to_owned()))
    }

    /// Counts a link to an address. Others in the same network can use up the first part of the limit, so the rest
    /// needs a proof of work.
    async fn check_link_rate_limit(&self, address: &str, worked: bool, context: &Context) -> Result<(), Error> {
        let whose = format!("{address} {}", context.client.network);
        if worked {
            return self.check_rate_limit_silently(LINK_LIMIT_AFTER_WORK, &whose).await;
        }
        match self.check_rate_limit_silently(LINK_LIMIT, &whose).await {
            Err(Error::TooMany(wait)) => Err(self.require_proof_of_work("link", context, wait)?),
            counted => counted,
        }
    }

    fn link_mail(&self, token: &Token, context: &Context) -> Result<Mail, Error> {
        let url = self.url(&format!("{}?token={}", self.0.addresses.sign_in_link, token.reveal()));
        let mail = Mail::of("sign_in.link", &LinkMail { url, client: &context.client })?;
        Ok(Mail { valid_for: Some(LIFETIME), ..mail })
    }

    /// Whether a person may sign in with a link now.
    async fn takes_links(&self, tx: &mut Tx<Write, IdentityPlane>, user: UserId) -> Result<bool, Error> {
        let takes = sqlx::query_scalar!(
            r#"select coalesce(bool_or(o.settings @> '{"allows_magic_links": true}' and (u.managed_by is null or u.managed_by = o.tenant_id))
                               and not bool_or(tenant.is_privileged(m.role)), false) as "takes!"
                 from tenant.memberships m join tenant.organizations o on o.tenant_id = m.tenant_id
                 join identity.users u on u.id = m.user_id
                where m.user_id = $1"#,
            user.uuid(),
        );
        Ok(takes.fetch_one(&mut **tx).await?)
    }

    /// Signs a person in with a link. It works once, within ten minutes, in the browser that requested it, and only if
    /// the person may still use links. Attempts are not counted, because the link and its cookie have 256 random bits
    /// each.
    ///
    /// # Errors
    ///
    /// The database fails. The inner error says why the person is not signed in.
    pub async fn finish_link(
        &self,
        token: &str,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Result<(NewCookie, LocalPath), SignInFailure>, Error> {
        let now = self.0.clock.now();
        let Some(handle) = cookie::get(headers, COOKIE).map(hash) else {
            tracing::warn!("link sign-in failed: no cookie from the browser that requested the link");
            return Ok(Err(SignInFailure::NoFlow));
        };
        let mut tx = self.0.db.begin_identity::<Write>().await?;
        let link = sqlx::query!(
            // This waits for a transaction that is locking the account.
            r#"delete from identity.magic_links l
                using (select id, locked_at from identity.users
                        where id = (select user_id from identity.magic_links where token_hash = $1) for share) u
                where l.token_hash = $1 and l.handle_hash = $2 and l.expires_at > $3 and u.id = l.user_id
               returning l.user_id as "user_id!", l.return_to, (u.locked_at is not null) as "locked!""#,
            &hash(token)[..],
            &handle[..],
            now,
        );
        let Some(link) = link.fetch_optional(&mut *tx).await? else {
            tracing::warn!("link sign-in failed: no such link for this browser");
            return Ok(Err(SignInFailure::NoFlow));
        };
        let refused = if link.locked {
            Some((SignInFailure::Locked, "the account is locked"))
        } else if self.takes_links(&mut tx, link.user_id.into()).await? {
            None
        } else {
            Some((SignInFailure::Refused, "this person may no longer use links"))
        };
        if let Some((failure, reason)) = refused {
            tracing::warn!(reason, "link sign-in failed");
            let target = format!("User::{}", link.user_id);
            let event =
                Event { kind: "sign_in.failed", target, details: json!({ "provider": "link", "reason": reason }) };
            event.record(&mut tx, &actor(context, Some(link.user_id), None)).await?;
            tx.commit().await?;
            return Ok(Err(failure));
        }
        let cookie = self.begin_by_link(&mut tx, link.user_id, headers, context).await?;
        tx.commit().await?;
        Ok(Ok((cookie, LocalPath::or_home(&link.return_to))))
    }

    async fn begin_by_link(
        &self,
        tx: &mut Tx<Write, IdentityPlane>,
        user: Uuid,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<NewCookie, Error> {
        if let Some(here) = self.session_of_browser(tx, headers).await? {
            self.end_replaced_session(tx, here, context).await?;
        }
        let authentication = Authentication::by_link(self.0.clock.now());
        let (session, token) = self.create_session(tx, user, authentication, context).await?;
        self.supersede_in_other_tabs(tx, headers, session).await?;
        let details = json!({ "provider": "link", "device": context.client.device });
        let event = Event { kind: "sign_in.succeeded", target: format!("Session::{session}"), details };
        event.record(tx, &actor(context, Some(user), Some(session))).await?;
        Ok(NewCookie::of(&token))
    }
}
