//! A form that is sent after its session has ended waits for its person, and is then done as it was sent, once.

mod samples;

use std::collections::BTreeSet;

use reqwest::Method;
use uuid::Uuid;

use crate::harness::changes::{form_for, forms};
use crate::harness::passkey::options;
use crate::harness::{Answer, Client, World, browser_routes};

/// Longer than a session lasts that nobody uses.
const IDLE: i64 = 1_801;
const RESUME: &str = "/sign-in?return_to=%2Fresume%3Fdeferred%3D";
const DEFERRED: &str = "select count(*) from identity.deferred_requests";
const ADAS: &str = "select count(*) from tenant.contacts where name = 'Ada & Söhne <1>'";
const ADA: [(&str, &str); 2] = [("name", "Ada & Söhne <1>"), ("email", "ada@example.com")];

/// Sends a form that is kept, and gives the id it is kept under.
async fn defer(client: &mut Client, path: &str, form: &[(&str, &str)]) -> String {
    let answer = client.post(path, form).await;
    assert_eq!(answer.status, 303, "{path}: {}", answer.text());
    let id = answer.location().strip_prefix(RESUME).unwrap_or_else(|| panic!("{path}: {}", answer.location()));
    id.to_owned()
}

/// Signs in again in the same browser.
async fn sign_in_again(world: &World, client: &mut Client, subject: &str) {
    let callback = world.click_at_provider(client, subject).await;
    let answer = client.get_from_elsewhere(&callback).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn send(client: &mut Client, id: &str) -> Answer {
    client.post("/resume", &[("deferred", id)]).await
}

async fn ask(client: &mut Client, id: &str) -> Answer {
    let page = client.get(&format!("/resume?deferred={id}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page
}

/// Nothing is there for this browser, and nothing is done.
async fn gets_nothing(client: &mut Client, id: &str, what: &str) {
    client.remove_cookie("flash");
    let page = ask(client, id).await;
    assert!(page.body.contains("Nothing to send"), "{what}: {}", page.text());
    assert_eq!(page.masked(), ask(client, &Uuid::now_v7().to_string()).await.masked(), "{what}: as for any other id");
    let refused = send(client, id).await;
    assert!(refused.status == 409 && refused.body.contains("nothing was done"), "{what}: {}", refused.text());
}

/// The cookie that identifies the browser of a deferred form.
fn browser_cookie(id: &str) -> String {
    format!("deferred-{}", id.replace('-', ""))
}

#[derive(Clone, Copy, Debug)]
enum End {
    Idle,
    Absolute,
    SignedOutInAnotherTab,
    SignedOutWhenTheTokenWasDue,
    SignedOutWhenItHadEnded,
    OnAnotherDevice,
    AtTheProvider,
}

impl End {
    const ALL: [Self; 7] = [
        Self::Idle,
        Self::Absolute,
        Self::SignedOutInAnotherTab,
        Self::SignedOutWhenTheTokenWasDue,
        Self::SignedOutWhenItHadEnded,
        Self::OnAnotherDevice,
        Self::AtTheProvider,
    ];

    /// Ends the session of `client`, who is Carl.
    async fn come_to(self, world: &World, client: &mut Client) {
        match self {
            Self::Idle => world.wait(IDLE),
            Self::Absolute => {
                world.change("update identity.sessions set idle_expires_at = 'infinity' where ended_at is null").await;
                world.wait(43_201);
            }
            Self::SignedOutInAnotherTab | Self::SignedOutWhenTheTokenWasDue | Self::SignedOutWhenItHadEnded => {
                world.wait(match self {
                    Self::SignedOutInAnotherTab => 0,
                    Self::SignedOutWhenTheTokenWasDue => 1_000,
                    _ => IDLE,
                });
                assert_eq!(client.post("/sign-out", &[]).await.status, 200);
                assert_eq!(client.cookie("session"), None);
            }
            Self::OnAnotherDevice => {
                let mut elsewhere = world.sign_in("carl").await;
                assert_eq!(elsewhere.post("/account/sessions/end-others", &[]).await.status, 303);
            }
            Self::AtTheProvider => {
                let fault = devkit::idp::LogoutFault::None;
                let told = world.idp.send_backchannel_logout("holdfast", Some("carl"), None, fault).await;
                assert_eq!(told.unwrap(), 200);
                world.wait(1);
            }
        }
        assert_eq!(client.get("/account").await.status, 303, "{self:?}: it has ended");
    }
}

// case: A15
// control: IDN-10
#[tokio::test]
async fn a_form_that_comes_after_the_end_of_its_session_is_done_once_its_person_has_signed_in() {
    let world = World::start().await;
    for end in End::ALL {
        let mut carl = world.sign_in("carl").await;
        let key = carl.get(&format!("{}/new", world.acme.contacts())).await.one_time_key().unwrap();
        let form = [&ADA[..], &[("one_time_key", &*key)]].concat();
        end.come_to(&world, &mut carl).await;
        let id = defer(&mut carl, &world.acme.contacts(), &form).await;
        assert!(!world.everything_stored().await.contains("ada@example.com"), "nobody reads it in the database");
        let choose = carl.get(&format!("{RESUME}{id}")).await;
        assert!(choose.body.contains("We saved what you sent for ten minutes"), "{end:?}: {}", choose.text());

        sign_in_again(&world, &mut carl, "carl").await;
        let page = ask(&mut carl, &id).await;
        assert!(page.body.contains("create contact") && page.body.contains("Send it now"), "{end:?}: {}", page.text());
        assert_eq!(world.database.count(ADAS).await, 0, "{end:?}: nothing is done yet");

        let done = send(&mut carl, &id).await;
        let prefix = format!("{}/", world.acme.contacts());
        assert!(done.status == 303 && done.location().starts_with(&prefix), "{end:?}: {}", done.text());
        let contact = carl.get(done.location()).await;
        assert!(contact.text().contains("ada@example.com"), "{end:?}: {}", contact.text());
        assert!(contact.body.contains("role=\"status\""), "{end:?}: and says so");
        gets_nothing(&mut carl, &id, "a second time").await;
        let again = carl.post(&world.acme.contacts(), &form).await;
        assert_eq!(again.location(), done.location(), "{end:?}: the form itself, sent again, was done already");
        assert_eq!(world.database.count(ADAS).await, 1, "{end:?}");
        world.change("delete from tenant.contacts where name = 'Ada & Söhne <1>'").await;
    }
}

// case: A15
// control: IDN-10
#[tokio::test]
async fn a_deferred_form_is_for_its_person_in_its_browser() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    world.wait(IDLE);
    let id = defer(&mut carl, &world.acme.contacts(), &ADA).await;

    // Somebody else who may do the same, in the same browser.
    let mut erin = carl.clone();
    sign_in_again(&world, &mut erin, "erin").await;
    gets_nothing(&mut erin, &id, "another person").await;
    assert!(!ask(&mut erin, &id).await.body.contains("Carl"));

    // The same person in another browser, which has another cookie or none.
    let mut other = world.sign_in("carl").await;
    gets_nothing(&mut other, &id, "another browser").await;
    other.set_cookie(&browser_cookie(&id), &"A".repeat(43));
    gets_nothing(&mut other, &id, "a forged browser").await;
    assert_eq!(world.database.count(ADAS).await, 0);
    assert_eq!(world.database.count(DEFERRED).await, 1, "and it is still there");

    // Twice at once: one effect.
    sign_in_again(&world, &mut carl, "carl").await;
    let (mut one, mut two) = (carl.clone(), carl.clone());
    let (one, two) = tokio::join!(send(&mut one, &id), send(&mut two, &id));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409], "{} {}", one.text(), two.text());
    assert_eq!(world.database.count(ADAS).await, 1);
}

