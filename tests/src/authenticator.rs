//! Authenticator apps: a second factor, and no more than that.

mod samples;

use crate::harness::passkey::{Authenticator, enrol};
use crate::harness::totp::{App, add};
use crate::harness::{Answer, Client, World};

/// Somebody with an app, and a browser in which only the provider vouches for them. A step later than the set-up.
async fn second_browser(world: &World, subject: &str) -> (App, Client, Client) {
    let mut first = world.sign_in(subject).await;
    let app = add(world, &mut first).await;
    world.wait(30);
    (app, first, world.sign_in_at_provider(subject).await)
}

async fn send_code(client: &mut Client, code: &str) -> Answer {
    client.post("/step-up/code", &[("code", code), ("return_to", "/account")]).await
}

async fn events(world: &World, like: &str) -> Vec<String> {
    sqlx::query_scalar("select kind from audit.events where kind like $1 order by id")
        .bind(like)
        .fetch_all(&mut world.database.owner().await)
        .await
        .unwrap()
}

// control: IDN-11
#[tokio::test]
async fn a_code_is_the_second_factor_of_who_has_an_app() {
    let world = World::start().await;
    let (app, mut first, mut second) = second_browser(&world, "erin").await;
    assert_eq!(first.get("/account").await.status, 200, "the app was proved here when it was set up");
    assert_eq!(second.get(&world.acme.contacts()).await.location().split('?').next(), Some("/step-up"));
    // What is sent without it waits, and is done as it was sent.
    let asked = second.post(&world.acme.contacts(), &[("name", "Deferred Contact")]).await;
    let page = second.get(asked.location()).await;
    assert!(page.body.contains("action=\"/step-up/code\"") && page.body.contains("create contact"), "{}", page.text());
    assert!(!page.body.contains("data-passkey"), "there is no passkey to use");
    let (_, kept) = asked.location().split_once("deferred=").unwrap();
    let kept = kept.split('&').next().unwrap();
    let before = second.clone();
    let done = second.post("/step-up/code", &[("code", &app.code(&world, 0)), ("deferred", kept)]).await;
    assert!(done.status == 303 && done.location().contains("/contacts/"), "{} {}", done.status, done.text());
    assert!(second.get(&world.acme.contacts()).await.body.contains("Deferred Contact"));
    assert_eq!(before.clone().get("/account").await.status, 303, "the token from before the proof is worth nothing");
    assert_eq!(events(&world, "session.code_verified").await.len(), 1);
    let told = world.mail_to("erin@example.com").await;
    assert!(told.subject.contains("authenticator app was added"), "{}", told.subject);
}

// control: IDN-11
#[tokio::test]
async fn a_code_works_once_and_none_works_that_is_older_than_one_that_did() {
    let world = World::start().await;
    let (app, first, second) = second_browser(&world, "erin").await;
    drop(first);
    let others = [second, world.sign_in_at_provider("erin").await, world.sign_in_at_provider("erin").await];
    let code = app.code(&world, 0);
    let send = |client: &Client| {
        let (mut client, code) = (client.clone(), code.clone());
        async move { send_code(&mut client, &code).await.status }
    };
    let mut statuses: [u16; 3] = tokio::join!(send(&others[0]), send(&others[1]), send(&others[2])).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 422, 422], "three browsers at once");
    let mut another = world.sign_in_at_provider("erin").await;
    assert_eq!(send_code(&mut another, &app.code(&world, -1)).await.status, 422, "of the step before");
    assert_eq!(send_code(&mut another, &app.code(&world, 1)).await.status, 303, "of the step after, by a fast clock");
    let mut another = world.sign_in_at_provider("erin").await;
    world.wait(60);
    let code = app.code(&world, 0);
    assert_eq!(send_code(&mut another, &format!(" {} {} ", &code[..3], &code[3..])).await.status, 303, "with spaces");
    assert_eq!(events(&world, "totp.refused").await.len(), 3);
}

