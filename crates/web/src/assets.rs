use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::routing::get;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/style.css");
const ICON: &str = include_str!("../assets/icon.svg");
const PROOF_OF_WORK: &str = include_str!("../assets/proof_of_work.js");

// The name contains a hash of the content. A browser can cache the file forever and still never use an outdated one.
static STYLE_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/style-{}.css", hash(STYLE)));
static ICON_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/icon-{}.svg", hash(ICON)));
static PROOF_OF_WORK_URL: LazyLock<String> =
    LazyLock::new(|| format!("/assets/proof_of_work-{}.js", hash(PROOF_OF_WORK)));
static PASSKEYS: LazyLock<String> =
    LazyLock::new(|| include_str!("../assets/passkeys.js").replace("./proof_of_work.js", &PROOF_OF_WORK_URL));
static PASSKEYS_URL: LazyLock<String> = LazyLock::new(|| format!("/assets/passkeys-{}.js", hash(&PASSKEYS)));

pub(crate) fn style_url() -> &'static str {
    &STYLE_URL
}

pub(crate) fn icon_url() -> &'static str {
    &ICON_URL
}

pub(crate) fn proof_of_work_url() -> &'static str {
    &PROOF_OF_WORK_URL
}

/// The URL of the module for pages that create or use a passkey.
#[must_use]
pub fn passkeys_url() -> &'static str {
    &PASSKEYS_URL
}

fn hash(content: &str) -> String {
    Sha256::digest(content).iter().take(6).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The routes of the static files: the style sheet, the icon and the two modules.
pub fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let serve = |content: &'static str, kind: &'static str| {
        get(move || async move {
            let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
            ([(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, forever)], content)
        })
    };
    Router::new()
        .route(style_url(), serve(STYLE, "text/css; charset=utf-8"))
        .route(icon_url(), serve(ICON, "image/svg+xml"))
        .route(proof_of_work_url(), serve(PROOF_OF_WORK, "text/javascript; charset=utf-8"))
        .route(passkeys_url(), serve(&PASSKEYS, "text/javascript; charset=utf-8"))
}
