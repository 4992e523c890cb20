//! Providers as they really are: what they send besides, leave out, or say elsewhere, and the settings for it.

use devkit::idp::{Alg, Fault, Quirks};
use serde_json::{Value, json};

use super::{parameter, try_to_sign_in};
use crate::harness::{Client, World, log};

const ALWAYS_ASK: (&str, &str) = ("AUTHN__PROVIDERS__DEV__METADATA_SECONDS", "0");

fn claims(value: &Value) -> Quirks {
    Quirks { claims: value.as_object().unwrap().clone(), ..Quirks::default() }
}

fn metadata(value: &Value) -> Quirks {
    Quirks { metadata: value.as_object().unwrap().clone(), ..Quirks::default() }
}

async fn reason(world: &World) -> String {
    let event = world.events("sign_in.failed").await.pop().unwrap();
    event["details"]["reason"].as_str().unwrap().to_owned()
}

/// The newest session, with what is kept of it.
async fn session(world: &World) -> Value {
    world.sessions().await.pop().unwrap()
}

// control: IDN-03
#[tokio::test]
async fn unneeded_claims_of_any_type_do_not_stop_a_sign_in() {
    let world = World::start().await;
    for odd in [
        json!({ "email_verified": "true" }),
        json!({ "email_verified": 1 }),
        json!({ "amr": "pwd" }),
        json!({ "amr": [1, null, "pwd", {}] }),
        json!({ "sid": 17 }),
        json!({ "sid": { "a": 1 } }),
        json!({ "acr": 1 }),
        json!({ "acr": ["x"] }),
        json!({ "address": "x", "phone_number_verified": "true", "updated_at": "2026-11-29", "birthdate": 7 }),
        json!({ "nbf": 1_700_000_000.5 }),
        json!({ "nbf": "yesterday" }),
        json!({ "name": { "de": "Nora" } }),
        json!({ "email": ["nora@example.com"] }),
        json!({ "exp": 4_000_000_000.25_f64 }),
        json!({ "locale": 1, "zoneinfo": [], "gender": false, "picture": "no address", "profile": "::", "groups": "all" }),
    ] {
        world.idp.set_quirks(claims(&odd));
        let mut client = world.stranger();
        let answer = try_to_sign_in(&world, &mut client, "nora").await;
        assert_eq!(answer.status, 200, "{odd}: {}", answer.text());
        let account = client.get("/account").await;
        assert_eq!(account.status, 200, "{odd}");
        // An address that cannot be read in the token is asked for at userinfo.
        let unverified = odd.get("email_verified").is_some();
        assert_eq!(account.body.contains("Not verified"), unverified, "{odd}: {}", account.text());
    }
    world.idp.set_quirks(claims(&json!({ "sid": 17, "amr": "pwd" })));
    world.sign_in_at_provider("nora").await;
    let session = session(&world).await;
    assert_eq!((&session["upstream_sid"], &session["methods"]), (&json!("17"), &json!(["oidc", "pwd"])));
}

// control: IDN-03
#[tokio::test]
async fn claims_that_are_checked_are_as_strict_as_before() {
    let world = World::start().await;
    for wrong in [
        json!({ "iss": 1 }),
        json!({ "aud": 1 }),
        json!({ "aud": [] }),
        json!({ "sub": 17 }),
        json!({ "sub": null }),
        json!({ "exp": "4000000000" }),
        json!({ "exp": null }),
        json!({ "iat": null }),
        json!({ "iat": "now" }),
        json!({ "nonce": 1 }),
        json!({ "auth_time": "1700000000" }),
        json!({ "azp": 1 }),
        json!({ "azp": ["holdfast"] }),
        json!({ "at_hash": 1 }),
        json!({ "nbf": 4_000_000_000.5_f64 }),
    ] {
        world.idp.set_quirks(claims(&wrong));
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!((answer.status, answer.sets("session")), (403, None), "{wrong}: {}", answer.text());
    }
    assert_eq!(world.traces().await.sessions, 0);
}

