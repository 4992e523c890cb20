//! Answers that prove nothing: replayed, swapped, late, tampered with, of somebody else, of a copied key.

use devkit::idp::LogoutFault;
use serde_json::{Value, json};

use super::{live_sessions, tampered};
use crate::harness::passkey::{Authenticator, enrol, options, sign_in, step_up};
use crate::harness::{Answer, Client, World};

/// Somebody with a passkey, and the device that holds it.
async fn with_passkey(world: &World, subject: &str) -> (Client, Authenticator) {
    let mut client = world.sign_in_at_provider(subject).await;
    let mut device = Authenticator::new(world);
    let made = enrol(&mut client, &mut device, "First").await;
    assert_eq!(made.status, 303, "{}", made.text());
    (client, device)
}

async fn send_sign_in(client: &mut Client, answer: &Value) -> Answer {
    client.post("/sign-in/passkey", &[("credential", &answer.to_string()), ("return_to", "/account")]).await
}

async fn send_step_up(client: &mut Client, answer: &Value) -> Answer {
    client.post("/step-up", &[("credential", &answer.to_string()), ("return_to", "/account")]).await
}

async fn last_reason(world: &World, kind: &str) -> String {
    let events = world.events(kind).await;
    events.last().map(|event| event["details"]["reason"].as_str().unwrap().to_owned()).unwrap_or_default()
}

// control: IDN-08
#[tokio::test]
async fn somebody_signs_in_with_a_passkey_alone() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "olivia").await;
    let mut client = world.stranger();
    let answer = sign_in(&mut client, &mut device).await;
    assert_eq!((answer.status, answer.location()), (303, "/account"), "{}", answer.text());
    let cookie = answer.sets("session").unwrap();
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    let account = client.get("/account").await;
    assert!(
        account.body.contains("Olivia Owner") && account.body.contains("sign in through a provider in this session"),
        "{}",
        account.text()
    );
    assert_eq!(client.get(&world.acme.contacts()).await.status, 200, "a second factor is in it");
    let session = world.sessions().await.pop().unwrap();
    assert_eq!((&session["methods"], &session["issuer"]), (&json!(["passkey"]), &Value::Null));
    let event = world.events("sign_in.succeeded").await.pop().unwrap();
    assert_eq!(event["details"]["passkey"], session["passkey_id"]);
    assert_eq!(client.post("/sign-out", &[]).await.status, 200);
    assert_eq!(client.get("/account").await.status, 303);
}

// control: IDN-08
#[tokio::test]
async fn a_sign_in_with_a_passkey_ends_the_session_the_browser_had() {
    let world = World::start().await;
    let (mut client, mut device) = with_passkey(&world, "erin").await;
    assert_eq!(sign_in(&mut client, &mut device).await.status, 303);
    assert_eq!(live_sessions(&world, "erin").await, 1);
    assert_eq!(world.events("session.replaced").await.len(), 1);
}

// control: IDN-08
#[tokio::test]
async fn a_challenge_is_answered_once_in_its_browser_for_its_purpose_and_in_time() {
    let world = World::start().await;
    let (mut erin, mut device) = with_passkey(&world, "erin").await;

    // Replayed.
    let mut browser = world.stranger();
    let asked = options(&mut browser, "/sign-in/passkey/options").await;
    let answer = device.get(&asked);
    let mut copy = browser.clone();
    assert_eq!(send_sign_in(&mut browser, &answer).await.status, 303);
    assert_eq!(send_sign_in(&mut copy, &answer).await.status, 400, "replayed");

    // Swapped between two browsers, and without the cookie.
    let (mut one, mut other) = (world.stranger(), world.stranger());
    let asked = options(&mut one, "/sign-in/passkey/options").await;
    let answer = device.get(&asked);
    let theirs = options(&mut other, "/sign-in/passkey/options").await;
    let swapped = send_sign_in(&mut other, &answer).await;
    assert_eq!(swapped.status, 403, "the challenge of another browser: {}", swapped.text());
    assert_eq!(send_sign_in(&mut other, &device.get(&theirs)).await.status, 400, "it was used up by that");
    assert_eq!(send_sign_in(&mut world.stranger(), &answer).await.status, 400, "no browser of ours");
    assert_eq!(send_sign_in(&mut one, &answer).await.status, 303, "and the right one still works");

    // For another purpose: a step-up signs nobody in, and a sign-in steps nobody up.
    let asked = options(&mut erin, "/step-up/options").await;
    assert_eq!(send_sign_in(&mut erin.clone(), &device.get(&asked)).await.status, 400);
    assert_eq!(send_step_up(&mut erin, &device.get(&asked)).await.status, 303, "not used up by that");
    let asked = options(&mut erin, "/sign-in/passkey/options").await;
    assert_eq!(send_step_up(&mut erin, &device.get(&asked)).await.status, 403);

    // For another session of the same person.
    let mut second = world.sign_in_at_provider("erin").await;
    let asked = options(&mut erin, "/step-up/options").await;
    second.set_cookie("ceremony-step_up", erin.cookie("ceremony-step_up").unwrap());
    assert_eq!(send_step_up(&mut second, &device.get(&asked)).await.status, 403);

    // Late.
    let mut late = world.stranger();
    let asked = options(&mut late, "/sign-in/passkey/options").await;
    world.wait(301);
    assert_eq!(send_sign_in(&mut late, &device.get(&asked)).await.status, 400);
}