// case: A15
#[tokio::test]
async fn deferred_forms_last_ten_minutes_and_there_are_at_most_five() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    world.wait(IDLE);
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(defer(&mut carl, &world.acme.contacts(), &ADA).await);
    }
    assert_eq!(world.database.count(DEFERRED).await, 5);
    sign_in_again(&world, &mut carl, "carl").await;
    gets_nothing(&mut carl, &ids[1], "the oldest gave way").await;
    assert_eq!(send(&mut carl, &ids[2]).await.status, 303);
    world.wait(601);
    gets_nothing(&mut carl, &ids[6], "too late").await;
    assert_eq!(world.database.count(ADAS).await, 1);
}

// case: A15
// control: IDN-10
#[tokio::test]
async fn what_needs_a_fresh_passkey_asks_for_it_then() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let url = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    world.wait(IDLE);
    let id = defer(&mut olivia, &url, &[("role", "editor"), ("reason", "She edits & writes: ü=1")]).await;
    sign_in_again(&world, &mut olivia, "olivia").await;
    assert!(ask(&mut olivia, &id).await.body.contains("change member role"));
    let asked = send(&mut olivia, &id).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let again = asked.location().strip_prefix("/step-up?deferred=").unwrap_or_else(|| panic!("{}", asked.location()));
    assert_eq!(world.role("vera").await.as_deref(), Some("viewer"), "nothing is done yet");
    let page = olivia.get(asked.location()).await;
    assert!(page.body.contains("change member role"), "{}", page.text());
    let credential = world.device_answers("olivia", &options(&mut olivia, "/step-up/options").await).await.to_string();
    let done = olivia.post("/step-up", &[("credential", &credential), ("deferred", again)]).await;
    assert_eq!((done.status, done.location()), (303, &*format!("{}/members", world.acme.url())), "{}", done.text());
    assert_eq!(world.role("vera").await.as_deref(), Some("editor"));
    let event = world.events("member.role_changed").await.pop().unwrap();
    assert_eq!(event["details"]["reason"], "She edits & writes: ü=1");
}