// control: IDN-03
#[tokio::test]
async fn a_numeric_context_counts_as_its_text() {
    let acr = "[authn.providers.dev]\nacr_values = [\"1\"]\n";
    let world = World::start_on(crate::harness::Database::create().await, acr, &[]).await;
    for (acr, status) in [(json!(1), 200), (json!("1"), 200), (json!(2), 403), (json!(["1"]), 403), (json!(null), 403)]
    {
        world.idp.set_quirks(claims(&json!({ "acr": acr })));
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, status, "{acr}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_token_response_is_read_for_its_tokens_alone() {
    let world = World::start().await;
    for odd in [
        json!({ "expires_in": "300" }),
        json!({ "expires_in": null, "token_type": null }),
        json!({ "token_type": 1, "scope": ["openid"], "refresh_token": {}, "not_before_policy": 0 }),
    ] {
        world.idp.set_quirks(Quirks { tokens: odd.as_object().unwrap().clone(), ..Quirks::default() });
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, 200, "{odd}: {}", answer.text());
    }
    let none = json!({ "id_token": null });
    world.idp.set_quirks(Quirks { tokens: none.as_object().unwrap().clone(), ..Quirks::default() });
    assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 403);
}

#[tokio::test]
async fn metadata_is_read_for_what_is_needed_alone() {
    let world = World::start_with(&[ALWAYS_ASK]).await;
    for odd in [
        json!({ "userinfo_endpoint": 1, "end_session_endpoint": "no address", "scopes_supported": "openid" }),
        json!({ "response_types_supported": null, "subject_types_supported": 1, "claims_parameter_supported": "yes" }),
        json!({ "id_token_signing_alg_values_supported": null, "grant_types_supported": {} }),
        json!({ "token_endpoint_auth_methods_supported": null, "acr_values_supported": true }),
        json!({ "authorization_response_iss_parameter_supported": "true" }),
    ] {
        world.idp.set_quirks(metadata(&odd));
        world.wait(1);
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, 200, "{odd}: {}", answer.text());
    }
}

/// Somebody signs in, and is asked again who they are. Gives the status of either.
async fn both(world: &World) -> (u16, u16) {
    let mut client = world.stranger();
    let first = try_to_sign_in(world, &mut client, "nora").await.status;
    let started = client.post("/sign-in/dev", &[("return_to", "/account"), ("reauthenticate", "yes")]).await;
    if started.status != 200 {
        return (first, started.status);
    }
    let Ok(location) = world.idp.sign_in(&started.moves_on_to(), "nora").await else { return (first, 0) };
    (first, client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await.status)
}

// control: IDN-03
#[tokio::test]
async fn a_preset_lets_people_in_through_a_provider_that_speaks_like_that_one() {
    for (preset, needed) in [
        ("google", true),
        ("gitlab", true),
        ("gitea", true),
        ("microsoft", true),
        ("cognito", true),
        ("okta", false),
        ("auth0", false),
        ("keycloak", false),
    ] {
        let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__PRESET", preset)]).await;
        world.idp.set_quirks(Quirks::of(preset));
        assert_eq!(both(&world).await, (200, 200), "{preset}");
        let strict = World::start().await;
        strict.idp.set_quirks(Quirks::of(preset));
        assert_eq!(both(&strict).await.0 != 200, needed, "{preset}, without its preset");
    }
}

// control: IDN-01
// control: IDN-03
#[tokio::test]
async fn a_preset_is_no_more_than_its_settings_and_they_override_it() {
    let world = World::start_with(&[
        ("AUTHN__PROVIDERS__DEV__PRESET", "google"),
        ("AUTHN__PROVIDERS__DEV__ALLOW_MISSING_AUTH_TIME", "false"),
    ])
    .await;
    world.idp.set_quirks(Quirks::of("google"));
    let refused = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(reason(&world).await.contains("allow_missing_auth_time"), "says what to set: {}", reason(&world).await);

    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__ALLOW_UNANNOUNCED_PKCE", "true"), ALWAYS_ASK]).await;
    world.idp.set_quirks(Quirks::of("cognito"));
    let mut client = world.stranger();
    let url = client.post("/sign-in/dev", &[]).await.moves_on_to();
    assert_eq!(parameter(&url, "code_challenge_method"), "S256", "it is used in any case");
    world.idp.set_quirks(metadata(&json!({ "code_challenge_methods_supported": ["plain"] })));
    let refused = world.stranger().post("/sign-in/dev", &[]).await;
    assert_eq!(refused.status, 502, "who announces another one has not got it: {}", refused.text());

    // What is said still counts.
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__PRESET", "gitlab")]).await;
    for fault in [Fault::OldAuthTime, Fault::FutureAuthTime] {
        world.idp.set_fault(fault);
        assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 403, "{fault:?}");
    }
}