// control: IDN-08
#[tokio::test]
async fn of_two_answers_to_one_challenge_one_is_accepted() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "erin").await;
    let before = live_sessions(&world, "erin").await;
    let mut browser = world.stranger();
    let answer = device.get(&options(&mut browser, "/sign-in/passkey/options").await);
    let send = || {
        let (mut browser, answer) = (browser.clone(), answer.clone());
        async move { send_sign_in(&mut browser, &answer).await.status }
    };
    let mut statuses: [u16; 4] = tokio::join!(send(), send(), send(), send()).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 400, 400, 400]);
    assert_eq!(live_sessions(&world, "erin").await, before + 1);
}

// control: IDN-08
#[tokio::test]
async fn an_answer_that_was_tampered_with_proves_nothing() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "erin").await;
    let (_, mut foreign) = with_passkey(&world, "carl").await;
    let before = live_sessions(&world, "erin").await;
    let json_with = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| *bytes = String::from_utf8(bytes.clone()).unwrap().replace(from, to).into_bytes()
    };
    for number in 0..9 {
        let mut browser = world.stranger();
        let mut asked = options(&mut browser, "/sign-in/passkey/options").await;
        let answer = match number {
            // The last byte of a signature, the flags, the counter, the host, what was done, where, and whose it is.
            0 => tampered(&device.get(&asked), "signature", |bytes| *bytes.last_mut().unwrap() ^= 1),
            1 => tampered(&device.get(&asked), "authenticatorData", |bytes| bytes[32] &= !0x04),
            2 => tampered(&device.get(&asked), "authenticatorData", |bytes| bytes[36] = 0xff),
            3 => tampered(&device.get(&asked), "authenticatorData", |bytes| bytes[0] ^= 1),
            4 => tampered(&device.get(&asked), "clientDataJSON", json_with("webauthn.get", "webauthn.create")),
            5 => tampered(&device.get(&asked), "clientDataJSON", json_with("localhost", "evil.example")),
            6 => {
                let mut answer = device.get(&asked);
                answer["response"]["userHandle"] = foreign.get(&asked)["response"]["userHandle"].clone();
                answer
            }
            // Somebody in between asked the browser for no verification.
            7 => {
                asked["userVerification"] = json!("discouraged");
                device.get(&asked)
            }
            _ => {
                let mut answer = device.get(&asked);
                answer["response"].as_object_mut().unwrap().remove("userHandle");
                answer
            }
        };
        let refused = send_sign_in(&mut browser, &answer).await;
        assert!(matches!(refused.status, 400 | 403), "{number}: {}", refused.text());
        assert_eq!(browser.cookie("session"), None, "{number}");
        assert_eq!(world.events("sign_in.failed").await.len(), number + 1, "{number}: {answer}");
    }
    assert_eq!(live_sessions(&world, "erin").await, before);
    for unreadable in ["{}", "null", "[]", "{\"id\":1}", "x", "{\"rawId\":\"!\"}"] {
        let refused = world.stranger().post("/sign-in/passkey", &[("credential", unreadable)]).await;
        assert_eq!(refused.status, 400, "{unreadable}: {}", refused.text());
    }
    assert_eq!(world.stranger().post("/sign-in/passkey", &[("credential", "")]).await.status, 422);
}

