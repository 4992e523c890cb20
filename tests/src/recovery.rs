//! Getting back in with a code, after every passkey is lost.

mod samples;

use serde_json::Value;

use crate::harness::passkey::{Authenticator, enrol, step_up};
use crate::harness::{Answer, Client, World};
use crate::policies::{PRIVILEGED, ROLES};

/// The codes on a page.
fn codes(page: &Answer) -> Vec<String> {
    page.body.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// Somebody with a passkey and codes, and a browser in which only the provider vouches for them.
pub(crate) async fn lost(world: &World, subject: &str) -> (Vec<String>, Client) {
    let mut client = world.sign_in(subject).await;
    world.prove(&mut client, subject).await;
    let made = client.post("/account/recovery/codes", &[]).await;
    assert_eq!(made.status, 200, "{}", made.text());
    (codes(&made), world.sign_in_at_provider(subject).await)
}

/// Waits until the recovery in `client` is ready, and continues it in the same browser.
pub(crate) async fn continue_after_the_wait(world: &World, client: &Client, subject: &str) -> Client {
    let waits = client.cookie("recovery").unwrap().to_owned();
    world.wait(86_400);
    let mut later = world.sign_in_at_provider(subject).await;
    later.set_cookie("recovery", &waits);
    let goes_on = later.post("/recovery/continue", &[]).await;
    assert_eq!((goes_on.status, goes_on.location()), (303, "/account/passkeys/new"), "{}", goes_on.text());
    later
}

pub(crate) async fn try_code(client: &mut Client, code: &str) -> Answer {
    client.post("/recovery", &[("code", code)]).await
}

async fn kinds(world: &World) -> Vec<String> {
    sqlx::query_scalar("select kind from audit.events where kind like 'recovery.%' order by id")
        .fetch_all(&mut world.database.owner().await)
        .await
        .unwrap()
}

// control: IDN-11
#[tokio::test]
async fn a_code_lets_somebody_make_a_new_passkey_and_do_nothing_else() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    assert_eq!(codes.len(), 10);
    assert!(erin.get("/account").await.location().starts_with("/step-up"));
    let asked = erin.get("/step-up").await;
    assert!(asked.body.contains("href=\"/recovery\""), "{}", asked.text());
    assert_eq!(erin.get("/recovery").await.status, 200);
    let accepted = try_code(&mut erin, &codes[3].to_lowercase().replace('-', " ")).await;
    assert!(accepted.status == 200 && accepted.body.contains("You can continue on"), "{}", accepted.text());
    assert!(
        erin.get("/account/passkeys").await.location().starts_with("/step-up"),
        "a person with a passkey gets time"
    );
    let mut erin = continue_after_the_wait(&world, &erin, "erin").await;
    for page in
        ["/account".to_owned(), "/account/sessions".to_owned(), "/account/recovery".to_owned(), world.acme.contacts()]
    {
        assert!(erin.get(&page).await.location().starts_with("/step-up"), "{page}");
    }
    assert_eq!(erin.get("/account/passkeys").await.status, 200);
    let mut new = Authenticator::new(&world);
    assert_eq!(enrol(&mut erin, &mut new, "New telephone").await.status, 303);
    assert_eq!(erin.get(&world.acme.contacts()).await.status, 200, "the new passkey is the proof");
    let status = erin.get("/account/recovery").await;
    assert!(status.body.contains("9 of 10 left"), "{}", status.text());
    assert_eq!(kinds(&world).await, ["recovery.codes_generated", "recovery.started", "recovery.continued"]);
}

// control: IDN-11
#[tokio::test]
async fn a_recovery_by_code_ends_after_a_quarter_of_an_hour() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    assert_eq!(try_code(&mut erin, &codes[0]).await.status, 200);
    let mut erin = continue_after_the_wait(&world, &erin, "erin").await;
    assert_eq!(erin.get("/account/passkeys").await.status, 200);
    world.wait(960);
    assert!(erin.get("/account/passkeys").await.location().starts_with("/step-up"));
    assert_eq!(erin.program().post("/account/passkeys/options", &[]).await.status, 401);
}