// control: IDN-11
// control: IDN-13
#[tokio::test]
async fn both_kinds_of_codes_share_a_lockout_and_a_right_code_is_not_used_up_during_it() {
    let world = World::start().await;
    let (app, _, second) = second_browser(&world, "erin").await;
    let right = app.code(&world, 0);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    let tries = (0..8).map(|_| {
        let mut client = second.clone();
        async move { send_code(&mut client, wrong).await.status }
    });
    let mut statuses = futures_util::future::join_all(tries).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [422, 422, 422, 422, 422, 422, 429, 429], "many at once are no more");
    let mut second = second;
    assert_eq!(send_code(&mut second, &right).await.status, 429);
    // A recovery code is a guess like any other.
    assert_eq!(second.post("/recovery", &[("code", "AAAA-BBBB-CCCC-DDDD")]).await.status, 429);
    assert_eq!(events(&world, "account.locked_out").await.len(), 1);
    world.wait(60);
    assert_eq!(second.post("/recovery", &[("code", "AAAA-BBBB-CCCC-DDDD")]).await.status, 422);
    assert_eq!(send_code(&mut second, &app.code(&world, 0)).await.header("retry-after"), "120");
    world.wait(120);
    assert_eq!(send_code(&mut second, &app.code(&world, 0)).await.status, 303);
    assert_eq!(world.database.count("select count(*) from identity.lockouts").await, 0);
}

// control: IDN-09
// control: IDN-10
// control: IDN-11
#[tokio::test]
async fn a_code_opens_nothing_that_takes_a_passkey() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let app = add(&world, &mut olivia).await;
    world.wait(30);
    let mut other = world.sign_in_at_provider("olivia").await;
    let asked = other.get(&world.acme.contacts()).await;
    assert!(asked.location().starts_with("/step-up?") && !asked.location().contains("by_code"), "{}", asked.location());
    assert!(!other.get(asked.location()).await.body.contains("/step-up/code"), "a code is not asked for");
    assert_eq!(send_code(&mut other, &app.code(&world, 0)).await.status, 303);
    assert_eq!(other.get("/account").await.status, 200, "her own account needs a second factor only");
    assert!(other.get(&world.acme.contacts()).await.location().starts_with("/step-up?"), "an owner proves a passkey");
    for path in ["/account/passkeys/options", "/account/recovery/codes", "/account/authenticator/remove"] {
        assert_eq!(other.clone().program().post(path, &[]).await.status, 401, "{path}");
    }
}

// control: IDN-11
#[tokio::test]
async fn a_code_of_the_app_recovers_as_a_recovery_code_does() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    world.prove(&mut erin, "erin").await;
    let app = add(&world, &mut erin).await;
    world.wait(30);
    let mut lost = world.sign_in_at_provider("erin").await;
    assert_eq!(lost.clone().program().post("/account/passkeys/options", &[]).await.status, 401);
    let code = app.code(&world, 0);
    let accepted = lost.post("/recovery", &[("code", &code)]).await;
    assert!(accepted.status == 200 && accepted.body.contains("You can continue on"), "{}", accepted.text());
    assert_eq!(lost.post("/recovery", &[("code", &code)]).await.status, 422, "once");
    let mut lost = crate::recovery::continue_after_the_wait(&world, &lost, "erin").await;
    assert!(
        lost.get("/account").await.location().starts_with("/step-up"),
        "it makes a passkey and proves nothing else"
    );
    assert_eq!(enrol(&mut lost, &mut Authenticator::new(&world), "New").await.status, 303);

    let mut olivia = world.sign_in("olivia").await;
    let app = add(&world, &mut olivia).await;
    world.wait(30);
    let mut lost = world.sign_in_at_provider("olivia").await;
    let waits = lost.post("/recovery", &[("code", &app.code(&world, 0))]).await;
    assert!(waits.body.contains("You can continue on"), "{}", waits.text());
}

// control: IDN-11
#[tokio::test]
async fn a_person_without_a_passkey_keeps_codes_for_a_lost_app() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    add(&world, &mut erin).await;
    let made = erin.post("/account/recovery/codes", &[]).await;
    let code = made.body.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut lost = world.sign_in_at_provider("erin").await;
    assert!(lost.get("/step-up?by_code=yes").await.body.contains("Lost your app?"));
    assert_eq!(lost.post("/recovery", &[("code", &code)]).await.location(), "/account/passkeys/new");
    assert_eq!(enrol(&mut lost, &mut Authenticator::new(&world), "First").await.status, 303);
    assert_eq!(lost.get("/account").await.status, 200);
}

