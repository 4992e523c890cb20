//! The cookies of a session, of an ended session, and of a login flow.

use axum::http::HeaderMap;
use axum::response::{IntoResponseParts, ResponseParts};
use web::cookie::{self, SameSite};

use crate::secret::{Token, is_token};

pub(crate) const SESSION: &str = "session";
/// The cookie of a browser with a login flow.
pub(crate) const LOGIN: &str = "login";
/// The cookie with the token of the session that was signed out. A form in another tab can then be deferred for its
/// person.
const ENDED: &str = "ended";
/// The lifetime of that cookie in seconds. It is the default idle time of a session, and short enough for a shared
/// computer.
const ENDED_SECONDS: u64 = 1800;

/// Replaces the session cookie of a request with the one that a response sets, if it sets one.
pub(crate) fn replace(response: &HeaderMap, request: &mut HeaderMap) {
    if let Some(token) = cookie::value_in_response(response, SESSION) {
        cookie::replace(request, SESSION, token);
    }
}

pub(crate) fn set(headers: &mut HeaderMap, token: &str) {
    // The cookie has no `Max-Age`. The server decides how long the session lasts, and the cookie ends with the browser.
    cookie::set(headers, SESSION, token, SameSite::Strict, None);
}

pub(crate) fn remove(headers: &mut HeaderMap) {
    cookie::remove(headers, SESSION);
}

/// Returns the token of a browser: 32 bytes in base64url. Other values cannot be ours, so they are not looked up.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    cookie::get(headers, SESSION).filter(|token| is_token(token))
}

/// Returns the token of the session that was signed out in this browser.
pub(crate) fn ended_token(headers: &HeaderMap) -> Option<&str> {
    cookie::get(headers, ENDED).filter(|token| is_token(token))
}

/// Makes the browser forget the ended session, because a person has signed in.
pub(crate) fn forget_ended(headers: &mut HeaderMap) {
    cookie::remove(headers, ENDED);
}

/// Makes the browser keep the token of an ended session.
pub(crate) fn set_ended(headers: &mut HeaderMap, token: &str) {
    cookie::set(headers, ENDED, token, SameSite::Strict, Some(ENDED_SECONDS));
}

/// The cookie of a new session, as part of a response.
#[derive(Debug)]
pub struct NewCookie {
    token: String,
    /// Whether to remove the login flow cookie, because the browser has no other login flow.
    ends_login: bool,
}

impl NewCookie {
    pub(crate) fn of(token: &Token) -> Self {
        Self { token: token.reveal().to_owned(), ends_login: false }
    }

    /// Creates the cookie after a sign-in through a provider, when other tabs may have login flows.
    pub(crate) fn after_sign_in(token: &Token, others: bool) -> Self {
        Self { ends_login: !others, ..Self::of(token) }
    }
}

impl IntoResponseParts for NewCookie {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Self::Error> {
        set(response.headers_mut(), &self.token);
        forget_ended(response.headers_mut());
        if self.ends_login {
            cookie::remove(response.headers_mut(), LOGIN);
        }
        Ok(response)
    }
}