// control: IDN-08
#[tokio::test]
async fn a_page_of_another_origin_gets_no_passkey_in() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "erin").await;
    for origin in ["http://localhost:1", "https://localhost"] {
        device.at(origin);
        let answer = sign_in(&mut world.stranger(), &mut device).await;
        assert_eq!(answer.status, 403, "{origin}: {}", answer.text());
    }
    let mut carl = world.sign_in("carl").await;
    let mut device = Authenticator::new(&world);
    device.at("http://localhost:1");
    assert_eq!(enrol(&mut carl, &mut device, "Phished").await.status, 422);
    assert_eq!(world.events("passkey.not_enrolled").await.len(), 1);
    assert_eq!(world.database.count("select count(*) from identity.passkeys").await, 1);
}

// control: IDN-08
#[tokio::test]
async fn the_passkey_of_another_account_steps_nobody_up() {
    let world = World::start().await;
    let (mut erin, _) = with_passkey(&world, "erin").await;
    let (_, mut foreign) = with_passkey(&world, "carl").await;
    let before = erin.cookie("session").unwrap().to_owned();
    let asked = options(&mut erin, "/step-up/options").await;
    let refused = send_step_up(&mut erin, &foreign.get(&asked)).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(last_reason(&world, "step_up.failed").await, "somebody else's credential");
    assert_eq!(erin.cookie("session"), Some(&*before));
}

// control: IDN-08
#[tokio::test]
async fn an_enrolment_without_verification_or_of_a_known_credential_is_refused() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let mut asked = options(&mut erin, "/account/passkeys/options").await;
    asked["authenticatorSelection"]["userVerification"] = json!("discouraged");
    let unverified = Authenticator::new(&world).create(&asked).to_string();
    let refused = erin.post("/account/passkeys", &[("name", "No PIN"), ("credential", &unverified)]).await;
    assert_eq!(refused.status, 422, "{}", refused.text());

    let asked = options(&mut erin, "/account/passkeys/options").await;
    let good = Authenticator::new(&world).create(&asked).to_string();
    let form = [("name", "Good"), ("credential", &*good)];
    let mut twice = erin.clone();
    assert_eq!(erin.post("/account/passkeys", &form).await.status, 303);
    twice.set_cookie("session", erin.cookie("session").unwrap());
    assert_eq!(twice.post("/account/passkeys", &form).await.status, 422, "replayed");

    // The same credential in another account, as after a copied attestation.
    let mut carl = world.sign_in("carl").await;
    let asked = options(&mut carl, "/account/passkeys/options").await;
    let theirs = Authenticator::new(&world).create(&asked);
    world.change("update identity.passkeys set credential_id = sha256('moved')").await;
    let known: Value = theirs["rawId"].clone();
    sqlx::query("update identity.passkeys set credential_id = decode(translate($1, '-_', '+/') || '=', 'base64')")
        .bind(known.as_str().unwrap())
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    let refused = carl.post("/account/passkeys", &[("name", "Hers"), ("credential", &theirs.to_string())]).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.body.contains("registered already"), "{}", refused.text());
    assert_eq!(world.database.count("select count(*) from identity.passkeys").await, 1);
    assert_eq!(world.events("passkey.not_enrolled").await.len(), 3);
}

