//! Makes the pages of the app reload themselves. The proxy adds a script to them, and the app does not know about it.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;

/// The address where a page waits for another version of the app than its own. No route of the app begins like this.
pub(super) const PATH: &str = "/.devkit/reload";

/// The script. A hidden page does not wait, because browsers open six connections to a server, and each waiting page holds one. It
/// checks again when it is shown.
const SCRIPT: &str = r#"
<script type="module" nonce="{nonce}">
let events;
const wait = () => {
  events?.close();
  if (document.visibilityState === "hidden") return;
  events = new EventSource("{path}?version={version}");
  events.onmessage = () => { events.close(); location.reload(); };
};
document.addEventListener("visibilitychange", wait);
wait();
</script>
"#;

/// Adds the script to the response, if it is a page that can be requested again. Any other response is unchanged and is streamed.
///
/// The content security policy of the page is unchanged, too: the script has its nonce, and waits on its own origin.
///
/// # Errors
/// If the page ends early.
pub(super) async fn add_script(method: &Method, response: Response, version: u128) -> Result<Response, axum::Error> {
    // The response to a form is not requested again, because that would send the form again.
    let Some(nonce) = nonce(response.headers()).filter(|_| method == Method::GET && is_plain_html(response.headers()))
    else {
        return Ok(response);
    };
    let script = SCRIPT.replace("{nonce}", nonce).replace("{path}", PATH).replace("{version}", &version.to_string());
    let (mut parts, body) = response.into_parts();
    let page = to_bytes(body, usize::MAX).await?;
    // The server sets the new length.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Body::from([&page, script.as_bytes()].concat())))
}

fn is_plain_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
        && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The nonce with which the page's policy allows scripts.
fn nonce(headers: &HeaderMap) -> Option<&str> {
    let policy = headers.get(header::CONTENT_SECURITY_POLICY)?.to_str().ok()?;
    let scripts = policy.split(';').find_map(|directive| directive.trim().strip_prefix("script-src "))?;
    let nonce = scripts.split(' ').find_map(|source| source.strip_prefix("'nonce-")?.strip_suffix('\''))?;
    let is_base64 = |char: char| char.is_ascii_alphanumeric() || "+/-_=".contains(char);
    nonce.chars().all(is_base64).then_some(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "default-src 'none'; style-src 'nonce-style'; script-src 'nonce-N0-nce_'; connect-src 'self'";

    fn page() -> Response {
        Response::builder()
            .header("content-type", "text/html; charset=utf-8")
            .header("content-security-policy", POLICY)
            .header("content-length", "7")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(Body::from("<p>é</p>"))
            .unwrap()
    }

    async fn body(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_page_gets_the_script_with_its_own_nonce() {
        let response = add_script(&Method::GET, page(), 7).await.unwrap();
        assert_eq!(response.headers()["content-security-policy"], POLICY);
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert!(!response.headers().contains_key("content-length"), "the old length would cut it off");
        let body = body(response).await;
        assert!(body.starts_with("<p>é</p>\n<script type=\"module\" nonce=\"N0-nce_\">"), "{body}");
        assert!(body.contains("new EventSource(\"/.devkit/reload?version=7\")") && !body.contains("{nonce}"), "{body}");
    }

    #[tokio::test]
    async fn an_error_page_gets_it_too() {
        let mut failed = page();
        *failed.status_mut() = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        assert!(body(add_script(&Method::GET, failed, 7).await.unwrap()).await.contains("<script"));
    }

    #[tokio::test]
    async fn everything_else_passes_untouched() {
        let with = |name: &'static str, value: &'static str| {
            let mut page = page();
            page.headers_mut().insert(name, value.parse().unwrap());
            page
        };
        let mut without_policy = page();
        without_policy.headers_mut().remove("content-security-policy");
        for (method, response) in [
            (Method::POST, page()),
            (Method::HEAD, page()),
            (Method::GET, without_policy),
            (Method::GET, with("content-encoding", "gzip")),
            (Method::GET, with("content-type", "application/json")),
            (Method::GET, with("content-type", "text/html-sandboxed")),
            (Method::GET, with("content-security-policy", "style-src 'nonce-a'; script-src 'self'")),
            (Method::GET, with("content-security-policy", "script-src 'nonce-\"><p>'")),
        ] {
            let before = response.headers().clone();
            let after = add_script(&method, response, 7).await.unwrap();
            assert_eq!(after.headers(), &before, "{method}");
            assert_eq!(body(after).await, "<p>é</p>", "{method} {before:?}");
        }
    }
}
