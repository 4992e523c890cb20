use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cookie::{self, SameSite};

const NAME: &str = "flash";

/// How a [`Flash`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The action succeeded.
    Success,
    /// The action did not succeed, and nothing is lost.
    Warning,
}

/// A message that is shown once, on the next page.
///
/// It travels in a cookie that only this host can set. It is plain text, and the page escapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// How the message looks.
    pub tone: Tone,
    /// The message.
    pub text: String,
}

impl Flash {
    /// Adds the message to a response.
    pub(crate) fn set(&self, headers: &mut HeaderMap) {
        let tone = if self.tone == Tone::Success { 's' } else { 'w' };
        let value = URL_SAFE_NO_PAD.encode(format!("{tone}{}", self.text));
        cookie::set(headers, NAME, &value, SameSite::Strict, Some(60));
    }

    pub(crate) fn take(headers: &HeaderMap) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie::get(headers, NAME)?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let tone = if text.starts_with('s') { Tone::Success } else { Tone::Warning };
        Some(Self { tone, text: text.get(1..)?.to_owned() })
    }

    pub(crate) fn clear(headers: &mut HeaderMap) {
        cookie::remove(headers, NAME);
    }
}
