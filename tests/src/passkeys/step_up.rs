//! What needs a fresh passkey asks for it, and then does exactly what was asked, once.

use serde_json::json;

use crate::harness::passkey::options;
use crate::harness::{Answer, Client, World};

/// Longer than a proof is fresh.
const STALE: i64 = 360;

const ROLE: [(&str, &str); 3] =
    [("role", "editor"), ("reason", "She edits & writes: ü=1"), ("ticket", "https://tickets.example/7")];

async fn role_url(world: &World, subject: &str) -> String {
    format!("{}/members/{}/role", world.acme.url(), world.user(subject).await)
}

/// Sends a form that is kept, and gives the id it is kept under.
async fn defer(client: &mut Client, path: &str, form: &[(&str, &str)]) -> String {
    let answer = client.post(path, form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let deferred =
        answer.location().strip_prefix("/step-up?deferred=").unwrap_or_else(|| panic!("{}", answer.location()));
    deferred.to_owned()
}

async fn confirm(world: &World, client: &mut Client, subject: &str, deferred: &str) -> Answer {
    let credential = world.device_answers(subject, &options(client, "/step-up/options").await).await.to_string();
    client.post("/step-up", &[("credential", &credential), ("deferred", deferred)]).await
}

// control: IDN-10
#[tokio::test]
async fn a_form_that_needs_a_fresh_passkey_waits_for_it_and_is_then_done_as_it_was_sent() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let id = defer(&mut olivia, &url, &ROLE).await;
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"), "nothing is done yet");
    let page = olivia.get(&format!("/step-up?deferred={id}")).await;
    assert!(page.status == 200 && page.body.contains("change member role"), "{}", page.text());

    let before = olivia.cookie("session").unwrap().to_owned();
    let done = confirm(&world, &mut olivia, "olivia", &id).await;
    assert_eq!((done.status, done.location()), (303, &*format!("{}/members", world.acme.url())), "{}", done.text());
    assert_eq!(world.role("vera").await.as_deref(), Some("editor"));
    let event = world.events("member.role_changed").await.pop().unwrap();
    assert_eq!(
        event["details"],
        json!({ "member": "Vera Viewer", "from": "viewer", "to": "editor", "reason": ROLE[1].1, "ticket": ROLE[2].1 })
    );
    assert_ne!(olivia.cookie("session"), Some(&*before), "the session has a new token");
    let list = olivia.get(&format!("{}/members", world.acme.url())).await;
    assert!(list.body.contains("Vera Viewer is now Editor."), "{}", list.text());
    let mut old = world.stranger();
    old.set_cookie("session", &before);
    assert_eq!(old.get("/account").await.status, 303, "and the old one is dead");

    // For five minutes nothing more is asked.
    world.wait(240);
    let form = [("role", "viewer"), ("reason", "And back")];
    assert_eq!(olivia.post(&url, &form).await.location(), format!("{}/members", world.acme.url()));
}

// control: IDN-10
#[tokio::test]
async fn a_page_that_needs_a_fresh_passkey_opens_after_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let asked = olivia.get(&url).await;
    let encoded = url.replace('/', "%2F");
    assert_eq!((asked.status, asked.location()), (303, &*format!("/step-up?return_to={encoded}")));
    let page = olivia.get(asked.location()).await;
    assert!(page.body.contains(&format!("name=\"return_to\" value=\"{url}\"")), "{}", page.text());
    let credential = options(&mut olivia, "/step-up/options").await;
    let credential = world.device_answers("olivia", &credential).await.to_string();
    let done = olivia.post("/step-up", &[("credential", &credential), ("return_to", &url)]).await;
    assert_eq!((done.status, done.location()), (303, &*url));
    assert_eq!(olivia.get(&url).await.status, 200);
    // Too long to be kept in an address: asked for all the same.
    let mut stale = world.sign_in_at_provider("olivia").await;
    let long = stale.get(&format!("{}?q={}", world.acme.contacts(), "x".repeat(600))).await;
    assert_eq!((long.status, long.location()), (303, "/step-up?return_to=%2F"));
    for elsewhere in ["https://evil.example", "//evil.example"] {
        let page = olivia.get(&format!("/step-up?return_to={}", elsewhere.replace('/', "%2F"))).await;
        assert!(!page.body.contains("evil.example"), "{}", page.text());
    }
}

