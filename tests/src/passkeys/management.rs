//! The list of one's passkeys.

use devkit::idp::Fault;
use serde_json::{Value, json};

use crate::harness::passkey::{Authenticator, enrol, options, sign_in, step_up};
use crate::harness::{Client, World};

async fn stored(world: &World) -> Vec<Value> {
    sqlx::query_scalar("select to_jsonb(p) from identity.passkeys p order by id")
        .fetch_all(&mut world.database.owner().await)
        .await
        .unwrap()
}

// control: IDN-08
#[tokio::test]
async fn a_person_makes_several_passkeys_names_them_and_removes_one() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let none = erin.get("/account/passkeys").await;
    assert!(none.body.contains("You have no passkey yet"), "{}", none.text());

    let before = erin.cookie("session").unwrap().to_owned();
    let (mut telephone, mut key) = (Authenticator::new(&world), Authenticator::new(&world));
    let made = enrol(&mut erin, &mut telephone, "  My telephone ").await;
    assert_eq!((made.status, made.location()), (303, "/account/passkeys"), "{}", made.text());
    assert_ne!(erin.cookie("session"), Some(&*before), "a session that may more has another token");
    let mut left = world.stranger();
    left.set_cookie("session", &before);
    assert_eq!(left.get("/account").await.status, 303, "the token from before is worth nothing");
    assert_eq!(enrol(&mut erin, &mut key, "Key in the safe").await.status, 303);

    let list = erin.get("/account/passkeys").await;
    for shown in ["My telephone", "Key in the safe", "Not yet"] {
        assert!(list.body.contains(shown), "{shown}: {}", list.text());
    }
    let passkeys = stored(&world).await;
    let [first, second] = &passkeys[..] else { panic!("{passkeys:?}") };
    assert_eq!((&first["name"], &second["name"]), (&json!("My telephone"), &json!("Key in the safe")));
    let url = |passkey: &Value, what: &str| format!("/account/passkeys/{}/{what}", passkey["id"].as_str().unwrap());
    let renamed = erin.post(&url(second, "rename"), &[("name", "Key at home")]).await;
    assert_eq!(renamed.status, 303, "{}", renamed.text());
    for name in ["", "  ", "a\u{202e}b", &"x".repeat(61)] {
        assert_eq!(erin.post(&url(second, "rename"), &[("name", name)]).await.status, 422, "{name:?}");
    }
    let mut holder = world.stranger();
    assert_eq!(sign_in(&mut holder, &mut telephone).await.status, 303);
    assert_eq!(erin.post(&url(first, "remove"), &[]).await.status, 303);
    assert_eq!(holder.get("/account").await.status, 303, "the session that held it has ended");
    assert_eq!(sign_in(&mut world.stranger(), &mut telephone).await.status, 403, "and stays out");
    let left = stored(&world).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["name"], "Key at home");

    // The one that is left stays.
    let last = erin.post(&url(second, "remove"), &[]).await;
    assert_eq!(last.status, 409, "{}", last.text());
    assert!(last.body.contains("Add another one first"), "{}", last.text());
    assert_eq!(stored(&world).await.len(), 1);
    let kinds = ["passkey.enrolled", "passkey.renamed", "passkey.removed"];
    for (kind, times) in kinds.into_iter().zip([2, 1, 1]) {
        assert_eq!(world.events(kind).await.len(), times, "{kind}");
    }
}

// control: IDN-08
#[tokio::test]
async fn of_two_passkeys_removed_in_the_same_moment_one_stays() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    for name in ["One", "Other"] {
        assert_eq!(enrol(&mut erin, &mut Authenticator::new(&world), name).await.status, 303);
    }
    let passkeys = stored(&world).await;
    let remove = |passkey: &Value| {
        let (mut client, path) =
            (erin.clone(), format!("/account/passkeys/{}/remove", passkey["id"].as_str().unwrap()));
        async move { client.post(&path, &[]).await.status }
    };
    let mut statuses: [u16; 2] = tokio::join!(remove(&passkeys[0]), remove(&passkeys[1])).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    assert_eq!(stored(&world).await.len(), 1);
}