// control: IDN-11
#[tokio::test]
async fn a_code_works_once_for_its_person_and_until_there_are_new_ones() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    let (_, mut carl) = lost(&world, "carl").await;
    assert_eq!(try_code(&mut carl, &codes[0]).await.status, 422, "somebody else's");

    let send = || {
        let (mut erin, code) = (erin.clone(), codes[0].clone());
        async move { try_code(&mut erin, &code).await.status }
    };
    let mut statuses: [u16; 3] = tokio::join!(send(), send(), send()).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422, 422]);
    assert_eq!(try_code(&mut erin, &codes[0]).await.status, 422, "used");

    let mut proved = world.sign_in("erin").await;
    world.prove(&mut proved, "erin").await;
    assert_eq!(proved.post("/account/recovery/codes", &[]).await.status, 200);
    assert_eq!(try_code(&mut erin, &codes[1]).await.status, 422, "replaced");
}

// control: IDN-11
#[tokio::test]
async fn a_person_with_a_passkey_or_a_role_that_needs_one_waits() {
    let world = World::start().await;
    let (mut codes, mut erin) = lost(&world, "erin").await;
    assert_eq!(try_code(&mut erin, &codes.pop().unwrap()).await.status, 200, "an editor with a passkey");
    let disable = "update identity.passkeys set disabled_at = now(), disabled_reason = 'a test'";
    assert_eq!(world.change(disable).await, 1);
    assert_eq!(try_code(&mut erin, &codes.pop().unwrap()).await.status, 200, "also one that is disabled");
    assert_eq!(world.change("delete from identity.passkeys").await, 1);
    let erins = world.user("erin").await;
    for (role, code) in ROLES.iter().zip(&codes) {
        sqlx::query("update tenant.memberships set role = $1 where user_id = $2")
            .bind(role)
            .bind(erins)
            .execute(&mut world.database.owner().await)
            .await
            .unwrap();
        let waits = try_code(&mut erin, code).await.status == 200;
        assert_eq!(waits, PRIVILEGED.contains(role), "{role}");
    }
}