// control: IDN-10
#[tokio::test]
async fn a_deferred_form_runs_once_for_its_person_in_its_browser_and_in_time() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut adam = world.sign_in("adam").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let id = defer(&mut olivia, &url, &ROLE).await;

    // Somebody else, also with the browser's cookie.
    let cookie = format!("deferred-{}", id.replace('-', ""));
    adam.set_cookie(&cookie, olivia.cookie(&cookie).unwrap());
    let page = adam.get(&format!("/step-up?deferred={id}")).await;
    assert!(!page.body.contains("change member role"), "{}", page.text());
    let refused = confirm(&world, &mut adam, "adam", &id).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(adam.get("/account").await.status, 200, "the proof counts, and the session continues");
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));

    // Another browser that has got hold of the session: what it sent, the person cannot be made to confirm.
    let mut victim = olivia.clone();
    victim.remove_cookie(&cookie);
    let page = victim.get(&format!("/step-up?deferred={id}")).await;
    assert!(!page.body.contains("change member role"), "{}", page.text());
    assert_eq!(confirm(&world, &mut victim, "olivia", &id).await.status, 409);
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));
    olivia.set_cookie("session", victim.cookie("session").unwrap());

    // Twice at once: one effect.
    let ask = async |client: &mut Client| {
        let asked = options(client, "/step-up/options").await;
        world.device_answers("olivia", &asked).await.to_string()
    };
    let (mut one, mut other) = (olivia.clone(), olivia.clone());
    let answers = (ask(&mut one).await, ask(&mut other).await);
    let send = async |mut client: Client, credential: String| {
        client.post("/step-up", &[("credential", &credential), ("deferred", &id)]).await.status
    };
    let mut statuses: [u16; 2] = tokio::join!(send(one, answers.0), send(other, answers.1)).into();
    statuses.sort_unstable();
    // The other one finds no challenge, or finds that the proof has replaced the cookie that it sends.
    assert!(matches!(statuses, [303, 401 | 403]), "a session has one challenge at a time: {statuses:?}");
    assert_eq!(world.role("vera").await.as_deref(), Some("editor"));
    assert_eq!(world.events("member.role_changed").await.len(), 1);

    // In the next session of the same person in the same browser.
    let mut olivia = world.sign_in("olivia").await;
    world.wait(STALE);
    let id = defer(&mut olivia, &url, &[("role", "viewer"), ("reason", "And back")]).await;
    let cookie = format!("deferred-{}", id.replace('-', ""));
    let mut next = world.sign_in("olivia").await;
    next.set_cookie(&cookie, olivia.cookie(&cookie).unwrap());
    assert_eq!(confirm(&world, &mut next, "olivia", &id).await.status, 303);
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));

    // Late.
    let mut olivia = world.sign_in("olivia").await;
    world.wait(STALE);
    let form = [("role", "creator"), ("reason", "much too late")];
    let id = defer(&mut olivia, &url, &form).await;
    assert!(!world.everything_stored().await.contains("late"), "nobody reads it in the database");
    world.wait(601);
    assert_eq!(confirm(&world, &mut olivia, "olivia", &id).await.status, 409);
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));
}

// control: IDN-10
#[tokio::test]
async fn a_refused_proof_does_nothing_and_what_was_kept_can_still_be_confirmed() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.sign_in("adam").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let id = defer(&mut olivia, &url, &ROLE).await;
    let asked = options(&mut olivia, "/step-up/options").await;
    let theirs = world.device_answers("adam", &asked).await.to_string();
    let refused = olivia.post("/step-up", &[("credential", &theirs), ("deferred", &id)]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.body.contains("was not accepted") && refused.body.contains(&id), "{}", refused.text());
    let empty = olivia.post("/step-up", &[("credential", ""), ("deferred", &id)]).await;
    assert_eq!(empty.status, 422, "{}", empty.text());
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));
    assert_eq!(confirm(&world, &mut olivia, "olivia", &id).await.status, 303);
    assert_eq!(world.role("vera").await.as_deref(), Some("editor"));
}

// control: IDN-10
#[tokio::test]
async fn a_deferred_form_is_authorized_after_the_proof() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let mut olivia = world.sign_in("olivia").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let id = defer(&mut adam, &url, &ROLE).await;
    // In the meantime he loses the role of an admin.
    world.prove(&mut olivia, "olivia").await;
    let form = [("role", "viewer"), ("reason", "Not an admin")];
    assert_eq!(olivia.post(&role_url(&world, "adam").await, &form).await.status, 303);
    let refused = confirm(&world, &mut adam, "adam", &id).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"));
}

