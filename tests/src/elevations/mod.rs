//! Temporary access: who approves it, what it allows and what it does not, and how it ends.

mod database;
mod elsewhere;
mod ends;
mod policies;
mod samples;

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::api::{ALL, ApiClient, call};
use crate::harness::passkey::{Authenticator, enrol, step_up};
use crate::harness::{Answer, Client, World};

fn page(world: &World) -> String {
    format!("{}/elevations", world.acme.url())
}

/// With a passkey that was just verified.
async fn ask(client: &mut Client, who: &str, world: &World, role: &str, minutes: &str) -> Answer {
    world.prove(client, who).await;
    send(client, world, role, minutes).await
}

async fn send(client: &mut Client, world: &World, role: &str, minutes: &str) -> Answer {
    let form = [
        ("role", role),
        ("minutes", minutes),
        ("reason", "The import went wrong"),
        ("ticket", "https://tickets.example/HF-9"),
    ];
    client.post(&page(world), &form).await
}

/// Asks, and returns the id of what was asked for.
async fn asked(client: &mut Client, who: &str, world: &World, role: &str, minutes: &str) -> Uuid {
    let answer = ask(client, who, world, role, minutes).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    sqlx::query_scalar("select id from tenant.elevations order by id desc limit 1")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

async fn decide(client: &mut Client, world: &World, id: Uuid, what: &str) -> Answer {
    client.post(&format!("{}/{id}/{what}", page(world)), &[]).await
}

/// Whether they can do what an editor can and a viewer cannot.
async fn adds_a_contact(client: &mut Client, world: &World) -> bool {
    let name = Uuid::now_v7().to_string();
    let answer = client.post(&world.acme.contacts(), &[("name", &name)]).await;
    assert!([303, 403].contains(&answer.status), "{}", answer.text());
    answer.status == 303
}

/// Vera, a viewer, acts as an editor.
pub(crate) async fn elevated(world: &World, olivia: &mut Client, minutes: &str) -> (Client, Uuid) {
    let mut vera = world.sign_in("vera").await;
    let id = asked(&mut vera, "vera", world, "editor", minutes).await;
    let approved = decide(olivia, world, id, "approve").await;
    assert_eq!(approved.status, 303, "{}", approved.text());
    assert!(adds_a_contact(&mut vera, world).await);
    (vera, id)
}

/// Vera with a passkey, who acts as an admin.
async fn admin(world: &World, olivia: &mut Client) -> Client {
    let mut vera = world.sign_in("vera").await;
    assert_eq!(enrol(&mut vera, &mut Authenticator::new(world), "Hers").await.status, 303);
    let id = asked(&mut vera, "vera", world, "admin", "60").await;
    assert_eq!(decide(olivia, world, id, "approve").await.status, 303);
    vera
}

// control: POL-06
#[tokio::test]
async fn a_member_asks_an_owner_approves_and_the_clock_ends_it() {
    let world = World::start().await;
    let (mut olivia, mut vera) = (world.sign_in("olivia").await, world.sign_in("vera").await);
    assert!(!adds_a_contact(&mut vera, &world).await);
    let id = asked(&mut vera, "vera", &world, "editor", "15").await;
    assert!(!adds_a_contact(&mut vera, &world).await, "asking gives nothing");
    let mail = world.told("olivia@example.com", "Temporary access is requested").await;
    assert!(mail.text.contains("Vera Viewer requested to be Editor for 15 minutes."), "{}", mail.text);
    assert!(mail.text.contains(&world.url(&page(&world))) && !mail.text.contains("import"), "{}", mail.text);
    let list = olivia.get(&page(&world)).await;
    for shown in
        ["Vera Viewer as Editor", "15 minutes", "The import went wrong", "tickets.example/HF-9", "Approve", "Decline"]
    {
        assert!(list.body.contains(shown), "{shown}: {}", list.text());
    }
    let own = vera.get(&page(&world)).await;
    assert!(own.body.contains("Withdraw") && !own.body.contains(">Approve<"), "{}", own.text());

    let approved = decide(&mut olivia, &world, id, "approve").await;
    assert_eq!(approved.status, 303, "{}", approved.text());
    for address in ["olivia@example.com", "vera@example.com"] {
        let mail = world.told(address, "Temporary access was approved").await;
        assert!(
            mail.text.contains("Olivia Owner approved that Vera Viewer is Editor for 15 minutes."),
            "{}",
            mail.text
        );
    }
    let first = vera.get(&world.acme.contacts()).await;
    assert!(first.sets("session").is_some(), "a session that is worth more has a new token");
    let until = (world.clock.now() + chrono::Duration::minutes(15)).format("%H:%M UTC").to_string();
    assert!(
        first.text().contains(&format!("You have the role Editor until {until}. View or end access")),
        "{}",
        first.text()
    );
    assert!(adds_a_contact(&mut vera, &world).await);
    assert_eq!(vera.get(&world.acme.url()).await.text().matches("Your role: Viewer").count(), 1, "beside their own");
    assert!(!vera.get("/organizations").await.text().contains("You have the role"));

    world.wait(14 * 60);
    assert!(adds_a_contact(&mut vera, &world).await);
    world.wait(61);
    assert!(!adds_a_contact(&mut vera, &world).await, "it ends by itself");
    assert!(!vera.get(&world.acme.contacts()).await.text().contains("You have the role"));
    asked(&mut vera, "vera", &world, "editor", "30").await; // What has ended is in nobody's way.
    let mut kinds = Vec::new();
    for kind in ["elevation.requested", "elevation.approved"] {
        let event = &world.events(kind).await[0];
        let details = json!({ "member": "Vera Viewer", "member_id": world.user("vera").await, "role": "editor", "minutes": 15,
                              "reason": "The import went wrong", "ticket": "https://tickets.example/HF-9" });
        assert_eq!(event["details"], details);
        kinds.push(event["actor"].clone());
    }
    assert_eq!(kinds, [json!(world.user("vera").await), json!(world.user("olivia").await)]);
}

// control: POL-06
#[tokio::test]
async fn approving_takes_a_fresh_passkey_and_somebody_who_may() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    let id = asked(&mut carl, "carl", &world, "admin", "15").await;
    let mut adam = world.sign_in("adam").await;
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 403, "an admin makes no admin");
    for (who, status) in [("bella", 404), ("fiona", 404), ("vera", 404)] {
        let mut client = world.sign_in(who).await;
        assert_eq!(decide(&mut client, &world, id, "approve").await.status, status, "{who}");
        assert_eq!(decide(&mut client, &world, id, "end").await.status, status, "{who}");
        assert!(!client.get(&page(&world)).await.body.contains("Carl Creator as"), "{who}");
    }
    let mut gus = world.sign_in("gus").await;
    let elsewhere = format!("{}/elevations/{id}/approve", world.globex.url());
    assert_eq!(gus.post(&elsewhere, &[]).await.status, 404, "of another organization");
    let mut olivia = world.sign_in("olivia").await;
    world.wait(301);
    let asked_for = decide(&mut olivia, &world, id, "approve").await;
    assert!(asked_for.location().starts_with("/step-up?deferred="), "{}", asked_for.text());
    assert_eq!(world.database.count("select count(*) from tenant.elevations where approved_at is not null").await, 0);
    world.prove(&mut olivia, "olivia").await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 303);
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 409, "once");
}

