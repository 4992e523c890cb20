//! A sign-in that goes well: what is asked of the provider, which cookies come of it, and what is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use devkit::idp::Alg;
use serde_json::json;

use super::parameter;
use crate::harness::{World, log};

// control: IDN-01
#[tokio::test]
async fn the_authorization_request_asks_for_a_code_with_pkce_and_everything_that_is_checked_later() {
    let world = World::start().await;
    let mut client = world.stranger();
    let url = client.post("/sign-in/dev", &[("return_to", "/account")]).await.moves_on_to();
    assert!(url.starts_with(&format!("{}/authorize?", world.idp.issuer())), "{url}");
    let asked = |name| parameter(&url, name);
    assert_eq!(asked("response_type"), "code");
    assert_eq!(asked("client_id"), "holdfast");
    assert_eq!(asked("redirect_uri"), world.url("/sign-in/dev/callback"));
    assert_eq!(asked("code_challenge_method"), "S256");
    assert_eq!(asked("max_age"), "28800");
    assert_eq!(asked("scope"), "openid profile email");
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(URL_SAFE_NO_PAD.decode(asked(name)).unwrap().len(), 32, "{name}: 256 bits");
    }
    for absent in ["client_secret", "response_mode", "request", "code_verifier", "id_token_hint"] {
        assert!(!url.contains(absent), "{absent}: {url}");
    }
    let again = client.post("/sign-in/dev", &[("return_to", "/account")]).await.moves_on_to();
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(parameter(&again, name), asked(name), "{name} is used once");
    }
}

#[tokio::test]
async fn a_person_signs_in_with_each_algorithm_that_counts() {
    let world = World::start().await;
    for (alg, subject) in [(Alg::Rs256, "olivia"), (Alg::Es256, "adam"), (Alg::EdDsa, "nora")] {
        world.idp.set_key(alg);
        let mut client = world.sign_in_at_provider(subject).await;
        let account = client.get("/account").await;
        assert!(account.status == 200 && account.body.contains(&format!("{subject}@example.com")), "{alg:?}");
        let sessions = world.sessions().await;
        let session = sessions.last().unwrap();
        assert_eq!(session["subject"], subject);
        assert_eq!(session["issuer"], world.idp.issuer());
        assert_eq!(session["methods"], json!(["oidc", "pwd"]));
        assert_eq!(session["upstream_sid"], world.idp.sign_ins().last().unwrap().sid);
        assert_eq!(session["ended_at"], json!(null));
        let events = world.events("sign_in.succeeded").await;
        let event = events.last().unwrap();
        assert_eq!(event["target"], format!("Session::{}", session["id"].as_str().unwrap()));
        assert_eq!((&event["actor"], &event["session_id"]), (&session["user_id"], &session["id"]));
        assert_eq!(event["details"], json!({ "provider": "dev", "device": "Chrome on Linux" }));
    }
    assert_eq!(world.traces().await.logins, 0, "each was used up");
}

// control: IDN-04
#[tokio::test]
async fn cookies_are_for_this_host_alone_and_for_no_script() {
    let world = World::start().await;
    let mut client = world.stranger();
    let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
    let attributes = |line: &str| line.split_once("; ").unwrap().1.to_owned();
    let login = started.sets("login").unwrap();
    assert_eq!(attributes(login), "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
    assert_eq!(started.sets("session"), None, "nobody is signed in yet");

    let location = world.idp.sign_in(&started.moves_on_to(), "olivia").await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    let session = answer.sets("session").unwrap();
    assert_eq!(attributes(session), "Path=/; Secure; HttpOnly; SameSite=Strict", "and no Domain, no Max-Age");
    assert_eq!(attributes(answer.sets("login").unwrap()), "Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    assert_eq!(client.cookie("login"), None);
    let token = client.cookie("session").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(token).unwrap().len(), 32, "256 bits");

    // A page that moves on by itself: a redirect would arrive without the strict cookie.
    assert_eq!((answer.status, answer.moves_on_to().as_str()), (200, "/account"));
    for page in [&started, &answer] {
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
    }
}

// control: IDN-04
// control: IDN-05
#[tokio::test]
async fn no_token_is_in_any_page_log_line_or_row() {
    let world = World::start().await;
    let mut client = world.stranger();
    let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
    let asked = started.moves_on_to();
    let handle = client.cookie("login").unwrap().to_owned();
    let stored_meanwhile = world.everything_stored().await;

    let location = world.idp.sign_in(&asked, "olivia").await.unwrap();
    let callback = location.strip_prefix(&world.url("")).unwrap();
    let answer = client.get_from_elsewhere(callback).await;
    let token = client.cookie("session").unwrap().to_owned();
    let code = parameter(callback, "code");
    let mut pages = vec![answer.body];
    for path in ["/account", "/organizations", "/", &world.acme.url(), "/nothing-here"] {
        pages.push(client.get(path).await.body);
    }
    let stored = world.everything_stored().await;
    let logged = log::everything();

    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let decoded =
        |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap().iter().map(|b| format!("{b:02x}")).collect::<String>();
    for (what, secret) in [("session", &token), ("handle", &handle), ("state", &parameter(&asked, "state"))] {
        for form in [secret.clone(), hex(secret), decoded(secret)] {
            assert!(!stored.contains(&form) && !stored_meanwhile.contains(&form), "{what} is stored");
        }
        assert!(!logged.contains(secret.as_str()), "{what} is logged");
        assert!(pages.iter().all(|page| !page.contains(secret.as_str())), "{what} is on a page");
    }
    for secret in ["eyJhbGci", &code, "a secret of the client"] {
        assert!(!stored.contains(secret) && !stored.contains(&hex(secret)), "{secret} is stored");
        assert!(!logged.contains(secret), "{secret} is logged");
        assert!(pages.iter().all(|page| !page.contains(secret)), "{secret} is on a page");
    }
    // The scan sees what is there: the hash of the token.
    let hash: String = sqlx::query_scalar("select encode(sha256(convert_to($1, 'utf8')), 'hex')")
        .bind(&token)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    assert!(stored.contains(&hash));
}
