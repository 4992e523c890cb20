//! Cookies that are no session: invented, altered, repeated, planted.

use serde_json::json;

use crate::harness::{Client, World};

/// What a page and a program get without a session.
async fn assert_is_nobody(client: &mut Client, why: &str) {
    let page = client.get("/account").await;
    assert_eq!((page.status, page.location()), (303, "/sign-in?return_to=%2Faccount"), "{why}");
    let program = client.clone().program().get("/account").await;
    assert_eq!(program.status, 401, "{why}");
    assert_eq!(program.header("content-type"), "application/problem+json");
}

// control: IDN-05
#[tokio::test]
async fn a_cookie_that_is_not_a_live_token_is_no_session() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let token = olivia.cookie("session").unwrap().to_owned();
    let hash: String = sqlx::query_scalar("select encode(token_hash, 'hex') from identity.sessions")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    let id = world.sessions().await[0]["id"].as_str().unwrap().to_owned();
    let flipped = format!("{}{}", if token.starts_with('A') { "B" } else { "A" }, &token[1..]);
    for (forged, why) in [
        ("", "empty"),
        ("null", "a word"),
        (&*flipped, "another token"),
        (&token[..42], "cut"),
        (&format!("{token}A"), "longer"),
        (&format!("{token}="), "padded"),
        (&token.to_lowercase(), "another case"),
        (&hash, "the hash that is stored"),
        (&id, "the id of the session"),
        (&"A".repeat(43), "constant"),
        (&"A".repeat(20_000), "oversized"),
        ("' or 1=1--'; select pg_sleep(9); ........ ", "SQL"),
        ("\\x00%00%27", "escapes"),
    ] {
        let mut forger = world.stranger();
        forger.set_cookie("session", forged);
        assert_is_nobody(&mut forger, why).await;
    }
    assert_eq!(olivia.get("/account").await.status, 200, "and nothing of it hurt the real one");
}

#[tokio::test]
async fn two_session_cookies_are_none() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let token = olivia.cookie("session").unwrap().to_owned();
    let mut client = world.stranger();
    for (cookies, status) in [
        (format!("__Host-Http-session={token}"), 200),
        (format!("a=b; __Host-Http-session={token}; c=d"), 200),
        (format!("__Host-Http-session={token}; __Host-Http-session={}", "A".repeat(43)), 303),
        (format!("__Host-Http-session={}; __Host-Http-session={token}", "A".repeat(43)), 303),
        (format!("session={token}"), 303),
        (format!("__Host-session={token}"), 303),
        (format!("__host-http-session={token}"), 303),
        (format!("x__Host-Http-session={token}"), 303),
        (format!("a=\"; __Host-Http-session=; b=\"; c={token}"), 303),
    ] {
        let request = client.request(reqwest::Method::GET, "/account").header("cookie", &cookies);
        assert_eq!(client.send(request).await.status, status, "{cookies}");
    }
    for header in ["authorization", "x-session", "x-forwarded-user", "x-user-id"] {
        let request = client.request(reqwest::Method::GET, "/account").header(header, format!("Bearer {token}"));
        assert_eq!(client.send(request).await.status, 303, "{header}: a session is in its cookie and nowhere else");
    }
    assert_eq!(client.get(&format!("/account?session={token}")).await.status, 303);
}

// control: IDN-05
#[tokio::test]
async fn a_session_planted_before_the_sign_in_is_not_adopted() {
    let world = World::start().await;
    let mallory = world.sign_in("gus").await;
    let planted = mallory.cookie("session").unwrap().to_owned();
    for planted in [&planted, &"A".repeat(43)] {
        let mut olivia = world.stranger();
        olivia.set_cookie("session", planted);
        let callback = world.click_at_provider(&mut olivia, "olivia").await;
        assert_eq!(olivia.get_from_elsewhere(&callback).await.status, 200);
        assert_ne!(olivia.cookie("session").unwrap(), planted.as_str(), "always a new token");
        assert!(olivia.get("/account").await.body.contains("Olivia Owner"));
        let mut attacker = world.stranger();
        attacker.set_cookie("session", planted);
        assert_is_nobody(&mut attacker, "what was planted is worth nothing").await;
    }
}

// control: IDN-05
#[tokio::test]
async fn signing_in_again_in_the_same_browser_ends_the_session_before() {
    let world = World::start().await;
    let mut browser = world.sign_in("olivia").await;
    let mut left_behind = browser.clone();
    let mut elsewhere = world.sign_in("olivia").await;
    let callback = world.click_at_provider(&mut browser, "adam").await;
    assert_eq!(left_behind.get("/account").await.status, 200, "not before the new one is there");
    assert_eq!(browser.get_from_elsewhere(&callback).await.status, 200);
    assert!(browser.get("/account").await.body.contains("Adam Admin"));
    assert_is_nobody(&mut left_behind, "the session before has ended").await;
    assert_eq!(elsewhere.get("/account").await.status, 200, "another browser keeps its own");
    let sessions = world.sessions().await;
    let ended: Vec<_> = sessions.iter().filter(|session| session["ended_at"] != json!(null)).collect();
    assert_eq!((ended.len(), &ended[0]["ended_reason"]), (1, &json!("signed in again")));
    let event = world.events("session.replaced").await.pop().unwrap();
    assert_eq!(event["target"], format!("Session::{}", ended[0]["id"].as_str().unwrap()));
}