// case: A15
// control: POL-03
#[tokio::test]
async fn a_deferred_form_is_authorized_when_it_is_executed() {
    let world = World::start().await;
    for (change, status) in [
        ("update tenant.memberships set role = 'viewer' where role = 'creator'", 403),
        ("delete from tenant.memberships where role = 'editor'", 404),
    ] {
        let subject = if status == 403 { "carl" } else { "erin" };
        let mut client = world.sign_in(subject).await;
        world.wait(IDLE);
        let id = defer(&mut client, &world.acme.contacts(), &ADA).await;
        world.change(change).await;
        sign_in_again(&world, &mut client, subject).await;
        let refused = send(&mut client, &id).await;
        assert_eq!(refused.status, status, "{change}: {}", refused.text());
    }
    // A form that does not fit is shown again with what was typed.
    let mut olivia = world.sign_in("olivia").await;
    world.wait(IDLE);
    let id = defer(&mut olivia, &world.acme.contacts(), &[("name", "Ada & Söhne <1>"), ("email", "none")]).await;
    sign_in_again(&world, &mut olivia, "olivia").await;
    world.prove(&mut olivia, "olivia").await;
    let again = send(&mut olivia, &id).await;
    assert!(again.status == 422 && again.text().contains("Please check the form"), "{}", again.text());
    assert!(again.body.contains("Ada &#38; Söhne"), "{}", again.body);
    assert_eq!(world.database.count(ADAS).await, 0);
}

// case: A15
#[tokio::test]
async fn a_session_that_ends_before_the_button_is_pressed_loses_nothing() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    world.wait(IDLE);
    let first = defer(&mut carl, &world.acme.contacts(), &ADA).await;
    sign_in_again(&world, &mut carl, "carl").await;
    assert_eq!(carl.post("/sign-out", &[]).await.status, 200);
    let second = defer(&mut carl, "/resume", &[("deferred", &first)]).await;
    sign_in_again(&world, &mut carl, "carl").await;
    let done = send(&mut carl, &second).await;
    assert!(done.status == 303 && done.location().starts_with(&world.acme.contacts()), "{}", done.text());
    assert_eq!(world.database.count(ADAS).await, 1);
    assert_eq!(world.database.count(DEFERRED).await, 0);
}

/// Sends a form and is told that it was not saved.
async fn is_told(client: &mut Client, world: &World, what: &str) -> Answer {
    let told = client.post(&world.acme.contacts(), &ADA).await;
    assert_eq!(told.status, 401, "{what}: {}", told.text());
    assert!(told.text().contains("You are signed out What you entered was not saved."), "{what}: {}", told.text());
    assert_eq!(world.database.count(DEFERRED).await, 0, "{what}");
    told
}

