//! Health checks for operators, and `security.txt`.

use authn::Authn;
use authz::{Public, Routes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::{Duration, SecondsFormat};
use std::sync::Arc;
use web::{Error, Result};

use crate::base::{Feature, FrameLink, Readiness, SecurityContact, origin_of_requests};

const SECURITY_TXT: &str = "/.well-known/security.txt";

/// A security.txt must be renewed within a year (RFC 9116, section 2.5.5). Ours always expires this far ahead, so it never
/// expires unnoticed while the application runs.
const VALID: Duration = Duration::days(90);

pub(crate) fn feature() -> Feature {
    let routes = Routes::new().get("/healthz", alive).get("/readyz", ready).get(SECURITY_TXT, security_txt);
    Feature::new("operations").routes(routes).frame_link(FrameLink::Footer("Report a security problem", SECURITY_TXT))
}

async fn alive(_: Public) -> &'static str {
    "alive\n"
}

async fn ready(_: Public, State(readiness): State<Readiness>) -> Result<String> {
    if !readiness.ask().await {
        return Err(Error::Unavailable);
    }
    Ok(format!("ready\n{}\n", origin_of_requests(readiness.proxies)))
}

async fn security_txt(
    public: Public,
    State(authn): State<Authn>,
    State(security): State<Arc<SecurityContact>>,
) -> impl IntoResponse {
    drop(public);
    let expires = (authn.clock().now() + VALID).to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut text = format!("Contact: {}\nExpires: {expires}\nPreferred-Languages: en\n", security.contact);
    if let Some(policy) = &security.policy {
        text += "Policy: ";
        text += policy;
        text.push('\n');
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}
