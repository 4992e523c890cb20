use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use web::cookie;

/// SHA-256 of a token. A random value needs no salt and no slow hash.
pub(crate) type Hash = [u8; 32];

/// A bearer token of 256 random bits, for a cookie or a URL. The database stores its hash.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(base64url(&bytes)))
    }

    /// Returns the token that the browser already has in this cookie, or a new one. All tabs share one cookie, so a tab
    /// does not end what another tab has started. Something else distinguishes the tabs.
    pub(crate) fn of_browser(headers: &HeaderMap, cookie: &str) -> Result<Self, getrandom::Error> {
        match cookie::get(headers, cookie).filter(|token| is_token(token)) {
            Some(token) => Ok(Self(token.to_owned())),
            None => Self::new(),
        }
    }

    /// Returns the token. Use it only for the cookie or the URL.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> Hash {
        hash(&self.0)
    }
}

/// Whether the text could be one of our tokens: 32 bytes in base64url.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}