// case: A15
// control: IDN-05
#[tokio::test]
async fn without_the_token_of_a_session_nothing_is_written_and_the_page_leads_to_sign_in() {
    let world = World::start().await;
    let before = world.state().await;
    let mut stranger = world.stranger();
    is_told(&mut stranger, &world, "no cookie").await;
    for cookie in ["session", "ended"] {
        for value in ["A".repeat(43), "A".repeat(42), String::new()] {
            let mut forged = world.stranger();
            forged.set_cookie(cookie, &value);
            is_told(&mut forged, &world, cookie).await;
        }
    }
    assert_eq!(world.state().await, before);

    // The link leads back to the page that the form was on, where the browser says so, and to no other site.
    let (here, page) = (world.url(""), format!("{}/new", world.acme.contacts()));
    let encoded = page.replace('/', "%2F");
    for (referer, leads) in [
        (format!("{here}{page}"), encoded.as_str()),
        (here.replace("localhost", "evil.example") + &page, "%2F"),
        (format!("{here}//evil.example"), "%2F"),
        ("https://evil.example".to_owned(), "%2F"),
        ("no address".to_owned(), "%2F"),
    ] {
        let request = stranger.request(Method::POST, &world.acme.contacts()).header("referer", &referer);
        let request = request.header("sec-fetch-site", "same-origin").header("origin", &here);
        let told = stranger.send(request).await;
        let link = format!("href=\"/sign-in?return_to={leads}\"");
        assert!(told.status == 401 && told.body.contains(&link), "{referer}: {}", told.body);
    }
    assert_eq!(world.state().await, before);
}

// case: A15
// control: IDN-07
#[tokio::test]
async fn forms_of_a_locked_account_and_of_a_suspicious_session_are_not_deferred() {
    let world = World::start().await;
    for why in ["used from elsewhere", "a replaced token was used", "a passkey was cloned"] {
        let mut carl = world.sign_in("carl").await;
        let end = "update identity.sessions set ended_at = now(), ended_reason = $1 where ended_at is null";
        sqlx::query(end).bind(why).execute(&mut world.database.owner().await).await.unwrap();
        is_told(&mut carl, &world, why).await;
    }
    // A replaced token, after its grace time, ends the session.
    let mut carl = world.sign_in("carl").await;
    let mut thief = carl.clone();
    world.wait(1_000);
    assert_eq!(carl.get("/account").await.status, 200);
    world.wait(200);
    is_told(&mut thief, &world, "a replaced token").await;
    assert_eq!(world.events("session.token_reused").await.len(), 1);
    is_told(&mut carl, &world, "the session that it ended").await;

    let mut carl = world.sign_in("carl").await;
    world.change("update identity.users set locked_at = now() where display_name like 'Carl%'").await;
    is_told(&mut carl, &world, "locked").await;
    world.wait(IDLE);
    is_told(&mut carl, &world, "locked, and idle").await;
}

// case: A15
// control: API-06
#[tokio::test]
async fn other_sites_programs_and_what_is_no_form_have_nothing_kept() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    world.wait(IDLE);
    for site in ["cross-site", "same-site"] {
        let request = carl.request(Method::POST, &world.acme.contacts()).header("sec-fetch-site", site);
        let request = request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body("name=Ada");
        assert_eq!(carl.send(request).await.status, 403, "{site}");
    }
    let request = carl.request(Method::POST, &world.acme.contacts()).header("origin", "https://evil.example");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("name=Ada");
    assert_eq!(carl.send(request).await.status, 403, "an old browser that only sends its origin");

    let program = carl.clone().program().post(&world.acme.contacts(), &ADA).await;
    assert_eq!((program.status, program.location()), (401, ""));
    assert_eq!(program.header("content-type"), "application/problem+json");
    let api = carl.post(&format!("/api/v1{}", world.acme.contacts()), &ADA).await;
    assert_eq!(api.status, 401, "{}", api.body);

    let contacts = world.acme.contacts();
    assert_eq!(carl.post_body(&contacts, "application/json", "{}").await.status, 415);
    assert_eq!(carl.post(&contacts, &[("name", &"x".repeat(70_000))]).await.status, 413);
    assert_eq!(carl.post(&format!("{contacts}?name=x"), &ADA).await.status, 422);
    let long = carl.post(&format!("/o/{}/workspaces", "x".repeat(3_000)), &ADA).await;
    assert_eq!(long.status, 401, "{}", long.text());
    assert_eq!(world.database.count(DEFERRED).await, 0);
}