#[tokio::test]
async fn a_way_of_client_authentication_that_the_provider_has_is_taken() {
    let world = World::start_with(&[ALWAYS_ASK]).await;
    for method in ["client_secret_post", "client_secret_basic"] {
        world.idp.set_quirks(Quirks { client_auth: Some(method), ..Quirks::default() });
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
    }
    world.idp.set_quirks(Quirks { client_auth: Some("private_key_jwt"), ..Quirks::default() });
    let refused = world.stranger().post("/sign-in/dev", &[]).await;
    assert_eq!(refused.status, 502);
    assert!(refused.body.contains("Trying again changes nothing"), "{}", refused.text());
    assert!(reason(&world).await.contains("neither client_secret_basic nor client_secret_post"));
    let lines = log::lines_of(refused.header("x-request-id"));
    let told = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("client_secret_post"));
    assert!(lines.iter().any(told), "the operator reads why: {lines:?}");
}

// control: IDN-02
#[tokio::test]
async fn requests_are_pushed_where_they_have_to_be() {
    let world = World::start_with(&[ALWAYS_ASK]).await;
    world.idp.set_quirks(Quirks { requires_push: true, ..Quirks::default() });
    let mut client = world.stranger();
    let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
    let url: url::Url = started.moves_on_to().parse().unwrap();
    let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["client_id", "request_uri"], "nothing else goes through the browser");
    assert_eq!(world.idp.counts().pushed, 1);
    let location = world.idp.sign_in(url.as_str(), "nora").await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    world.idp.set_quirks(Quirks::default());
    assert!(world.stranger().post("/sign-in/dev", &[]).await.moves_on_to().contains("code_challenge="));
    assert_eq!(world.idp.counts().pushed, 1, "and not where they need not");

    // One that wants it and does not say so: the setting, and a page that does not speak of a cancellation.
    let silent = Quirks { requires_push: true, ..metadata(&json!({ "require_pushed_authorization_requests": null })) };
    world.idp.set_quirks(silent.clone());
    let mut client = world.stranger();
    let started = client.post("/sign-in/dev", &[]).await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let back = http.get(started.moves_on_to()).send().await.unwrap();
    let back = back.headers()["location"].to_str().unwrap().strip_prefix(&world.url("")).unwrap().to_owned();
    let refused = client.get_from_elsewhere(&back).await;
    assert_eq!(refused.status, 502);
    assert!(!refused.body.contains("cancelled") && refused.body.contains("not set up"), "{}", refused.text());
    assert_eq!(reason(&world).await, "response: error invalid_request");
    let set = World::start_with(&[("AUTHN__PROVIDERS__DEV__PUSH_REQUESTS", "true")]).await;
    set.idp.set_quirks(silent);
    assert_eq!(try_to_sign_in(&set, &mut set.stranger(), "nora").await.status, 200);
}

// control: IDN-03
#[tokio::test]
async fn each_name_of_an_algorithm_that_counts_is_known_and_the_others_are_named() {
    let world = World::start().await;
    for alg in [Alg::Rs256, Alg::Ps256, Alg::Es256, Alg::EdDsa, Alg::Ed25519] {
        world.idp.set_key(alg);
        world.wait(11);
        let mut client = world.stranger();
        let answer = try_to_sign_in(&world, &mut client, "nora").await;
        assert_eq!(answer.status, 200, "{alg:?}: {}", answer.text());
    }
    let world = World::start_with(&[ALWAYS_ASK]).await;
    world.idp.set_quirks(metadata(&json!({ "id_token_signing_alg_values_supported": ["RS512", "ES384"] })));
    let refused = world.stranger().post("/sign-in/dev", &[]).await;
    assert!(refused.status == 502 && refused.body.contains("Trying again changes nothing"), "{}", refused.text());
    assert!(reason(&world).await.contains("RS256, PS256, ES256, EdDSA and Ed25519"), "{}", reason(&world).await);
}