// control: IDN-08
#[tokio::test]
async fn the_browser_is_asked_for_verification_and_for_none_of_the_passkeys_there_are() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let mut device = Authenticator::new(&world);
    assert_eq!(enrol(&mut erin, &mut device, "One").await.status, 303);
    let asked = options(&mut erin, "/account/passkeys/options").await;
    assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(asked["authenticatorSelection"]["residentKey"], "preferred");
    assert_eq!(asked["rp"]["id"], "localhost");
    let excluded: Vec<_> =
        asked["excludeCredentials"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    let step_up = options(&mut erin, "/step-up/options").await;
    assert_eq!(step_up["userVerification"], "required");
    let allowed: Vec<_> = step_up["allowCredentials"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert!(excluded.len() == 1 && excluded == allowed, "{excluded:?} {allowed:?}");
    let anybody = options(&mut world.stranger(), "/sign-in/passkey/options").await;
    assert_eq!(anybody["allowCredentials"], json!([]), "reveals nobody with a passkey");
    assert_eq!(anybody["userVerification"], "required");
}

/// What the page of passkeys says of the one there is, and what its row holds.
async fn said_of_the_only_one(world: &World, client: &mut Client) -> (bool, bool, Value) {
    let page = client.get("/account/passkeys").await;
    let says = |words| page.body.contains(words);
    (says("Second factor only"), says("did not say"), stored(world).await[0]["discoverable"].clone())
}

// control: IDN-08
#[tokio::test]
async fn what_a_browser_says_of_a_passkey_changes_words_and_a_sign_in_with_it_alone_corrects_them() {
    let unknown = (json!({}), (false, true, Value::Null), "It can sign in to your account");
    let second_factor = (json!({ "credProps": { "rk": false } }), (true, false, json!(false)), "can't sign in alone");
    let alone = (json!({ "credProps": { "rk": true } }), (false, false, json!(true)), "It can sign in to your account");
    for (says, list, told) in [unknown, second_factor, alone] {
        let world = World::start().await;
        let (mut erin, mut device) = (world.sign_in("erin").await, Authenticator::new(&world));
        let asked = options(&mut erin, "/account/passkeys/options").await;
        assert_eq!(asked["extensions"]["credProps"], true);
        let mut credential = device.create(&asked);
        credential["clientExtensionResults"] = says.clone();
        credential.as_object_mut().unwrap().remove("extensions");
        let made = [("name", "Key"), ("credential", &credential.to_string())];
        assert_eq!(erin.post("/account/passkeys", &made).await.status, 303);
        assert_eq!(said_of_the_only_one(&world, &mut erin).await, list, "{says}");
        let mail = world.mail_to("erin@example.com").await;
        assert!(mail.text.contains(told), "{says}: {}", mail.text);
        // A step-up names the credential, so it tells nothing.
        assert_eq!(step_up(&mut erin, &mut device, ("return_to", "/account")).await.status, 303);
        assert_eq!(said_of_the_only_one(&world, &mut erin).await, list, "{says}");
        // It was wrong, or did not know: what was said allows and refuses nothing.
        assert_eq!(sign_in(&mut world.stranger(), &mut device).await.status, 303, "{says}");
        assert_eq!(said_of_the_only_one(&world, &mut erin).await, (false, false, json!(true)), "{says}");
    }
}

// control: IDN-09
#[tokio::test]
async fn the_first_passkey_is_made_soon_after_the_provider_has_asked_who_it_is() {
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__MAX_AGE_SECONDS", "864000")]).await;
    let mut erin = world.sign_in("erin").await;
    world.wait(960);
    assert_eq!(erin.clone().program().post("/account/passkeys/options", &[]).await.status, 403);
    let page = erin.get("/account/passkeys/new?return_to=%2Forganizations").await;
    assert!(page.status == 200 && page.body.contains("Sign in again first"), "{}", page.text());

    // A provider that remembers her and does not ask: good enough to sign in, and for a first passkey it is not.
    world.idp.set_fault(Fault::OldAuthTime);
    let mut client = world.sign_in_at_provider("erin").await;
    assert_eq!(client.clone().program().post("/account/passkeys/options", &[]).await.status, 403);
    let sign_in = client.get("/sign-in?reauthenticate=yes&return_to=%2Faccount%2Fpasskeys%2Fnew").await;
    assert!(sign_in.body.contains("name=\"reauthenticate\" value=\"yes\""), "{}", sign_in.text());
    let again = [("return_to", "/account/passkeys/new"), ("reauthenticate", "yes")];
    let started = client.post("/sign-in/dev", &again).await;
    let asked = started.moves_on_to();
    assert!(asked.contains("max_age=0") && asked.contains("prompt=login"), "{asked}");
    let finish = async |client: &mut Client, asked: &str| {
        let back = world.idp.sign_in(asked, "erin").await.unwrap();
        client.get_from_elsewhere(back.strip_prefix(&world.url("")).unwrap()).await
    };
    let refused = finish(&mut client, &asked).await;
    assert_eq!(refused.status, 403, "{}", refused.text());

    world.idp.set_fault(Fault::None);
    let asked = client.post("/sign-in/dev", &again).await.moves_on_to();
    let done = finish(&mut client, &asked).await;
    assert_eq!(done.moves_on_to(), "/account/passkeys/new", "{}", done.text());
    assert!(client.get("/account/passkeys/new").await.body.contains("Create passkey"));
}

// control: IDN-08
#[tokio::test]
async fn an_account_keeps_a_bounded_number_of_passkeys() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    assert_eq!(enrol(&mut erin, &mut Authenticator::new(&world), "First").await.status, 303);
    let copies = "insert into identity.passkeys (id, user_id, credential_id, credential, name, created_at)
                  select gen_random_uuid(), user_id, sha256(n::text::bytea), credential, 'Copy', created_at
                    from identity.passkeys, generate_series(1, 19) n";
    assert_eq!(world.change(copies).await, 19);
    let refused = enrol(&mut erin, &mut Authenticator::new(&world), "One more").await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.body.contains("as many passkeys as"), "{}", refused.text());
    assert_eq!(stored(&world).await.len(), 20);
}

