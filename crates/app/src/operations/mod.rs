//! What those who run the application ask it: is it alive, can it work, whom to tell about a hole.

use std::sync::Arc;

use authn::Authn;
use authz::{Public, Routes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::{Duration, SecondsFormat};
use serde::Deserialize;
use tenancy::Db;
use web::{Error, Result};

use crate::Feature;

/// A security.txt is to be renewed within a year (RFC 9116, section 2.5.5). Ours always expires this far ahead, so it
/// never expires unnoticed while the application runs.
const VALID: Duration = Duration::days(90);

pub(crate) fn feature() -> Feature {
    let routes =
        Routes::new().get("/healthz", alive).get("/readyz", ready).get("/.well-known/security.txt", security_txt);
    Feature { routes, policies: None, events: &[] }
}

/// `[security]`: whom to tell about a hole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityContact {
    /// `mailto:` or `https:` address.
    pub contact: String,
    /// Where the way of reporting is described.
    pub policy: Option<String>,
}

/// Can ask whether the database works, and nothing else. Knows how many proxies are believed.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Db, usize);

impl Readiness {
    pub(crate) fn of(db: Db, proxies: usize) -> Self {
        Self(db, proxies)
    }
}

/// What is believed about where requests come from, for whoever wonders why limits hit the wrong people.
#[must_use]
pub fn origin_of_requests(proxies: usize) -> String {
    match proxies {
        0 => "http.proxies is 0: clients have the address of their connection".to_owned(),
        1 => "http.proxies is 1: clients have the last address in X-Forwarded-For".to_owned(),
        n => format!("http.proxies is {n}: clients have the address {n} from the end of X-Forwarded-For"),
    }
}

async fn alive(_: Public) -> &'static str {
    "alive\n"
}

async fn ready(_: Public, State(readiness): State<Readiness>) -> Result<String> {
    match readiness.0.ready().await {
        Ok(()) => Ok(format!("ready\n{}\n", origin_of_requests(readiness.1))),
        Err(error) => {
            tracing::error!(%error, "not ready");
            Err(Error::Unavailable)
        }
    }
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