// control: IDN-08
#[tokio::test]
async fn a_counter_that_goes_back_disables_the_passkey_and_ends_what_it_proved() {
    let world = World::start().await;
    let (mut erin, mut device) = with_passkey(&world, "erin").await;
    let mut elsewhere = world.stranger();
    assert_eq!(sign_in(&mut elsewhere, &mut device).await.status, 303);
    // Somebody with a copy of it creates a passkey of their own, and uses the copy a hundred times.
    assert_eq!(enrol(&mut elsewhere, &mut Authenticator::new(&world), "Of the copy").await.status, 303);
    let ahead = "update identity.passkeys set credential = jsonb_set(credential, '{cred,counter}', '100')
                  where name = 'First'";
    assert_eq!(world.change(ahead).await, 1);
    let mut provider_only = world.sign_in_at_provider("erin").await;
    let refused = step_up(&mut provider_only, &mut device, ("return_to", "/account")).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.body.contains("has been copied"), "{}", refused.text());
    let event = world.events("passkey.disabled").await.pop().unwrap();
    assert_eq!(event["details"]["sessions_ended"].as_array().unwrap().len(), 3, "{event}");
    for client in [&mut erin, &mut elsewhere, &mut provider_only] {
        assert_eq!(client.get("/account").await.status, 303);
    }
    assert_eq!(sign_in(&mut world.stranger(), &mut device).await.status, 403, "it stays disabled");
    // What was made with it falls with it, and the provider alone does not suffice now either.
    let disabled = "select count(*) from identity.passkeys where disabled_reason like 'it was cloned%'";
    assert_eq!(world.database.count(disabled).await, 2);
    let mut again = world.sign_in_at_provider("erin").await;
    assert!(again.get("/account").await.location().starts_with("/step-up?"));
    assert_eq!(again.clone().program().post("/account/passkeys/options", &[]).await.status, 401);
    assert_eq!(again.program().post("/step-up/options", &[]).await.status, 409, "there is nothing left to prove");
}

// control: IDN-08
#[tokio::test]
async fn of_two_proofs_with_one_counter_one_counts() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "erin").await;
    // Two challenges, and two answers signed with the same counter: the second device has a copy of the key.
    let (mut one, mut other) = (world.stranger(), world.stranger());
    let first = device.get(&options(&mut one, "/sign-in/passkey/options").await);
    assert_eq!(send_sign_in(&mut one, &first).await.status, 303);
    let back = "update identity.passkeys set credential = jsonb_set(credential, '{cred,counter}', '2')";
    let second = device.get(&options(&mut other, "/sign-in/passkey/options").await);
    assert_eq!(world.change(back).await, 1);
    assert_eq!(send_sign_in(&mut other, &second).await.status, 403);
    assert_eq!(world.events("passkey.disabled").await.len(), 1);
}

// control: IDN-08
#[tokio::test]
async fn a_locked_person_cannot_sign_in_with_a_passkey() {
    let world = World::start().await;
    let (_, mut device) = with_passkey(&world, "erin").await;
    world.change("update identity.users set locked_at = now() where display_name = 'Erin Editor'").await;
    let refused = sign_in(&mut world.stranger(), &mut device).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.body.contains("locked"), "{}", refused.text());
    assert_eq!(last_reason(&world, "sign_in.failed").await, "the account is locked");
}

// control: IDN-20
#[tokio::test]
async fn a_sign_out_everywhere_at_the_provider_ends_sessions_by_passkey_too() {
    let world = World::start().await;
    let (mut erin, mut device) = with_passkey(&world, "erin").await;
    let (_, mut foreign) = with_passkey(&world, "carl").await;
    let (mut hers, mut his) = (world.stranger(), world.stranger());
    assert_eq!(sign_in(&mut hers, &mut device).await.status, 303);
    assert_eq!(sign_in(&mut his, &mut foreign).await.status, 303);
    let sent = world.idp.send_backchannel_logout("holdfast", Some("erin"), None, LogoutFault::None).await;
    assert_eq!(sent.unwrap(), 200);
    assert_eq!(erin.get("/account").await.status, 303);
    assert_eq!(hers.get("/account").await.status, 303);
    assert_eq!(his.get("/account").await.status, 200);
}

// control: IDN-08
#[tokio::test]
async fn a_disabled_passkey_proves_nothing() {
    let world = World::start().await;
    let (mut erin, mut device) = with_passkey(&world, "erin").await;
    assert_eq!(world.change("update identity.passkeys set disabled_at = now(), disabled_reason = 'a test'").await, 1);
    assert_eq!(sign_in(&mut world.stranger(), &mut device).await.status, 403);
    assert_eq!(last_reason(&world, "sign_in.failed").await, "the passkey is disabled");
    assert_eq!(erin.clone().program().post("/step-up/options", &[]).await.status, 409);
    let list = erin.get("/account/passkeys").await;
    assert!(list.body.contains("Disabled") && list.body.contains("a test"), "{}", list.text());
}
