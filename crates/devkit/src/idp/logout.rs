//! Sign-out, from both sides: the page an application sends people to, and the logout token the provider sends
//! (OpenID Connect RP-Initiated Logout, Back-Channel Logout).

use std::io;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use url::Url;

use super::keys::{Claims, Seal, jws, token};
use super::page::{self, escape};
use super::params::Params;
use super::{Idp, LogoutFault, OTHER_CLIENT, OTHER_ISSUER, http};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const HOUR: i64 = 3600;

/// The parameters are in the query or, when an application posts them, in the body; our own form adds `confirm`.
pub(super) async fn end_session(State(idp): State<Idp>, RawQuery(query): RawQuery, body: String) -> Response {
    let form = Params::parse(&body).unwrap_or_default();
    let confirmed = form.get("confirm").is_some();
    let query = query.filter(|query| !query.is_empty()).unwrap_or(if confirmed { String::new() } else { body });
    let Ok(params) = Params::parse(&query) else {
        return page::refusal(StatusCode::BAD_REQUEST, "A parameter was sent twice.");
    };
    let target = return_address(&idp, &params);
    if confirmed {
        return signed_out(target.as_ref());
    }
    idp.count(|counts| &mut counts.end_session);
    let body = format!(
        "<p class=notice>Development sign-in: not for production</p>\
         <h1>Sign out of the development provider?</h1>\
         <p class=lead>It keeps nobody signed in: every sign-in asks again.</p>\
         <form method=post action=\"/end-session?{}\">\
         <button class=main id=confirm name=confirm value=1>Sign out</button></form>",
        escape(&query)
    );
    let origin = target.map(|url| page::origin(url.as_str())).unwrap_or_default();
    page::page(StatusCode::OK, "Sign out", &body, &origin)
}

fn signed_out(target: Option<&Url>) -> Response {
    match target {
        Some(url) => (StatusCode::SEE_OTHER, [(header::LOCATION, url.as_str())]).into_response(),
        None => page::page(
            StatusCode::OK,
            "Signed out",
            "<h1>Signed out</h1><p class=lead>You can close this page.</p>",
            "",
        ),
    }
}

/// The registered address to return to, with `state`. An unregistered address is ignored.
fn return_address(idp: &Idp, params: &Params) -> Option<Url> {
    let wanted = params.get("post_logout_redirect_uri")?;
    let registered = idp.lock().clients.iter().any(|client| {
        params.get("client_id").is_none_or(|id| id == client.id)
            && client.post_logout_redirect_uris.iter().any(|uri| uri == wanted)
    });
    let mut url = Url::parse(wanted).ok().filter(|_| registered)?;
    if let Some(state) = params.get("state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Some(url)
}

impl Idp {
    /// A logout token for this client, to be posted as `logout_token`. Each call uses another `jti`. Post one token twice for a
    /// replay.
    #[must_use]
    pub fn logout_token(
        &self,
        client_id: &str,
        subject: Option<&str>,
        sid: Option<&str>,
        fault: LogoutFault,
    ) -> String {
        let claims = self.logout_claims(client_id, subject, sid, fault);
        let secret = self.client(client_id).map(|client| client.secret).unwrap_or_default();
        let key = self.lock().signing_key();
        let seal = match fault {
            LogoutFault::AlgNone => Seal::Unsigned,
            LogoutFault::BadSignature => Seal::Broken(&key),
            LogoutFault::Hs256WithClientSecret => Seal::Hmac(secret.as_bytes(), &key),
            _ => Seal::Signed(&key, Some(key.kid())),
        };
        let plain = matches!(fault, LogoutFault::WrongTyp | LogoutFault::IdTokenInstead);
        jws(if plain { "JWT" } else { "logout+jwt" }, &claims, &seal)
    }

    fn logout_claims(&self, client_id: &str, subject: Option<&str>, sid: Option<&str>, fault: LogoutFault) -> Claims {
        let now = self.now();
        let mut claims = Claims::new();
        let mut set = |name: &str, value| claims.insert(name.to_owned(), value);
        set("iss", json!(self.issuer()));
        set("aud", json!(client_id));
        set("iat", json!(now));
        set("exp", json!(now + 120));
        set("jti", json!(token()));
        set("events", json!({ EVENT: {} }));
        if let Some(subject) = subject {
            set("sub", json!(subject));
        }
        if let Some(sid) = sid {
            set("sid", json!(sid));
        }
        match fault {
            LogoutFault::WrongEvent => drop(set("events", json!({ "http://schemas.openid.net/event/other": {} }))),
            LogoutFault::WithNonce => drop(set("nonce", json!(token()))),
            LogoutFault::WrongAudience => drop(set("aud", json!(OTHER_CLIENT))),
            LogoutFault::WrongIssuer => drop(set("iss", json!(OTHER_ISSUER))),
            LogoutFault::Expired => drop(set("exp", json!(now - HOUR))),
            LogoutFault::OldIat => drop(set("iat", json!(now - HOUR))),
            LogoutFault::FutureIat => drop(set("iat", json!(now + HOUR))),
            LogoutFault::ControlCharsInSid => drop(set("sid", json!("a\u{0}b\r\nc"))),
            LogoutFault::LongJti => drop(set("jti", json!("j".repeat(300)))),
            LogoutFault::IdTokenInstead => {
                set("nonce", json!(token()));
                set("auth_time", json!(now));
                claims.retain(|name, _| name != "jti" && name != "events");
            }
            LogoutFault::NoEvent => claims.retain(|name, _| name != "events"),
            LogoutFault::MissingJti => claims.retain(|name, _| name != "jti"),
            LogoutFault::NoSubNoSid => claims.retain(|name, _| name != "sub" && name != "sid"),
            _ => {}
        }
        claims
    }

    /// Posts a logout token to the client's back-channel address, which must be on loopback. Returns the status.
    ///
    /// # Errors
    /// If the client is unknown, has no such address, or does not respond.
    pub async fn send_backchannel_logout(
        &self,
        client_id: &str,
        subject: Option<&str>,
        sid: Option<&str>,
        fault: LogoutFault,
    ) -> io::Result<u16> {
        let uri = self.client(client_id).and_then(|client| client.backchannel_logout_uri);
        let uri = uri.ok_or_else(|| io::Error::other("no back-channel logout address for this client"))?;
        let token = self.logout_token(client_id, subject, sid, fault);
        Ok(http::send("POST", &uri, "", &format!("logout_token={token}")).await?.status)
    }
}
