//! The cookies around a session: its own, that of a session which has ended, and that of a sign-in under way.

use axum::http::HeaderMap;
use axum::response::{IntoResponseParts, ResponseParts};
use web::cookie::{self, SameSite};

use crate::secret::{Token, is_token};

pub(crate) const SESSION: &str = "session";
/// Of a browser with a sign-in under way.
pub(crate) const LOGIN: &str = "login";
/// Has the token of the session that was signed out, so that a form in another tab can be kept for its person.
const ENDED: &str = "ended";
/// Seconds for which it has. That is as long as a form may lie unsent in a session by default, and not so long that it is still
/// there when somebody else comes to a shared computer on another day.
const ENDED_SECONDS: u64 = 1800;

/// Gives a request the session cookie that a response sets, if it sets one.
pub(crate) fn replace(response: &HeaderMap, request: &mut HeaderMap) {
    if let Some(token) = cookie::given(response, SESSION) {
        cookie::replace(request, SESSION, token);
    }
}

pub(crate) fn set(headers: &mut HeaderMap, token: &str) {
    // Without Max-Age: how long it lasts is for the server to say, and it ends with the browser.
    cookie::set(headers, SESSION, token, SameSite::Strict, None);
}

pub(crate) fn remove(headers: &mut HeaderMap) {
    cookie::remove(headers, SESSION);
}

/// The token a browser shows: 32 bytes in base64url. Anything else cannot be one of ours and is not looked up.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<&str> {
    cookie::get(headers, SESSION).filter(|token| is_token(token))
}

/// The token of the session that was signed out in this browser.
pub(crate) fn ended_token(headers: &HeaderMap) -> Option<&str> {
    cookie::get(headers, ENDED).filter(|token| is_token(token))
}

/// Has the browser forget who was signed out: somebody has signed in.
pub(crate) fn forget_ended(headers: &mut HeaderMap) {
    cookie::remove(headers, ENDED);
}

/// Has the browser keep the token of a session that has ended.
pub(crate) fn set_ended(headers: &mut HeaderMap, token: &str) {
    cookie::set(headers, ENDED, token, SameSite::Strict, Some(ENDED_SECONDS));
}

/// The cookie of a session that has just begun. Part of the response that gives it to the browser.
#[derive(Debug)]
pub struct NewCookie {
    token: String,
    /// The browser has nothing under way any more that its other cookie stands for.
    ends_login: bool,
}

impl NewCookie {
    pub(crate) fn of(token: &Token) -> Self {
        Self { token: token.reveal().to_owned(), ends_login: false }
    }

    /// After a sign-in through a provider, where others may be under way in other tabs.
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
