//! The layout of the development pages, and their headers: no scripts, and nothing from other origins.

use std::io;
use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

const STYLE: &str = include_str!("page.css");

/// A page with this body, which must already be escaped. A form on it may lead to the origin `form_target`.
pub(crate) fn page(status: StatusCode, title: &str, body: &str, form_target: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>",
        title = escape(title),
    );
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {form_target}",
        STANDARD.encode(Sha256::digest(STYLE)),
    );
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, Html(html)).into_response()
}

/// A page that says why the request was refused.
pub(crate) fn refusal(status: StatusCode, why: &str) -> Response {
    let body = format!(
        "<p class=notice>Development only: not for production</p><h1>This does not work</h1><p class=lead>{}</p>",
        escape(why)
    );
    page(status, "Refused", &body, "")
}

/// Text for HTML, between tags or inside a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// Scheme, host and port of an address. Empty if it has none.
pub(crate) fn origin(address: &str) -> String {
    Url::parse(address)
        .map(|url| url.origin())
        .ok()
        .filter(url::Origin::is_tuple)
        .map_or_else(String::new, |origin| origin.ascii_serialization())
}

/// These servers have no access control, so they must not be reachable from other machines.
pub(crate) fn refuse_beyond_loopback(address: SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "development servers listen on loopback only"))
}

/// SECURITY: any site can make its own name point to 127.0.0.1, and then read what we serve under that name.
pub(crate) async fn local_only(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    if hosts.next().is_none() && is_local(host) {
        return next.run(request).await;
    }
    refusal(StatusCode::MISDIRECTED_REQUEST, "Use the loopback address.")
}

fn is_local(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{escape, is_local, origin, refuse_beyond_loopback};

    #[test]
    fn only_loopback_names_are_local() {
        for host in ["localhost", "localhost:80", "127.0.0.1:4000", "[::1]:4000"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.test", "evil.test:4000", "localhost.evil.test", "10.0.0.1", "localhost@evil.test"] {
            assert!(!is_local(host), "{host}");
        }
        assert!(refuse_beyond_loopback(([0, 0, 0, 0], 80).into()).is_err());
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escape("<a href=\"'&\">"), "&lt;a href=&quot;&#39;&amp;&quot;&gt;");
        assert_eq!(origin("http://127.0.0.1:80/a;b"), "http://127.0.0.1");
        assert_eq!(origin("data:,x"), "");
    }
}
