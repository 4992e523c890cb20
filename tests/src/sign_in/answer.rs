//! The answer as text: errors a provider sends, parameters that come twice, are missing, or are not what they should be.

use serde_json::json;

use super::{assert_is_a_plain_page, parameter};
use crate::harness::{Client, World};

async fn started(world: &World) -> (Client, String, String) {
    let mut client = world.stranger();
    let callback = world.click_at_provider(&mut client, "nora").await;
    (client, parameter(&callback, "state"), callback)
}

fn callback(fields: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("/sign-in/dev/callback?{query}")
}

#[tokio::test]
async fn an_error_of_the_provider_ends_the_sign_in_and_is_not_repeated_on_the_page() {
    let world = World::start().await;
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}\u{202e}\r\nSet-Cookie: a=b";
    for error in ["access_denied", "login_required", hostile, &"e".repeat(4000)] {
        let (mut client, state, good) = started(&world).await;
        let issuer = world.idp.issuer();
        let fields = [
            ("error", error),
            ("error_description", hostile),
            ("error_uri", hostile),
            ("state", &state),
            ("iss", &issuer),
        ];
        let answer = client.get_from_elsewhere(&callback(&fields)).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.body.contains("cancelled or declined"), "{}", answer.text());
        assert_is_a_plain_page(&answer);
        for word in ["alert(1)", "7*7", "eeee", "login_required"] {
            assert!(!answer.body.contains(word), "{word}: {}", answer.body);
        }
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 0);
        assert_eq!(client.get_from_elsewhere(&good).await.status, 400, "the state is used up");
        let event = world.events("sign_in.failed").await.pop().unwrap();
        let reason = event["details"]["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("response: error ") && reason.len() < 90 && !reason.contains('\u{202e}'),
            "{reason}"
        );
    }
    assert_eq!((world.traces().await.sessions, world.idp.counts().token), (0, 0));
}

// control: IDN-02
#[tokio::test]
async fn a_parameter_that_comes_twice_or_not_at_all_ends_the_sign_in() {
    let world = World::start().await;
    let issuer = world.idp.issuer();
    let long = "c".repeat(2049);
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[("code", "one"), ("code", "two"), ("iss", &issuer)], "response: a parameter occurs twice"),
        (&[("code", "same"), ("code", "same"), ("iss", &issuer)], "response: a parameter occurs twice"),
        (&[("code", "one"), ("iss", &issuer), ("iss", "http://evil.example")], "response: a parameter occurs twice"),
        (&[("error", "a"), ("error", "b"), ("iss", &issuer)], "response: a parameter occurs twice"),
        (&[("iss", &issuer)], "response: no code"),
        (&[("code", ""), ("iss", &issuer)], "response: no code"),
        (&[("code", &long), ("iss", &issuer)], "response: no code"),
        (&[("code", "one"), ("iss", "")], "response: it has another issuer, or lacks a promised one"),
    ];
    for (fields, reason) in cases {
        let (mut client, state, good) = started(&world).await;
        let fields = [fields, &[("state", state.as_str())]].concat();
        let answer = client.get_from_elsewhere(&callback(&fields)).await;
        assert_eq!((answer.status, answer.sets("session")), (403, None), "{fields:?}: {}", answer.text());
        let event = world.events("sign_in.failed").await.pop().unwrap();
        assert_eq!(event["details"], json!({ "provider": "dev", "reason": reason }), "{fields:?}");
        assert_eq!(client.get_from_elsewhere(&good).await.status, 400, "{fields:?}: the state is used up");
    }
    assert_eq!(world.idp.counts().token, 0, "nothing of this reached the provider");
}

#[tokio::test]
async fn an_answer_without_the_one_right_state_finds_no_sign_in() {
    let world = World::start().await;
    let (mut client, state, good) = started(&world).await;
    let cut = &state[..42];
    let long = "s".repeat(20_000);
    for query in [
        String::new(),
        "?".to_owned(),
        "?code=x".to_owned(),
        "?code=x&state=".to_owned(),
        format!("?code=x&state={cut}"),
        format!("?code=x&state={long}"),
        format!("?code=x&state={state}%00"),
        format!("?code=x&STATE={state}"),
        format!("?code=x#state={state}"),
        "?%ff%fe=%00&state=%ff".to_owned(),
        "?state[]=x&code[]=y".to_owned(),
    ] {
        let answer = client.get_from_elsewhere(&format!("/sign-in/dev/callback{query}")).await;
        assert_eq!((answer.status, answer.sets("session")), (400, None), "{query}: {}", answer.text());
        assert_is_a_plain_page(&answer);
    }
    assert_eq!(client.get_from_elsewhere(&good).await.status, 200, "the sign-in was waiting for the right one");
}

#[tokio::test]
async fn a_forged_code_is_the_callers_fault_and_not_the_providers() {
    let world = World::start().await;
    let issuer = world.idp.issuer();
    for code in ["x", "<script>", "a b&c=d\u{e9}\0", &"c".repeat(2048)] {
        let (mut client, state, _) = started(&world).await;
        let answer = client.get_from_elsewhere(&callback(&[("code", code), ("state", &state), ("iss", &issuer)])).await;
        assert_eq!((answer.status, answer.sets("session")), (403, None), "{code:?}: {}", answer.text());
        assert_is_a_plain_page(&answer);
    }
    assert_eq!(world.idp.counts().token, 4);
}

#[tokio::test]
async fn a_callback_is_fetched_by_navigation_only() {
    let world = World::start().await;
    let (mut client, _, good) = started(&world).await;
    let posted = client.post(&good, &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET,HEAD"));
    let embedded = client
        .request(reqwest::Method::GET, &good)
        .header("sec-fetch-site", "cross-site")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "iframe");
    assert_eq!(client.send(embedded).await.status, 403);
    assert_eq!(client.get_from_elsewhere(&good).await.status, 200);
}
