//! What those who run the application ask it: is it alive, can it work, whom to tell about a hole.

use std::sync::Arc;
use std::time::Instant;

use authn::Authn;
use authz::{Public, Routes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::{Duration, SecondsFormat};
use serde::Deserialize;
use tenancy::Db;
use tokio::sync::Mutex;
use web::{Error, Result};

use crate::Feature;

/// A security.txt is to be renewed within a year (RFC 9116, section 2.5.5). Ours always expires this far ahead, so it
/// never expires unnoticed while the application runs.
const VALID: Duration = Duration::days(90);

pub(crate) fn feature() -> Feature {
    let routes =
        Routes::new().get("/healthz", alive).get("/readyz", ready).get("/.well-known/security.txt", security_txt);
    Feature { routes, ..Feature::default() }
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
pub(crate) struct Readiness {
    db: Db,
    proxies: usize,
    /// The last answer. Locked while there is a new one to come, so that one asks and the others wait for it.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// How long an answer of the database stands. However many ask, it is asked once in that time.
const STANDS: std::time::Duration = std::time::Duration::from_secs(1);

impl Readiness {
    pub(crate) fn of(db: Db, proxies: usize) -> Self {
        Self { db, proxies, last: Arc::default() }
    }

    async fn ask(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, ready)) = *last
            && at.elapsed() < STANDS
        {
            return ready;
        }
        let answer = self.db.ready().await;
        if let Err(error) = &answer {
            tracing::error!(%error, "not ready");
        }
        *last = Some((Instant::now(), answer.is_ok()));
        answer.is_ok()
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
