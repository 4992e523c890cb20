//! Only our own pages may send anything, and other sites may link to pages and nothing more.

use reqwest::Method;

use crate::harness::changes::{form_for, forms};
use crate::harness::{Client, World, browser_routes};

const FOREIGN: [&[(&str, &str)]; 7] = [
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "Same-Origin")],
    &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
    &[("origin", "https://evil.example")],
    &[("origin", "null")],
    &[("origin", "http://localhost")],
];

async fn send(client: &Client, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> u16 {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = client.request(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client.clone().send(request.body(body)).await.status
}

// control: API-06
#[tokio::test]
async fn no_post_that_another_site_starts_does_anything() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    let posts: Vec<_> = browser_routes().into_iter().filter(|row| row.method == "POST").collect();
    assert_eq!(posts.len(), forms().len());
    for row in &posts {
        let (address, form) = (samples.path(&row.path), form_for(&row.path));
        for headers in FOREIGN {
            let status = send(&olivia, &address, &form, headers).await;
            if row.guard == "LogoutToken" {
                // It comes from a provider, not from a browser: what counts is the signature.
                assert!(matches!(status, 400 | 403), "{headers:?} {row:?}: {status}");
            } else {
                assert_eq!(status, 403, "{headers:?} {row:?}");
            }
        }
        let mut request = olivia.request(Method::POST, &address);
        request = request.header("sec-fetch-site", reqwest::header::HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(olivia.clone().send(request).await.status, 403, "{row:?}");
    }
    assert_eq!(world.state().await, before);

    // The same forms, from our own page: it was the origin that was refused.
    let contacts = world.acme.contacts();
    let ours = [("origin", &*world.url("")), ("sec-fetch-site", "same-origin")];
    assert_eq!(send(&olivia, &contacts, &[("name", "From our page")], &ours).await, 303);
    assert_eq!(send(&olivia, &contacts, &[("name", "From an old browser")], &ours[..1]).await, 303);
    assert_ne!(world.state().await, before);
}

#[tokio::test]
async fn pages_are_not_there_for_other_sites_to_embed() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    for row in browser_routes().iter().filter(|row| row.method == "GET") {
        let address = samples.path(&row.path);
        for (mode, destination) in
            [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")]
        {
            let request = olivia
                .request(Method::GET, &address)
                .header("sec-fetch-site", "cross-site")
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-dest", destination);
            let answer = olivia.clone().send(request).await;
            assert_eq!(answer.status, 403, "{mode} {destination} {row:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn methods_that_a_path_does_not_take_are_refused_and_the_ones_it_takes_named() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    for row in browser_routes() {
        let address = samples.path(&row.path);
        for method in ["TRACE", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get"] {
            let request = olivia.request(Method::from_bytes(method.as_bytes()).unwrap(), &address);
            let answer = olivia.clone().send(request).await;
            assert_eq!(answer.status, 405, "{method} {row:?}: {}", answer.text());
            assert!(answer.header("allow").split(',').any(|allowed| allowed == row.method), "{method} {row:?}");
        }
    }
    for request in ["CONNECT localhost:1 HTTP/1.1", "OPTIONS * HTTP/1.1", "TRACE * HTTP/1.1", "GET * HTTP/1.1"] {
        let answer = world.raw(format!("{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
        assert!(matches!(answer.status(), 400..=405), "{request}: {}", answer.0);
    }
    assert_eq!(world.state().await, before);
}
