//! What was decided before the body came is worth nothing where it has changed since.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use sqlx::{Executor, PgConnection};

use crate::api::{ALL, ApiClient, call};
use crate::harness::changes::{all_changes, change};
use crate::harness::{Sent, World, browser_routes, registry};

/// How an owner of Acme loses what a request of theirs was let in by, and gets it back. `$1` is the owner.
struct Revocation {
    what: &'static str,
    revoke: &'static str,
    restore: &'static str,
    /// It concerns the routes whose path begins so.
    prefix: &'static str,
}

const REVOCATIONS: [Revocation; 4] = [
    Revocation {
        what: "the session has ended",
        revoke: "update identity.sessions set ended_at = now(), ended_reason = 'test' where user_id = $1 and ended_at is null",
        restore: "update identity.sessions set ended_at = null, ended_reason = null where user_id = $1 and ended_reason = 'test'",
        prefix: "/",
    },
    Revocation {
        what: "the account is locked",
        revoke: "update identity.users set locked_at = now() where id = $1",
        restore: "update identity.users set locked_at = null where id = $1",
        prefix: "/",
    },
    Revocation {
        what: "the role is another one",
        revoke: "update tenant.memberships set role = 'viewer' where user_id = $1",
        restore: "update tenant.memberships set role = 'owner' where user_id = $1",
        prefix: "/o/",
    },
    Revocation {
        what: "the membership has ended",
        revoke: "delete from tenant.memberships where user_id = $1",
        restore: "insert into tenant.memberships (tenant_id, user_id, role)
                  select tenant_id, $1, 'owner' from tenant.organizations where name = 'Acme'",
        prefix: "/o/",
    },
];

/// Ends the session that sends it, which is what the sender wants.
const SIGN_OUT: &str = "/sign-out";

/// Everything that a request could have changed, but for what it costs to ask: counts of tries, challenges and decisions.
/// Of a session, whether it lives.
pub(crate) async fn state(owner: &mut PgConnection) -> String {
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
                   where schemaname in ('identity', 'tenant', 'audit')
                     and tablename not in ('sessions', 'rate_limits', 'lockouts', 'ceremonies', 'decisions') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut *owner).await.unwrap();
    let rows = tables.iter().map(|table| format!("(select string_agg(t::text, ';' order by t::text) from {table} t)"));
    let rows: Vec<_> = rows.collect();
    let live = "(select string_agg(id::text, ';' order by id) from identity.sessions where ended_at is null)";
    let sql = format!("select concat_ws(chr(10), {live}, {})", rows.join(", "));
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(owner).await.unwrap()
}

// control: POL-03
// control: IDN-05
#[tokio::test]
async fn no_route_writes_what_was_decided_before_its_sender_lost_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let user = world.user("olivia").await;
    let samples = world.samples().await;
    // Somebody else owns Acme too, so that Olivia can go.
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    let (mut owner, mut tried) = (world.database.session().await, BTreeSet::new());
    for change in all_changes().filter(|change| change.path != SIGN_OUT) {
        // Some end with their inviter.
        let samples = samples.renewed(&world, change.path).await;
        for Revocation { what, revoke, restore, .. } in
            REVOCATIONS.iter().filter(|one| change.path.starts_with(one.prefix))
        {
            let form = change.form(&world, &mut olivia, &samples).await;
            let form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
            let withheld = match world.withhold_form(&olivia, &samples.path(change.path), &form).await {
                Sent::Withheld(withheld) => withheld,
                // It takes no form, so nothing is waited for.
                Sent::Answered(answer) => {
                    assert!(change.form.is_empty() && answer.status() < 500, "{}: {}", change.path, answer.0);
                    break;
                }
            };
            sqlx::query(*revoke).bind(user).execute(&mut owner).await.unwrap();
            owner.execute("delete from identity.rate_limits").await.unwrap();
            let before = state(&mut owner).await;
            let answer = withheld.send().await;
            // What the new role may do as well was still not decided for it.
            let may_too = answer.status() == 409 && answer.0.contains("Your access changed");
            assert!(may_too || matches!(answer.status(), 401 | 403 | 404), "{}, {what}: {}", change.path, answer.0);
            assert_eq!(state(&mut owner).await, before, "{}, {what}", change.path);
            sqlx::query(*restore).bind(user).execute(&mut owner).await.unwrap();
            olivia.take_cookie_lines(answer.cookies());
            tried.insert((change.path, *what));
        }
    }
    let takes_a_form = |path: &str| {
        browser_routes().iter().any(|row| row.method == "POST" && row.path == path && !row.fields.is_empty())
    };
    let changes = all_changes().filter(|change| change.path != SIGN_OUT && takes_a_form(change.path));
    let pairs = changes.flat_map(|change| {
        let revocations = REVOCATIONS.iter().filter(|one| change.path.starts_with(one.prefix));
        revocations.map(|one| (change.path, one.what))
    });
    assert_eq!(tried, pairs.collect(), "each form was withheld for each revocation");
    // It was the revocation alone.
    assert!(change("/organizations").make(&world, &mut olivia, &samples).await.status < 400);
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
    let mut owner = world.database.session().await;
    let contacts = format!("/api/v1{}", world.acme.contacts());
    let contact = format!("{contacts}/{}", world.contact(world.acme).await);
    let writes: Vec<_> =
        registry().table().iter().filter(|row| row.api && !["GET", "DELETE"].contains(&row.method)).cloned().collect();
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
            owner.execute(revoke).await.unwrap();
            let before = state(&mut owner).await;
            let answer = withheld.send().await;
            assert!(matches!(answer.status(), 401 | 403 | 404), "{row:?}, {what}: {}", answer.0);
            assert_eq!(state(&mut owner).await, before, "{row:?}, {what}");
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
    let mut owner = world.database.session().await;
    let removing = tokio::spawn(async move {
        sqlx::query("delete from tenant.memberships where role = 'creator'").execute(&mut owner).await.unwrap()
    });
    // The removal waits for the contact, and the contact for the table.
    world.until_blocked(2).await;
    drop(block);
    assert_eq!(creating.await.unwrap().status, 303);
    assert!(removing.await.unwrap().rows_affected() >= 1);
}