/// What is kept of somebody: name, address, whether it is verified.
async fn kept(world: &World, subject: &str) -> (String, String, bool) {
    sqlx::query_as("select display_name, email, email_verified from identity.users where id = $1")
        .bind(world.user(subject).await)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

fn known(name: &str) -> (String, String, bool) {
    (name.to_owned(), "nora@example.com".to_owned(), true)
}

// control: IDN-03
#[tokio::test]
async fn name_and_address_that_are_not_in_the_token_are_asked_for() {
    let world = World::start().await;
    world.sign_in_at_provider("nora").await;
    assert_eq!(world.idp.counts().userinfo, 0, "where both are there, nobody is asked");
    let name = kept(&world, "nora").await.0;
    let elsewhere = Quirks { claims_at_userinfo: true, ..Quirks::default() };
    world.change("update identity.users set display_name = 'Unnamed', email = '', email_verified = false").await;
    world.idp.set_quirks(elsewhere.clone());
    world.sign_in_at_provider("nora").await;
    assert_eq!((kept(&world, "nora").await, world.idp.counts().userinfo), (known(&name), 1));

    // If it fails, they stay unchanged, and the person signs in.
    for (status, kind, body) in [
        (500, "text/plain", "oh"),
        (302, "text/html", ""),
        (200, "text/html", "<!doctype html>"),
        (200, "application/json", "[]"),
        (200, "application/json", "{\"name\":\"Somebody\"}"),
        (200, "application/jwt", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub3JhIn0."),
    ] {
        world.idp.set_quirks(Quirks { userinfo_answer: Some((status, kind, body.to_owned())), ..elsewhere.clone() });
        world.sign_in_at_provider("nora").await;
        assert_eq!(kept(&world, "nora").await, known(&name), "{status} {kind} {body}");
    }
    // It may be of any type, too.
    for (odd, expected) in [
        (json!({ "email_verified": "true" }), (name.clone(), "nora@example.com".to_owned(), false)),
        (json!({ "address": 1, "updated_at": "x" }), known(&name)),
        (json!({ "email": null }), (name.clone(), String::new(), false)),
        (json!({ "name": 1 }), known("nora")),
    ] {
        world.idp.set_quirks(Quirks { userinfo: odd.as_object().unwrap().clone(), ..elsewhere.clone() });
        world.sign_in_at_provider("nora").await;
        assert_eq!(kept(&world, "nora").await, expected, "{odd}");
    }
}

// control: IDN-03
#[tokio::test]
async fn userinfo_about_somebody_else_signs_nobody_in() {
    let world = World::start().await;
    let before = (kept(&world, "nora").await, kept(&world, "olivia").await);
    for sub in [json!("olivia"), json!(""), json!("NORA"), json!("nora ")] {
        let userinfo = json!({ "sub": sub }).as_object().unwrap().clone();
        world.idp.set_quirks(Quirks { claims_at_userinfo: true, userinfo, ..Quirks::default() });
        let mut client = world.stranger();
        let answer = try_to_sign_in(&world, &mut client, "nora").await;
        assert_eq!((answer.status, client.cookie("session")), (403, None), "{sub}: {}", answer.text());
        assert!(reason(&world).await.contains("userinfo is about somebody else"));
    }
    // The address of the token and the word for another one do not mix.
    let userinfo = json!({ "email": "olivia@example.com", "email_verified": true }).as_object().unwrap().clone();
    let claims = json!({ "name": null, "email_verified": null }).as_object().unwrap().clone();
    world.idp.set_quirks(Quirks { claims, userinfo, ..Quirks::default() });
    world.sign_in_at_provider("nora").await;
    let nora = kept(&world, "nora").await;
    assert_eq!((&*nora.1, nora.2), ("nora@example.com", false));
    assert_eq!((before.0.0, before.1), (nora.0, kept(&world, "olivia").await));
}

/// Starts in a tab. Gives what the provider answers to that.
async fn tab(world: &World, client: &mut Client, page: &str) -> String {
    let started = client.post("/sign-in/dev", &[("return_to", page)]).await;
    let location = world.idp.sign_in(&started.moves_on_to(), "nora").await.unwrap();
    location.strip_prefix(&world.url("")).unwrap().to_owned()
}

// control: IDN-02
#[tokio::test]
async fn several_tabs_sign_in_at_once_and_each_goes_where_it_wanted() {
    let world = World::start().await;
    let mut client = world.stranger();
    let first = tab(&world, &mut client, "/account").await;
    let second = tab(&world, &mut client, "/organizations").await;
    let third = tab(&world, &mut client, "/sessions").await;
    for (callback, page) in [(&first, "/account"), (&third, "/sessions"), (&second, "/organizations")] {
        let answer = client.get_from_elsewhere(callback).await;
        assert_eq!((answer.status, answer.moves_on_to().as_str()), (200, page), "{}", answer.text());
        assert_eq!(client.get("/account").await.status, 200);
    }
    let live = "select count(*) from identity.sessions where ended_at is null";
    assert_eq!(world.database.count(live).await, 1, "each ends the one before: no cookie is left for it");
    assert_eq!(client.cookie("login"), None, "nothing is under way any more");
    // A mistake at one of them leaves the others.
    let mut client = world.stranger();
    let (first, second) = (tab(&world, &mut client, "/account").await, tab(&world, &mut client, "/sessions").await);
    let swapped = first.replace(&parameter(&first, "code"), &parameter(&second, "code"));
    assert_eq!(client.get_from_elsewhere(&swapped).await.status, 403, "a code of another tab");
    let mut other = world.stranger();
    tab(&world, &mut other, "/account").await;
    assert_eq!(other.get_from_elsewhere(&second).await.status, 400, "nor of another browser");
    let stolen = world.idp.counts().token;
    assert_eq!(client.get_from_elsewhere(&first).await.status, 400, "each once");
    assert_eq!(world.idp.counts().token, stolen);
}

// control: IDN-02
#[tokio::test]
async fn a_browser_has_five_sign_ins_under_way_and_no_more() {
    let world = World::start().await;
    let mut client = world.stranger();
    let mut callbacks = Vec::new();
    for _ in 0..7 {
        callbacks.push(tab(&world, &mut client, "/account").await);
        world.wait(1);
    }
    assert_eq!(world.traces().await.logins, 5);
    for callback in &callbacks[..2] {
        assert_eq!(client.get_from_elsewhere(callback).await.status, 400);
    }
    for callback in &callbacks[2..] {
        assert_eq!(client.get_from_elsewhere(callback).await.status, 200);
    }
    let tabs = (0..8).map(|_| {
        let mut client = client.clone();
        client.set_cookie("login", &"A".repeat(43));
        async move { client.post("/sign-in/dev", &[]).await.status }
    });
    for task in tabs.map(tokio::spawn).collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(world.traces().await.logins, 5, "at once as well");
}

// control: IDN-02
#[tokio::test]
async fn a_signed_in_person_is_redirected_from_the_sign_in_page() {
    let world = World::start().await;
    let mut client = world.stranger();
    let late = tab(&world, &mut client, "/sessions").await;
    let used = tab(&world, &mut client, "/account").await;
    assert_eq!(client.get_from_elsewhere(&used).await.status, 200);
    world.wait(600);
    let page = client.get_from_elsewhere(&late).await;
    assert_eq!(page.status, 400, "from elsewhere the session does not show: {}", page.text());
    assert!(page.body.contains("href=\"/sign-in?return_to=%2Fsessions\""), "{}", page.body);
    let on = client.get("/sign-in?return_to=%2Fsessions").await;
    assert_eq!((on.status, on.location()), (303, "/sessions"));
    let here = client.get(&late).await;
    assert_eq!((here.status, here.location()), (303, "/sessions"), "{}", here.text());
    let replayed = client.get(&used).await;
    assert_eq!((replayed.status, replayed.location()), (303, "/"));
    assert_eq!(client.get("/sign-in?return_to=//evil.example").await.location(), "/");
    assert_eq!(client.get("/sign-in?reauthenticate=yes").await.status, 200, "who is to be asked again is asked");
    assert_eq!(world.stranger().get("/sign-in?return_to=%2Fsessions").await.status, 200);
}
