//! What was decided before the body came is worth nothing where it has changed since.

use reqwest::Method;
use serde_json::json;

use crate::api::{ALL, ApiClient, call};
use crate::elevations::elevated;
use crate::harness::changes::{CHANGES, Filled};
use crate::harness::{Sent, World};

/// How an owner of Acme loses what a request of theirs was let in by, how they get it back, and which routes that
/// concerns: those whose path begins so.
const REVOCATIONS: [(&str, &[&str], &[&str], &str); 4] = [
    (
        "the session has ended",
        &["update identity.sessions set ended_at = now(), ended_why = 'test' where user_id = $1 and ended_at is null"],
        &["update identity.sessions set ended_at = null, ended_why = null where user_id = $1 and ended_why = 'test'"],
        "/",
    ),
    (
        "the account is locked",
        &["update identity.users set locked_at = now() where id = $1"],
        &["update identity.users set locked_at = null where id = $1"],
        "/",
    ),
    (
        "the role is another one",
        &["update tenant.memberships set role = 'viewer' where user_id = $1"],
        &["update tenant.memberships set role = 'owner' where user_id = $1"],
        "/o/",
    ),
    (
        "the membership has ended",
        &["delete from tenant.memberships where user_id = $1"],
        &["insert into tenant.memberships (tenant_id, user_id, role)
           select tenant_id, $1, 'owner' from tenant.organizations where name = 'Acme'"],
        "/o/",
    ),
];

/// Ends the session that sends it, which is what the sender wants.
const SIGN_OUT: &str = "/sign-out";

/// Everything that a request could have changed, but for what it costs to ask: counts of tries, and challenges.
async fn state(world: &World) -> String {
    let mut owner = world.database.owner().await;
    let mut text = world.state().await;
    let tables = "select tablename::text from pg_tables where schemaname = 'identity'
                     and tablename not in ('sessions', 'limits', 'lockouts', 'ceremonies') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut owner).await.unwrap();
    for table in tables {
        let sql = format!("select coalesce(string_agg(t::text, ';' order by t::text), '') from identity.{table} t");
        text += &sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_one(&mut owner).await.unwrap();
    }
    text
}

async fn run(world: &World, statements: &[&'static str], user: uuid::Uuid) {
    let mut owner = world.database.owner().await;
    for statement in statements {
        sqlx::query(*statement).bind(user).execute(&mut owner).await.unwrap();
    }
}

// control: POL-03
// control: IDN-05
#[tokio::test]
async fn no_route_writes_what_was_decided_before_its_sender_lost_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let user = world.user("olivia").await;
    let filled = Filled::of(&world, world.acme).await;
    // Somebody else owns Acme too, so that Olivia can go.
    world.change("update tenant.memberships set role = 'owner' where user_id = (select user_id from identity.accounts where subject = 'adam') and role = 'admin'").await;
    let mut tried = 0;
    for change in CHANGES.iter().filter(|change| change.path != SIGN_OUT) {
        // Invitations end with their inviter.
        let filled = Filled { invitation: world.new_invitation(world.acme).await, ..filled };
        for (what, revoke, restore, _) in REVOCATIONS.iter().filter(|(_, _, _, prefix)| change.path.starts_with(prefix))
        {
            let form = change.form(&world, &mut olivia, &filled).await;
            let form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
            let withheld = match world.withhold_form(&olivia, &filled.path(change.path), &form).await {
                Sent::Withheld(withheld) => withheld,
                // It takes no form, so nothing is waited for.
                Sent::Answered(answer) => {
                    assert!(change.form.is_empty() && answer.status() < 500, "{}: {}", change.path, answer.0);
                    break;
                }
            };
            run(&world, revoke, user).await;
            world.change("delete from identity.limits").await;
            let before = state(&world).await;
            let answer = withheld.send().await;
            // What the new role may do as well was still not decided for it.
            let may_too = answer.status() == 409 && answer.0.contains("Your access changed");
            assert!(may_too || matches!(answer.status(), 401 | 403 | 404), "{}, {what}: {}", change.path, answer.0);
            assert_eq!(state(&world).await, before, "{}, {what}", change.path);
            run(&world, restore, user).await;
            olivia.take_cookie_lines(answer.cookies());
            tried += 1;
        }
    }
    assert!(tried > 2 * CHANGES.len(), "{tried}");
    // It was the revocation alone.
    assert!(CHANGES[0].make(&world, &mut olivia, &filled).await.status < 400);
}