// control: POL-06
#[tokio::test]
async fn what_is_asked_for_is_one_of_the_roles_for_one_of_the_lengths_and_one_at_a_time() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    for (role, minutes, field) in [
        ("owner", "15", "role"),
        ("viewer", "15", "role"),
        ("god", "15", "role"),
        ("editor", "61", "minutes"),
        ("editor", "-15", "minutes"),
        ("editor", "", "minutes"),
    ] {
        let answer = ask(&mut vera, "vera", &world, role, minutes).await;
        let error = format!("f-{field}-error");
        assert!(answer.status == 422 && answer.body.contains(&error), "{role} {minutes}: {}", answer.text());
    }
    let without = [("role", "editor"), ("minutes", "15"), ("reason", "The import went wrong")];
    let without = vera.post(&page(&world), &without).await;
    assert!(without.status == 422 && without.body.contains("f-ticket-error"), "{}", without.text());
    assert_eq!(ask(&mut vera, "vera", &world, "editor", "15").await.status, 303);
    assert_eq!(ask(&mut vera, "vera", &world, "admin", "15").await.status, 409, "one at a time");
    let statuses: [u16; 2] = {
        let world = &world;
        let ask = |mut client: Client| async move { send(&mut client, world, "editor", "15").await.status };
        let mut carl = world.sign_in("carl").await;
        world.prove(&mut carl, "carl").await;
        tokio::join!(ask(carl.clone()), ask(carl)).into()
    };
    assert!(statuses.contains(&303) && statuses.contains(&409), "{statuses:?}");
    let mut erin = world.sign_in("erin").await;
    for expected in [303, 409, 409, 409, 409, 429] {
        assert_eq!(ask(&mut erin, "erin", &world, "admin", "15").await.status, expected);
    }
}