// case: A15
// control: API-01
#[tokio::test]
async fn a_form_without_a_session_counts_for_its_network_before_it_is_kept() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "100")]).await;
    let mut carl = world.sign_in("carl").await;
    world.wait(IDLE);
    let newest = "select id::text from identity.deferred_requests order by id desc limit 1";
    let mut last = String::new();
    for _ in 0..1_000 {
        let answer = carl.post(&world.acme.contacts(), &ADA).await;
        if answer.status == 429 {
            let stored: String = sqlx::query_scalar(newest).fetch_one(&mut world.database.owner().await).await.unwrap();
            assert_eq!(stored, last, "the one that was too many is not kept");
            return;
        }
        answer.location().strip_prefix(RESUME).unwrap().clone_into(&mut last);
    }
    panic!("there is no limit");
}

// case: A15
#[tokio::test]
async fn every_form_of_a_signed_in_person_is_deferred_when_the_session_has_ended() {
    let world = World::start().await;
    let samples = world.samples().await;
    let mut olivia = world.sign_in("olivia").await;
    world.wait(IDLE);
    let unkept = "select concat_ws(' ', (select count(*) from audit.events), (select count(*) from identity.sessions
                    where ended_at is null), (select count(*) from identity.ceremonies))";
    let mut owner = world.database.session().await;
    let before: String = sqlx::query_scalar(unkept).fetch_one(&mut owner).await.unwrap();
    let rows = browser_routes().into_iter().filter(|row| row.method == "POST");
    let (open, rows): (Vec<_>, Vec<_>) = rows.partition(|row| ["Public", "LogoutToken"].contains(&row.guard));
    let mut forms: BTreeSet<&str> = forms().iter().map(|change| change.path).collect();
    forms.retain(|path| open.iter().all(|row| row.path != *path));
    let tenant = world.tenant_rows(None).await;
    for row in rows {
        assert!(forms.remove(&*row.path), "{row:?}");
        let path = samples.path(&row.path);
        let id = defer(&mut olivia, &path, &form_for(&row.path)).await;
        let stored: (String, String) =
            sqlx::query_as("select action, path from identity.deferred_requests where id = $1")
                .bind(id.parse::<Uuid>().unwrap())
                .fetch_one(&mut owner)
                .await
                .unwrap();
        let action = if row.guard == "SignedIn" { "ConfirmYourIdentity" } else { row.guard };
        assert_eq!(stored, (action.to_owned(), path.clone()), "{row:?}");
        let program = olivia.clone().program().post(&path, &form_for(&row.path)).await;
        assert_eq!((program.status, program.location()), (401, ""), "{row:?}");
    }
    assert!(forms.is_empty(), "{forms:?}");
    let after: String = sqlx::query_scalar(unkept).fetch_one(&mut owner).await.unwrap();
    assert_eq!(after, before, "nothing else is done");
    assert_eq!(world.tenant_rows(None).await, tenant);
}

// case: A15
// control: IDN-20
#[tokio::test]
async fn the_cookie_after_a_sign_out_is_no_session_and_the_next_session_removes_it() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    let token = carl.cookie("session").unwrap().to_owned();
    let out = carl.post("/sign-out", &[]).await;
    let left = out.sets("ended").unwrap();
    let expected = format!("__Host-Http-ended={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=1800");
    assert_eq!(left, expected);
    let mut stolen = world.stranger();
    stolen.set_cookie("session", &token);
    assert_eq!(stolen.get("/account").await.status, 303);
    // Somebody else signs in. Their later forms are not deferred for the person who was signed out before.
    sign_in_again(&world, &mut carl, "erin").await;
    assert_eq!(carl.cookie("ended"), None);
    carl.remove_cookie("session");
    is_told(&mut carl, &world, "no session").await;
}
