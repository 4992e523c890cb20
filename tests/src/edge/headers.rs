//! The headers that no response leaves without, and pages that live with them.

use std::collections::{BTreeMap, HashSet};

use reqwest::Method;

use super::{assert_one_line, assets};
use crate::harness::{Answer, World, browser_routes};

/// Checks everything that is the same on every response, and returns the nonce.
pub(super) fn assert_guarded(answer: &Answer) -> String {
    let what = answer.text();
    for (name, value) in [
        ("strict-transport-security", "max-age=63072000; includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("origin-agent-cluster", "?1"),
        // No address leaves for another site, and the forms of each page name their origin.
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name}: {what}");
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}: {what}");
    }
    for denied in ["camera=()", "geolocation=()", "microphone=()", "payment=()", "usb=()"] {
        assert!(answer.header("permissions-policy").contains(denied), "{denied}: {what}");
    }
    assert!(answer.headers.get("server").is_none() && answer.headers.get("x-powered-by").is_none());
    assert_eq!(answer.headers.get_all("content-security-policy").iter().count(), 1, "{what}");
    nonce(answer.header("content-security-policy"))
}

/// The policy allows what it must and nothing else.
fn nonce(policy: &str) -> String {
    let mut directives: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for directive in policy.split(';') {
        let mut words = directive.split_whitespace();
        let earlier = directives.insert(words.next().unwrap(), words.collect());
        assert!(earlier.is_none(), "said twice: {policy}");
    }
    let source = directives["style-src"][0];
    let nonce = source.strip_prefix("'nonce-").and_then(|rest| rest.strip_suffix('\'')).unwrap().to_owned();
    assert!(nonce.len() >= 22, "at least 128 bits: {nonce}");
    let expected = BTreeMap::from([
        ("default-src", vec!["'none'"]),
        ("style-src", vec![source]),
        ("script-src", vec![source]),
        ("img-src", vec!["'self'"]),
        ("connect-src", vec!["'self'"]),
        ("form-action", vec!["'self'"]),
        ("frame-ancestors", vec!["'none'"]),
        ("base-uri", vec!["'none'"]),
        ("require-trusted-types-for", vec!["'script'"]),
        ("trusted-types", vec!["'none'"]),
    ]);
    assert_eq!(directives, expected);
    nonce
}

/// The page needs nothing that the policy refuses.
fn assert_plain(page: &str, nonce: &str) {
    let mut tags = page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default());
    let mut styled = false;
    for tag in tags.by_ref() {
        let name = tag.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        assert!(!["style", "iframe", "object", "embed", "base"].contains(&name.as_str()), "<{tag}>");
        if name == "script" {
            let begins = ["passkeys", "work"].map(|name| format!("script type=\"module\" src=\"/assets/{name}-"));
            let ours = begins.iter().any(|begin| tag.starts_with(begin));
            assert!(ours && tag.ends_with(&format!(".js\" nonce=\"{nonce}\"")), "<{tag}>");
        }
        // What is in quotes is somebody's text; what is between the quotes are attributes.
        for attribute in tag.split('"').step_by(2).flat_map(str::split_whitespace) {
            let attribute = attribute.to_ascii_lowercase();
            assert!(!attribute.starts_with("style=") && !attribute.starts_with("on"), "<{tag}>");
        }
        assert!(!tag.to_ascii_lowercase().contains("javascript:"), "<{tag}>");
        if tag.starts_with("link rel=\"stylesheet\"") {
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "<{tag}> with {nonce}");
            styled = true;
        }
    }
    assert!(styled, "a page without style");
}

// control: API-06
#[tokio::test]
async fn every_response_carries_the_complete_headers_and_a_nonce_of_its_own() {
    let world = World::start().await;
    let samples = world.samples().await;
    let (mut olivia, mut stranger) = (world.sign_in("olivia").await, world.stranger());
    let mut nonces = HashSet::new();
    let mut look = |answer: Answer| {
        let nonce = assert_guarded(&answer);
        assert_one_line(&answer);
        if answer.header("content-type").starts_with("text/html") {
            assert_plain(&answer.body, &nonce);
        }
        if ["text/css; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml"]
            .contains(&answer.header("content-type"))
        {
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        } else if answer.body.starts_with("{\"keys\"")
            || answer.body.starts_with("{\"issuer\"")
            || answer.body.starts_with("{\"openapi\"")
        {
            assert_eq!(answer.header("cache-control"), "public, max-age=300");
        } else {
            assert_eq!(answer.header("cache-control"), "no-store", "{}", answer.text());
        }
        assert!(nonces.insert(nonce), "a nonce came twice: {}", answer.text());
    };
    for row in browser_routes() {
        let address = samples.path(&row.path);
        look(stranger.clone().get(&address).await);
        look(stranger.clone().program().get(&address).await);
        look(stranger.clone().post(&address, &[]).await);
        look(olivia.clone().get(&address).await);
        let request = olivia.request(Method::DELETE, &address);
        look(olivia.clone().send(request).await);
        let request = olivia.request(Method::HEAD, &address);
        look_at_head(&olivia.clone().send(request).await);
    }
    for asset in assets(&world).await {
        let answer = stranger.get(&asset).await;
        assert_eq!(answer.status, 200);
        look(answer);
        look(stranger.post(&asset, &[]).await);
    }
    look(stranger.get("/nowhere").await);
    look(stranger.clone().program().get("/assets/style.css").await);
    look(olivia.get(&world.acme.contacts()).await);
    let callback = world.click_at_provider(&mut stranger, "gus").await;
    let answer = stranger.get_from_elsewhere(&callback).await;
    look(answer);
}

fn look_at_head(answer: &Answer) {
    assert_guarded(answer);
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn assets_are_named_by_their_content_and_of_their_type() {
    let world = World::start().await;
    let assets = assets(&world).await;
    assert_eq!(assets.len(), 2, "{assets:?}");
    for (asset, kind) in assets.iter().zip(["image/svg+xml", "text/css; charset=utf-8"]) {
        let answer = world.stranger().get(asset).await;
        assert_eq!(answer.header("content-type"), kind);
        let hash = asset.rsplit(['-', '.']).nth(1).unwrap();
        assert!(hash.len() == 12 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{asset}");
    }
}