// control: IDN-11
#[tokio::test]
async fn setting_up_an_app_needs_a_recent_sign_in() {
    let world = World::start().await;
    // Without a passkey: soon after the provider vouched for them.
    let mut erin = world.sign_in("erin").await;
    world.wait(910);
    let page = erin.get("/account/authenticator").await;
    assert!(
        page.body.contains("/sign-in?reauthenticate=yes") && !page.body.contains("Set up an app"),
        "{}",
        page.text()
    );
    assert_eq!(erin.post("/account/authenticator", &[]).await.status, 403);
    // With one: with a fresh one.
    let mut olivia = world.sign_in("olivia").await;
    world.wait(310);
    assert!(olivia.post("/account/authenticator", &[]).await.location().starts_with("/step-up?deferred="));
    world.prove(&mut olivia, "olivia").await;
    add(&world, &mut olivia).await;
    let again = olivia.post("/account/authenticator", &[]).await;
    assert!(again.status == 409 && again.body.contains("Remove it first"), "{}", again.text());
    // Not in a session that looks unusual.
    let mut vera = world.sign_in("vera").await.with_agent("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0");
    assert_eq!(vera.post("/account/authenticator", &[]).await.status, 403);
}

// control: IDN-13
#[tokio::test]
async fn new_keys_and_first_codes_are_counted_per_person_across_sessions() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let app = App::of(&erin.post("/account/authenticator", &[]).await);
    let right = app.code(&world, 0);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for _ in 0..9 {
        assert_eq!(erin.post("/account/authenticator/confirm", &[("code", wrong)]).await.status, 422);
    }
    let refused = erin.post("/account/authenticator/confirm", &[("code", &right)]).await;
    assert!(refused.status == 429 && !refused.header("retry-after").is_empty(), "{}", refused.text());
    let mut elsewhere = world.sign_in_at_provider("erin").await;
    assert_eq!(elsewhere.post("/account/authenticator", &[]).await.status, 429);
    world.wait(60);
    assert_eq!(erin.post("/account/authenticator/confirm", &[("code", &app.code(&world, 0))]).await.status, 303);
}

// control: IDN-11
#[tokio::test]
async fn a_secret_is_shown_to_the_session_that_sets_it_up_and_to_nobody_after() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let shown = erin.post("/account/authenticator", &[]).await;
    assert_eq!(shown.header("cache-control"), "no-store");
    let app = App::of(&shown);
    assert!(shown.body.contains("otpauth://totp/Holdfast:erin%40example.com?secret="), "{}", shown.body);
    let mut elsewhere = world.sign_in_at_provider("erin").await;
    for code in ["000000", &app.code(&world, 0)] {
        let refused = elsewhere.post("/account/authenticator/confirm", &[("code", code)]).await;
        assert!(refused.status == 409 && !refused.body.contains("otpauth"), "{}", refused.text());
    }
    let wrong = erin.post("/account/authenticator/confirm", &[("code", "12345")]).await;
    let (text, _) = shown.body.split_once("otpauth").unwrap();
    assert!(text.len() > 500 && wrong.status == 422, "{}", wrong.text());
    assert!(!wrong.body.contains("otpauth") && !wrong.body.contains("<svg"), "not shown again: {}", wrong.text());
    // Not confirmed, it asks nothing of anybody.
    assert_eq!(elsewhere.get("/account").await.status, 200);
    assert_eq!(send_code(&mut elsewhere, &app.code(&world, 0)).await.status, 422);
    world.wait(901);
    assert_eq!(
        erin.post("/account/authenticator/confirm", &[("code", &app.code(&world, 0))]).await.status,
        409,
        "late"
    );

    let mut erin = world.sign_in("erin").await;
    let app = add(&world, &mut erin).await;
    let page = erin.get("/account/authenticator").await;
    assert!(page.body.contains("In use") && !page.body.contains("otpauth"), "{}", page.text());
    let stored = world.everything_stored().await;
    let hex: String = app.secret().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(stored.contains("totp.enrolled") && !stored.contains(&hex), "sealed");
}

// control: IDN-11
#[tokio::test]
async fn a_secret_moved_to_somebody_else_does_not_open() {
    let world = World::start().await;
    let (_, _, mut erin) = second_browser(&world, "erin").await;
    let mut vera = world.sign_in("vera").await;
    let app = add(&world, &mut vera).await;
    world.wait(30);
    sqlx::query(
        "update identity.totp set secret = (select secret from identity.totp where user_id = $1) where user_id = $2",
    )
    .bind(world.user("vera").await)
    .bind(world.user("erin").await)
    .execute(&mut world.database.owner().await)
    .await
    .unwrap();
    assert_eq!(send_code(&mut erin, &app.code(&world, 0)).await.status, 500);
    assert!(erin.get("/account").await.location().starts_with("/step-up"));
}

