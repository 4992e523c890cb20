use std::fmt;

use axum::http::Uri;

use crate::{Control, FieldError, FieldSpec, FieldText, Presence};

/// A path on this site to redirect to. It never leads to another origin, however a browser interprets the text.
///
/// It begins with one `/`. It has no backslash, control character, fragment or second leading slash, and at most 512 bytes of
/// ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

impl LocalPath {
    /// Returns the path if it is valid, and otherwise the front page.
    #[must_use]
    pub fn or_home(text: &str) -> Self {
        let bytes = text.as_bytes();
        let safe = bytes.first() == Some(&b'/')
            && !matches!(bytes.get(1), Some(b'/' | b'\\'))
            && bytes.len() <= 512
            && bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'))
            && text.parse::<Uri>().is_ok_and(|uri| uri.authority().is_none() && uri.scheme().is_none());
        if safe { Self(text.to_owned()) } else { Self("/".to_owned()) }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as the value of a query parameter.
    #[must_use]
    pub fn encoded(&self) -> String {
        serde_html_form::to_string([("", &self.0)]).unwrap_or_default().trim_start_matches('=').to_owned()
    }
}

impl TryFrom<&str> for LocalPath {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        Ok(Self::or_home(text))
    }
}

/// A hidden field. A missing or invalid value becomes the front page.
impl FieldText for LocalPath {
    const SPEC: FieldSpec = FieldSpec { control: Control::Hidden, presence: Presence::Optional, ..FieldSpec::TEXT };
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_to_another_origin() {
        for path in ["/", "/o/1/members?x=1&y=%2F", "/a:b@c"] {
            assert_eq!(LocalPath::or_home(path).as_str(), path);
        }
        for path in [
            "",
            "o",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "/a\\..\\b",
            "/ü",
            "/a#b",
            "///evil.example",
            "http:/evil.example",
            "/a b",
        ] {
            assert_eq!(LocalPath::or_home(path).as_str(), "/", "{path:?}");
        }
        assert_eq!(LocalPath::or_home(&format!("/{}", "a".repeat(512))).as_str(), "/");
        assert_eq!(LocalPath::or_home("/a?b=c&d").encoded(), "%2Fa%3Fb%3Dc%26d");
    }
}
