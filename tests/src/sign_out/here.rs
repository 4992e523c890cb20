//! The sign-out button: it ends the session at once, everywhere it is used, and nobody else can press it.

use reqwest::Method;
use serde_json::json;

use crate::harness::{World, log};

// control: IDN-20
#[tokio::test]
async fn signing_out_ends_the_session_in_every_tab_and_clears_the_browser() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut before = olivia.clone();
    world.wait(900);
    assert!(olivia.get("/account").await.sets("session").is_some(), "a new token; the one before is in its grace time");
    let mut tab = olivia.clone();
    let mut at_home = world.sign_in("olivia").await;
    assert_eq!((tab.get("/account").await.status, before.get("/account").await.status), (200, 200));

    let answer = olivia.post("/sign-out", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("clear-site-data"), "\"cache\", \"storage\"");
    assert_eq!(answer.header("cache-control"), "no-store");
    let removed = answer.sets("session").unwrap();
    assert_eq!(removed, "__Host-Http-session=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    assert_eq!(olivia.cookie("session"), None);
    for client in [&mut tab, &mut before] {
        assert_eq!(client.get("/account").await.status, 303, "gone for the very next request");
        assert_eq!(client.clone().program().get(&world.acme.url()).await.status, 401);
    }
    assert_eq!(at_home.get("/account").await.status, 200, "another browser stays signed in");

    let session = &world.sessions().await[0];
    assert_eq!(session["ended_reason"], "signed out");
    assert_ne!(session["ended_at"], json!(null));
    let events = world.events("session.signed_out").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["target"], format!("Session::{}", session["id"].as_str().unwrap()));
    assert_eq!((&events[0]["actor"], &events[0]["session_id"]), (&session["user_id"], &session["id"]));
    assert_eq!(events[0]["request_id"], answer.header("x-request-id"));
    assert!(!log::lines_of(answer.header("x-request-id")).is_empty());
}

// control: IDN-20
#[tokio::test]
async fn no_other_site_and_no_link_signs_anybody_out() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let get = olivia.get("/sign-out").await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    for (site, origin) in
        [("cross-site", "https://evil.example"), ("same-site", "http://other.localhost"), ("cross-site", "null")]
    {
        let request = olivia
            .request(Method::POST, "/sign-out")
            .header("origin", origin)
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("");
        let answer = olivia.send(request).await;
        assert_eq!(answer.status, 403, "{site} {origin}: {}", answer.text());
        assert_eq!((answer.header("clear-site-data"), answer.sets("session")), ("", None), "{site} {origin}");
        assert_eq!(olivia.get("/account").await.status, 200, "{site} {origin}");
    }
}

#[tokio::test]
async fn an_old_browser_that_only_sends_its_origin_is_refused_from_another_site() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for origin in ["https://evil.example", "http://localhost:1", "null"] {
        let request = olivia.request(Method::POST, "/sign-out").header("origin", origin).body("");
        assert_eq!(olivia.send(request).await.status, 403, "{origin}");
        assert_eq!(olivia.get("/account").await.status, 200, "{origin}");
    }
}

#[tokio::test]
async fn signing_out_twice_or_without_a_session_changes_nothing() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let mut twins = [olivia.clone(), olivia.clone()];
    let [one, two] = &mut twins;
    let (one, two) = tokio::join!(one.post("/sign-out", &[]), two.post("/sign-out", &[]));
    assert_eq!((one.status, two.status), (200, 200));
    for mut client in [olivia, world.stranger()] {
        let again = client.post("/sign-out", &[]).await;
        assert_eq!(again.status, 200, "{}", again.text());
        assert!(again.text().contains("You are signed out"), "{}", again.text());
        assert!(again.sets("session").unwrap().contains("Max-Age=0"));
        assert_eq!(again.header("clear-site-data"), "\"cache\", \"storage\"");
        assert_eq!(
            client.post("/sign-out", &[("more", "x")]).await.status,
            422,
            "of what is sent, nothing new is taken"
        );
    }
    assert_eq!(world.events("session.signed_out").await.len(), 1, "it happened once");
}
