use axum::http::{HeaderMap, Method};

/// Whether a browser may send this request, given the origin that the browser reports (Fetch Metadata, W3C).
///
/// Other sites may navigate to our pages with a plain GET, as links do. They may not embed or fetch our pages, or
/// submit anything to them. A client without these headers is not a current browser. For old browsers, the strict
/// cookie and the check of `Origin` apply.
pub(crate) fn allowed(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|sent| sent == value);
    let ours =
        !headers.contains_key("sec-fetch-site") || is("sec-fetch-site", "same-origin") || is("sec-fetch-site", "none");
    ours || (method == Method::GET && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document"))
}

/// Whether another site started the request. In that case the browser did not send the strict cookie.
pub(crate) fn came_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_sites_may_link_and_nothing_else() {
        let ask = |method: Method, site: &str, mode: &str, dest: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", site.parse().unwrap());
            headers.insert("sec-fetch-mode", mode.parse().unwrap());
            headers.insert("sec-fetch-dest", dest.parse().unwrap());
            allowed(&method, &headers)
        };
        assert!(allowed(&Method::POST, &HeaderMap::new()));
        assert!(ask(Method::POST, "same-origin", "navigate", "document"));
        assert!(ask(Method::GET, "none", "navigate", "document"));
        assert!(ask(Method::GET, "cross-site", "navigate", "document"));
        assert!(!ask(Method::POST, "cross-site", "navigate", "document"));
        assert!(!ask(Method::POST, "same-site", "navigate", "document"));
        assert!(!ask(Method::GET, "cross-site", "navigate", "iframe"));
        assert!(!ask(Method::GET, "cross-site", "no-cors", "image"));
        assert!(!ask(Method::GET, "same-site", "cors", "empty"));
        assert!(!ask(Method::GET, "anything", "no-cors", "script"));
        let mut headers = HeaderMap::new();
        headers.insert("sec-fetch-site", axum::http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!allowed(&Method::POST, &headers), "what cannot be read is not nothing");
    }
}