// control: POL-06
// control: IDN-09
#[tokio::test]
async fn a_privileged_elevation_needs_a_passkey_and_grants_nothing_that_lasts() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut vera = admin(&world, &mut olivia).await;
    let mut without = world.sign_in_at_provider("carl").await;
    let held = send(&mut without, &world, "admin", "60").await;
    assert!(
        held.location().starts_with("/account/passkeys/new") || held.location().starts_with("/step-up"),
        "who asks proves a passkey: {}",
        held.text()
    );
    let mut second = world.sign_in("vera").await;
    world.prove(&mut second, "vera").await;
    assert_eq!(second.get(&format!("{}/activity", world.acme.url())).await.status, 403, "in the session that asked");
    // As if a passkey had not been proved in it.
    world.change("update identity.sessions set passkey_at = null, passkey_id = null where passkey_at is not null and user_id = (select id from identity.users where email = 'vera@example.com')").await;
    let held = vera.get(&format!("{}/activity", world.acme.url())).await;
    assert!(held.location().starts_with("/step-up"), "an admin proves a passkey: {}", held.text());
    world.prove(&mut vera, "vera").await;

    let activity = format!("{}/activity", world.acme.url());
    assert_eq!(vera.get(&activity).await.status, 200, "what an admin sees");
    let members = vera.get(&format!("{}/members", world.acme.url())).await;
    assert!(members.status == 200 && !members.body.contains("Change role"), "{}", members.text());
    let member = |id: Uuid, what: &str| format!("{}/members/{id}/{what}", world.acme.url());
    let (erin, me) = (world.user("erin").await, world.user("vera").await);
    let why = ("reason", "While I can");
    let invitation = [("email", "evil@example.org"), ("role", "admin"), why];
    let client = [("name", "Evil"), ("acts_as", "editor"), ("scope", "ListContacts"), ("kind", "tokens"), why];
    for (path, form) in [
        (member(erin, "role"), &[("role", "admin"), why][..]),
        (member(me, "role"), &[("role", "admin"), why]),
        (format!("{}/invitations", world.acme.url()), &invitation),
        (format!("{}/clients", world.acme.url()), &client),
    ] {
        let answer = vera.post(&path, form).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    let mut fiona = world.sign_in("fiona").await;
    let theirs = asked(&mut fiona, "fiona", &world, "editor", "15").await;
    assert_eq!(decide(&mut vera, &world, theirs, "approve").await.status, 403, "nor to others");
    assert_eq!(vera.post(&member(erin, "end-sessions"), &[why]).await.status, 303, "what does not last");
    for path in [member(erin, "remove"), member(me, "remove")] {
        let answer = vera.post(&path, &[why]).await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    let mut stale = Authenticator::new(&world);
    assert_eq!(enrol(&mut vera, &mut stale, "Another").await.status, 303);
    world.wait(301);
    assert_eq!(vera.post(&member(erin, "end-sessions"), &[why]).await.status, 303, "to the step-up page");
    assert_eq!(step_up(&mut vera, &mut stale, ("return_to", "/account")).await.status, 303);
}

// control: POL-06
// control: POL-10
#[tokio::test]
async fn decisions_and_events_under_an_elevation_name_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (mut vera, id) = elevated(&world, &mut olivia, "15").await;
    let read = vera.get(&world.acme.contacts()).await;
    let refused = vera.get(&format!("{}/settings", world.acme.url())).await;
    let wrote = vera.post(&world.acme.contacts(), &[("name", "Marked")]).await;
    let account = vera.get("/account").await;
    assert_eq!([read.status, refused.status, wrote.status, account.status], [200, 403, 303, 200]);
    let event = world.events("contact.created").await.pop().unwrap();
    assert_eq!(event["context"], json!({ "elevation": id }));
    let activity = olivia.get(&format!("{}/activity?action=contact.created", world.acme.url())).await;
    assert!(
        activity.body.contains("Temporary access") && activity.body.contains(&id.to_string()),
        "{}",
        activity.text()
    );
    world.settle_decisions().await;
    let mut owner = world.database.session().await;
    for (answer, expected) in [(&read, Some(id)), (&refused, Some(id)), (&wrote, Some(id)), (&account, None)] {
        let marks: Vec<Option<Uuid>> = sqlx::query_scalar(
            "select distinct (context ->> 'elevation')::uuid from audit.decisions where request_id = $1",
        )
        .bind(answer.request())
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert_eq!(marks, [expected]);
    }
    let others = "select count(*) from audit.decisions d where context ? 'elevation'
                   and d.principal not in (select 'Member::\"' || user_id || '\"' from tenant.elevations)";
    assert_eq!(world.database.count(others).await, 0);
}

// control: POL-06
#[tokio::test]
async fn a_client_of_the_api_gets_nothing_of_it() {
    let world = World::start().await;
    let token = ApiClient::made(&world, "vera", "self", "tokens", &ALL).await.token(&world).await;
    let mut olivia = world.sign_in("olivia").await;
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    let id = asked(&mut vera, "vera", &world, "editor", "15").await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 303);
    assert!(adds_a_contact(&mut vera, &world).await);
    let contacts = format!("/api/v1{}", world.acme.contacts());
    let made = call(&world, Method::POST, &contacts, &token, Some(&json!({ "name": "By a program" }))).await;
    assert_eq!(made.status, 403, "{}", made.body);
    assert_eq!(call(&world, Method::GET, &contacts, &token, None).await.status, 200);
}
