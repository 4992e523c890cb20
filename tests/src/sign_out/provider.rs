//! On to the provider's own sign-out and back (OpenID Connect RP-Initiated Logout 1.0).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use devkit::idp::Fault;

use crate::harness::{Client, World};

/// Signs out here. Gives the browser and the address of the provider's sign-out.
async fn signed_out(world: &World) -> (Client, url::Url) {
    let mut client = world.sign_in("olivia").await;
    let answer = client.post("/sign-out", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let line = answer.sets("logout").unwrap().to_owned();
    assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{line}");
    (client, answer.moves_on_to().parse().unwrap())
}

fn parameter(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

// control: IDN-20
#[tokio::test]
async fn the_provider_is_asked_to_end_its_session_too_and_sends_people_back() {
    let world = World::start().await;
    let (mut client, url) = signed_out(&world).await;
    assert!(url.as_str().starts_with(&format!("{}/end-session?", world.idp.issuer())), "{url}");
    assert_eq!(parameter(&url, "client_id").as_deref(), Some("holdfast"));
    assert_eq!(parameter(&url, "post_logout_redirect_uri"), Some(world.url("/signed-out")));
    assert_eq!(parameter(&url, "id_token_hint"), None, "no ID token is kept");
    let state = parameter(&url, "state").unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(&state).unwrap().len(), 32);

    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    assert_eq!(http.get(url.clone()).send().await.unwrap().status(), 200, "the provider asks the person");
    let confirmed = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("confirm=1")
        .send()
        .await
        .unwrap();
    let back = confirmed.headers()["location"].to_str().unwrap();
    assert_eq!(back, format!("{}?state={state}", world.url("/signed-out")));
    let page = client.get_from_elsewhere(back.strip_prefix(&world.url("")).unwrap()).await;
    assert!(page.status == 200 && page.body.contains("at your sign-in provider. Thank you"), "{}", page.text());
    assert_eq!(client.get("/account").await.status, 303);
}

#[tokio::test]
async fn coming_back_with_another_state_is_refused_and_without_one_it_is_only_a_page() {
    let world = World::start().await;
    let (mut client, url) = signed_out(&world).await;
    let state = parameter(&url, "state").unwrap();
    let (_, other) = signed_out(&world).await;
    for wrong in ["", "x", &state[..42], &format!("{state}A"), &parameter(&other, "state").unwrap()] {
        let page = client.get_from_elsewhere(&format!("/signed-out?state={wrong}")).await;
        assert_eq!(page.status, 400, "{wrong}: {}", page.text());
    }
    let twice = client.get_from_elsewhere(&format!("/signed-out?state={state}&state={state}")).await;
    assert_eq!(twice.status, 422);
    assert_eq!(client.get_from_elsewhere("/signed-out?state=x&x=1").await.status, 400, "what is not known is ignored");
    assert_eq!(client.get_from_elsewhere("/signed-out?state=%00%ff").await.status, 400);
    let stranger = world.stranger().get_from_elsewhere(&format!("/signed-out?state={state}")).await;
    assert_eq!(stranger.status, 400, "not started in this browser");
    let missing = client.get_from_elsewhere("/signed-out").await;
    assert!(missing.status == 200 && !missing.body.contains("and at your sign-in provider."), "{}", missing.text());
    let right = client.get_from_elsewhere(&format!("/signed-out?state={state}")).await;
    assert!(right.status == 200 && right.body.contains("and at your sign-in provider."), "{}", right.text());
}

// control: IDN-20
#[tokio::test]
async fn a_provider_that_is_down_keeps_nobody_signed_in() {
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__METADATA_SECONDS", "0")]).await;
    let mut olivia = world.sign_in("olivia").await;
    let mut tab = olivia.clone();
    world.idp.set_fault(Fault::DiscoveryDown);
    let answer = olivia.post("/sign-out", &[]).await;
    assert!(answer.status == 200 && answer.body.contains("You are signed out"), "{}", answer.text());
    assert!(!answer.body.contains("http-equiv"), "it stays here: {}", answer.body);
    assert_eq!((olivia.cookie("session"), answer.sets("logout")), (None, None));
    assert_eq!(tab.get("/account").await.status, 303);
    assert_eq!(world.events("session.signed_out").await.len(), 1);
}