// control: IDN-11
#[tokio::test]
async fn the_recovery_of_a_privileged_role_waits_and_can_be_stopped_during_the_wait() {
    let world = World::start().await;
    let (codes, mut thief) = lost(&world, "olivia").await;
    let waits = try_code(&mut thief, &codes[0]).await;
    assert!(waits.status == 200 && waits.body.contains("You can continue on"), "{}", waits.text());
    assert_eq!(thief.post("/recovery/continue", &[]).await.status, 409, "not yet");
    assert_eq!(thief.clone().program().post("/account/passkeys/options", &[]).await.status, 401);

    // She sees it wherever she still has her passkey, and stops it.
    let mut olivia = world.sign_in("olivia").await;
    let seen = olivia.get("/account/recovery").await;
    assert!(seen.body.contains("A recovery is under way"), "{}", seen.text());
    let made = olivia.post("/account/recovery/codes", &[]).await;
    assert!(made.status == 200 && made.body.contains("A recovery is under way"), "{}", made.text());
    assert_eq!(olivia.post("/account/recovery/cancel", &[]).await.status, 303);
    assert_eq!(olivia.post("/account/recovery/cancel", &[]).await.status, 409);
    world.told("olivia@example.com", "The recovery of your account was stopped").await;
    let codes = self::codes(&made);
    world.wait(86_500);
    let cookie = thief.cookie("recovery").unwrap().to_owned();
    let mut later = world.sign_in_at_provider("olivia").await;
    later.set_cookie("recovery", &cookie);
    assert_eq!(later.post("/recovery/continue", &[]).await.status, 409, "it was stopped");

    // A recovery that nobody stops can be continued after the wait, once, in the browser that began it.
    assert_eq!(try_code(&mut later, &codes[1]).await.status, 200);
    world.wait(86_400);
    let mut elsewhere = world.sign_in_at_provider("olivia").await;
    assert_eq!(elsewhere.post("/recovery/continue", &[]).await.status, 409, "another browser");
    let mut here = world.sign_in_at_provider("olivia").await;
    here.set_cookie("recovery", later.cookie("recovery").unwrap());
    assert!(here.get("/recovery").await.body.contains("The waiting period is over"));
    let send = || {
        let mut here = here.clone();
        async move { here.post("/recovery/continue", &[]).await.status }
    };
    let mut statuses: [u16; 2] = tokio::join!(send(), send()).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    assert!(here.get(&world.acme.contacts()).await.location().starts_with("/step-up"), "no more than a new passkey");
    assert_eq!(enrol(&mut here, &mut Authenticator::new(&world), "New").await.status, 303);
    assert_eq!(here.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(
        kinds(&world).await,
        [
            "recovery.codes_generated",
            "recovery.started",
            "recovery.codes_generated",
            "recovery.cancelled",
            "recovery.started",
            "recovery.continued"
        ]
    );
}

// control: IDN-11
#[tokio::test]
async fn a_recovery_that_nobody_continues_expires() {
    let world = World::start().await;
    let (codes, mut thief) = lost(&world, "olivia").await;
    assert_eq!(try_code(&mut thief, &codes[0]).await.status, 200);
    world.wait(86_400 + 7 * 86_400);
    let mut olivia = world.sign_in("olivia").await;
    assert!(!olivia.get("/account/recovery").await.body.contains("A recovery is under way"));
    assert_eq!(olivia.post("/account/recovery/cancel", &[]).await.status, 409);
}

// control: IDN-11
#[tokio::test]
async fn how_long_a_recovery_waits_is_configured() {
    let world = World::start_with(&[("AUTHN__RECOVERY__WAIT_SECONDS", "0")]).await;
    let (codes, mut olivia) = lost(&world, "olivia").await;
    assert_eq!(try_code(&mut olivia, &codes[0]).await.location(), "/account/passkeys/new");
}

// control: IDN-10
// control: IDN-11
#[tokio::test]
async fn codes_are_made_with_a_fresh_passkey_shown_once_and_stored_as_hashes() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.wait(360);
    assert!(olivia.post("/account/recovery/codes", &[]).await.location().starts_with("/step-up?deferred="));
    world.prove(&mut olivia, "olivia").await;
    let made = olivia.post("/account/recovery/codes", &[]).await;
    let codes = codes(&made);
    assert_eq!(made.header("cache-control"), "no-store");
    let stored = world.everything_stored().await;
    let again = olivia.get("/account/recovery").await;
    for code in &codes {
        let secret = code.replace('-', "")[4..].to_owned();
        assert!(!stored.contains(code) && !stored.contains(&secret), "{code}");
        assert!(!again.body.contains(code), "shown once");
    }
    let hashes: Vec<Value> = sqlx::query_scalar("select to_jsonb(c) from identity.recovery_codes c")
        .fetch_all(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(hashes.len(), 10);
    assert!(hashes.iter().all(|row| row["hash"].as_str().unwrap().starts_with("$argon2id$v=19$m=19456,t=2,p=1$")));
}

// control: IDN-11
#[tokio::test]
async fn what_is_no_code_is_refused_in_words() {
    let world = World::start().await;
    let (_, mut erin) = lost(&world, "erin").await;
    for (code, said) in [
        ("", "Enter a recovery code"),
        ("x", "Enter a recovery code"),
        ("AAAA-BBBB-CCCC-DDDD", "valid or has been used"),
    ] {
        let refused = try_code(&mut erin, code).await;
        assert!(refused.status == 422 && refused.body.contains(said), "{code}: {}", refused.text());
    }
    let mut stranger = world.stranger();
    assert_eq!(try_code(&mut stranger, "AAAA-BBBB-CCCC-DDDD").await.status, 401);
    let mut vera = world.sign_in("vera").await;
    assert_eq!(vera.get("/recovery").await.location(), "/account/passkeys/new", "nothing to recover from");
    assert_eq!(try_code(&mut vera, "AAAA-BBBB-CCCC-DDDD").await.status, 422);
    // A proof in a recovered session is a proof like any other.
    let mut proved = world.sign_in_at_provider("vera").await;
    let mut device = Authenticator::new(&world);
    assert_eq!(enrol(&mut proved, &mut device, "One").await.status, 303);
    assert_eq!(step_up(&mut proved, &mut device, ("return_to", "/account")).await.status, 303);
}