// control: IDN-11
#[tokio::test]
async fn an_app_is_removed_with_a_fresh_factor_and_the_other_sessions_end() {
    let world = World::start().await;
    let (app, mut first, mut second) = second_browser(&world, "erin").await;
    assert_eq!(send_code(&mut second, &app.code(&world, 0)).await.status, 303);
    world.wait(310);
    let asked = first.post("/account/authenticator/remove", &[]).await;
    assert!(asked.location().contains("by_code=yes"), "{}", asked.location());
    assert_eq!(send_code(&mut first, &app.code(&world, 0)).await.status, 303);
    assert_eq!(first.get("/account/authenticator/remove").await.status, 200);
    let send = || {
        let mut first = first.clone();
        async move { first.post("/account/authenticator/remove", &[]).await.status }
    };
    let mut statuses: [u16; 2] = tokio::join!(send(), send()).into();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    assert_eq!(second.get("/account").await.status, 303, "signed out");
    assert_eq!(first.get("/account").await.status, 200);
    assert_eq!(events(&world, "totp.removed").await.len(), 1);
    let mut fresh = world.sign_in_at_provider("erin").await;
    assert_eq!(fresh.get("/account").await.status, 200, "nothing more to prove");
    assert_eq!(send_code(&mut fresh, &app.code(&world, 1)).await.status, 422);
}

/// `code` in full width, in Arabic-Indic digits, and as people group it.
fn as_typed(code: &str) -> [String; 4] {
    let from = |zero: u32| code.chars().map(|c| char::from_u32(u32::from(c) - 48 + zero).unwrap()).collect();
    [
        from(0xff10),
        from(0x660),
        format!("{}-{}", &code[..3], &code[3..]),
        format!("\u{200f}{} {}", &code[..3], &code[3..]),
    ]
}

// control: IDN-11
// control: IDN-13
#[tokio::test]
async fn a_code_is_read_as_it_was_meant_and_what_is_no_code_costs_no_try() {
    let world = World::start().await;
    let (app, mut first, _) = second_browser(&world, "erin").await;
    for spelling in 0..4 {
        world.wait(60);
        let mut browser = world.sign_in_at_provider("erin").await;
        let typed = as_typed(&app.code(&world, 0))[spelling].clone();
        assert_eq!(send_code(&mut browser, &typed).await.status, 303, "{typed}");
    }
    let mut browser = world.sign_in_at_provider("erin").await;
    let lockouts = "select count(*) from identity.lockouts";
    for none in ["", "12345", "1234567", "12345a", "½23456", "AAAA-BBBB", "UUUU-UUUU-UUUU-UUUU"].repeat(3) {
        assert_eq!(send_code(&mut browser, none).await.status, 422, "{none}");
        assert_eq!(browser.post("/recovery", &[("code", none)]).await.status, 422, "{none}");
    }
    assert_eq!(world.database.count(lockouts).await, 0);
    assert!(events(&world, "%.refused").await.is_empty());

    world.prove(&mut first, "erin").await;
    let made = first.post("/account/recovery/codes", &[]).await;
    let codes: Vec<&str> = made.body.split("<code>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    let wide: String = codes[0].chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    // It is theirs, and waits because they have a passkey.
    assert_eq!(browser.post("/recovery", &[("code", &wide)]).await.status, 200, "{wide}");
}

/// Forms declare their codes, so one input in one template has the right keyboard and autocomplete for all of them.
#[test]
fn codes_of_digits_are_typed_with_digits_and_filled_in() {
    let mut found = Vec::new();
    for (path, text) in crate::text::templates() {
        let is_code = |input: &&str| input.contains("name=\"code\"") || input.contains("one-time-code");
        let inputs = text.split("<input").skip(1).filter_map(|rest| rest.split('>').next());
        found.extend(inputs.filter(is_code).map(|input| (path.clone(), input.to_owned())));
    }
    let [(path, input)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(path, "parts.html");
    for attribute in ["autocomplete=\"one-time-code\"", "inputmode=\"numeric\""] {
        assert!(input.contains(attribute), "{input}");
    }
}