// control: IDN-10
#[tokio::test]
async fn a_program_gets_the_challenge_and_nothing_is_kept() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    for answer in [olivia.clone().program().post(&url, &ROLE).await, olivia.clone().program().get(&url).await] {
        assert_eq!(answer.status, 401, "{}", answer.body);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
        assert!(challenge.contains("max_age=\"300\""), "{challenge}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(world.database.count("select count(*) from identity.deferred_requests").await, 0);
    let head = olivia.request(reqwest::Method::HEAD, &url).header("sec-fetch-site", "same-origin");
    assert_eq!(olivia.clone().send(head).await.status, 303, "HEAD is GET without a body");
    let decisions =
        "select count(*) from audit.decisions where step_up and not allowed and action = 'ChangeMemberRole'";
    world.settle_decisions().await;
    assert_eq!(world.database.count(decisions).await, 3);
}

// control: IDN-10
#[tokio::test]
async fn forms_are_kept_within_the_limits_of_forms_and_a_few_for_each_person() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let url = role_url(&world, "vera").await;
    world.wait(STALE);
    let large = "x".repeat(70_000);
    assert_eq!(olivia.post(&url, &[("reason", &large)]).await.status, 413);
    assert_eq!(olivia.post_body(&url, "text/plain", "role=editor").await.status, 415);
    assert_eq!(olivia.post(&format!("{url}?role=owner"), &ROLE).await.status, 422);
    assert_eq!(world.database.count("select count(*) from identity.deferred_requests").await, 0);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(defer(&mut olivia, &url, &ROLE).await);
    }
    assert_eq!(world.database.count("select count(*) from identity.deferred_requests").await, 5);
    assert_eq!(confirm(&world, &mut olivia, "olivia", &ids[0]).await.status, 409, "the oldest gave way");
    assert_eq!(confirm(&world, &mut olivia, "olivia", &ids[6]).await.status, 303);
    // A form that does not fit is refused when it is done, as it would have been before.
    world.wait(STALE);
    let id = defer(&mut olivia, &url, &[("role", "no such role"), ("reason", "x")]).await;
    let answer = confirm(&world, &mut olivia, "olivia", &id).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.body.contains("Please check the form"), "{}", answer.text());
}

// control: IDN-09
#[tokio::test]
async fn somebody_whose_role_needs_a_passkey_lands_where_one_is_made() {
    let world = World::start().await;
    for (subject, page) in [
        ("olivia", world.acme.contacts()),
        ("adam", world.acme.contacts()),
        ("bella", world.acme.url()),
        ("fiona", world.acme.url()),
    ] {
        let mut client = world.sign_in_at_provider(subject).await;
        let asked = client.get(&page).await;
        assert!(asked.location().starts_with("/step-up?return_to="), "{subject}: {}", asked.text());
        let lands = client.get(asked.location()).await;
        let encoded = page.replace('/', "%2F");
        assert_eq!(lands.location(), format!("/account/passkeys/new?return_to={encoded}"), "{subject}");
        let form = client.get(lands.location()).await;
        assert_eq!(form.status, 200, "{}", form.text());
        assert!(form.body.contains(&format!("name=\"return_to\" value=\"{page}\"")), "{}", form.body);
        let refused = client.clone().program().post(&world.acme.contacts(), &[("name", "Too early")]).await;
        assert!(matches!(refused.status, 401 | 404), "{subject}: {}", refused.status);
    }
    // A role that needs none is not affected, and a role in another organization does not count here.
    assert_eq!(world.sign_in("vera").await.get(&world.acme.contacts()).await.status, 200);
    let mut adam = world.sign_in_at_provider("adam").await;
    assert_eq!(adam.get(&world.globex.contacts()).await.status, 200, "he only views there");
}

// control: IDN-09
#[tokio::test]
async fn a_person_with_a_passkey_verifies_it_after_the_provider() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    world.prove(&mut erin, "erin").await;
    let mut again = world.sign_in_at_provider("erin").await;
    for page in ["/account".to_owned(), "/organizations".to_owned(), world.acme.contacts()] {
        let asked = again.get(&page).await;
        assert!(asked.location().starts_with("/step-up?"), "{page}: {}", asked.text());
    }
    world.prove(&mut again, "erin").await;
    world.wait(1_200);
    assert_eq!(again.get(&world.acme.contacts()).await.status, 200, "once in a session");
}

// control: IDN-05
#[tokio::test]
async fn a_proof_made_when_the_token_is_due_leaves_the_browser_with_the_newest_one() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.wait(800);
    let asked = options(&mut olivia, "/step-up/options").await;
    let credential = world.device_answers("olivia", &asked).await.to_string();
    world.wait(150);
    let done = olivia.post("/step-up", &[("credential", &credential), ("return_to", "/account")]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(olivia.get("/account").await.status, 200);
    assert_eq!(olivia.get(&role_url(&world, "vera").await).await.status, 200);
}