// control: IDN-08
#[tokio::test]
async fn enrolments_at_once_do_not_add_up_to_more_passkeys_than_an_account_may_have() {
    let world = World::start().await;
    let (mut here, mut device) = (world.sign_in("erin").await, Authenticator::new(&world));
    assert_eq!(enrol(&mut here, &mut device, "First").await.status, 303);
    let mut there = world.sign_in_at_provider("erin").await;
    assert_eq!(step_up(&mut there, &mut device, ("return_to", "/account")).await.status, 303);
    let copies = "insert into identity.passkeys (id, user_id, credential_id, credential, name, created_at)
                  select gen_random_uuid(), user_id, sha256(n::text::bytea), credential, 'Copy', created_at
                    from identity.passkeys, generate_series(1, 18) n";
    assert_eq!(world.change(copies).await, 18);
    let made = async |mut client: Client| {
        let asked = options(&mut client, "/account/passkeys/options").await;
        (client, Authenticator::new(&world).create(&asked).to_string())
    };
    let send = async |(mut client, credential): (Client, String)| {
        client.post("/account/passkeys", &[("name", "One more"), ("credential", &credential)]).await
    };
    let (here, there) = (made(here).await, made(there).await);
    let lock = "select from identity.users for update";
    assert_eq!(world.race_for_one_place(lock, send(here), send(there)).await, [303, 422]);
    assert_eq!(stored(&world).await.len(), 20);
}