// control: POL-06
#[tokio::test]
async fn nothing_is_written_in_a_role_that_has_ended() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (vera, _) = elevated(&world, &mut olivia, "15").await;
    let Sent::Withheld(withheld) = world.withhold_form(&vera, &world.acme.contacts(), &[("name", "In time")]).await
    else {
        panic!("it does not read its form")
    };
    world.change("update tenant.elevations set ended_at = now() where approved_at is not null").await;
    let before = state(&world).await;
    assert!(matches!(withheld.send().await.status(), 403 | 404));
    assert_eq!(state(&world).await, before);
}

/// How a client of the API loses what its request was let in by.
const CLIENT_REVOCATIONS: [(&str, &str); 4] = [
    ("its token is revoked", "update identity.token_families set revoked_at = now()"),
    ("it has a new secret", "update tenant.api_clients set secret_version = secret_version + 1"),
    ("it may do less", "update tenant.api_clients set scopes = '{ListContacts}'"),
    ("it is gone", "delete from tenant.api_clients"),
];

// control: IDN-16
#[tokio::test]
async fn no_route_of_the_api_writes_what_was_decided_before_its_client_lost_it() {
    let world = World::start().await;
    let contacts = format!("/api/v1{}", world.acme.contacts());
    let contact = format!("{contacts}/{}", world.contact(world.acme).await);
    let writes: Vec<_> =
        app::table().into_iter().filter(|row| row.api && !["GET", "DELETE"].contains(&row.method)).collect();
    assert_eq!(writes.len(), 2, "say here what to send to a new one");
    for row in writes {
        let (path, body) = match row.method {
            "POST" => (&contacts, json!({ "name": "Somebody" })),
            _ => (&contact, json!({ "name": "Somebody", "version": 1 })),
        };
        for (what, revoke) in CLIENT_REVOCATIONS {
            let client = ApiClient::made(&world, "olivia", "editor", "tokens", &ALL).await;
            let token = client.token(&world).await;
            let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json");
            let Sent::Withheld(withheld) = world.withhold(row.method, path, &headers, body.to_string()).await else {
                panic!("{row:?} does not read its document")
            };
            world.change(revoke).await;
            let before = state(&world).await;
            let answer = withheld.send().await;
            assert!(matches!(answer.status(), 401 | 403 | 404), "{row:?}, {what}: {}", answer.0);
            assert_eq!(state(&world).await, before, "{row:?}, {what}");
            let after = call(&world, Method::GET, &contact, &token, None).await;
            assert!(matches!(after.status, 401 | 403 | 404), "a new request: {}", after.body);
        }
    }
}

// control: POL-04
#[tokio::test]
async fn a_membership_is_held_until_what_it_allowed_is_done() {
    let world = World::start().await;
    let mut carl = world.sign_in("carl").await;
    let block = world.block_contacts().await;
    let creating = tokio::spawn({
        let contacts = world.acme.contacts();
        async move { carl.post(&contacts, &[("name", "In time")]).await }
    });
    world.until_blocked(1).await;
    let mut owner = world.database.owner().await;
    let removing = tokio::spawn(async move {
        sqlx::query("delete from tenant.memberships where role = 'creator'").execute(&mut owner).await.unwrap()
    });
    // The removal waits for the contact, and the contact for the table.
    world.until_blocked(2).await;
    drop(block);
    assert_eq!(creating.await.unwrap().status, 303);
    assert!(removing.await.unwrap().rows_affected() >= 1);
}
