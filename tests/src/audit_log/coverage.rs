//! Every change that the tests of the features register is recorded.

use serde_json::Value;
use uuid::Uuid;

use super::{refuse_rows, take_rows};
use crate::harness::changes::{all_changes, change};
use crate::harness::passkey::{Authenticator, enrol};
use crate::harness::{World, browser_routes};
use crate::policies::sensitive;

/// It is authorized outside any organization, and recorded in the one that the person joins.
const JOINS: &str = "/invitations/{own_invitation}/accept";

fn guard(path: &str) -> &'static str {
    browser_routes().iter().find(|row| row.method == "POST" && row.path == path).unwrap().guard
}

#[derive(sqlx::FromRow)]
struct Recorded {
    kind: String,
    actor: Option<Uuid>,
    tenant_id: Option<Uuid>,
    network: String,
    transaction: String,
}

// control: OBS-02
// control: POL-10
#[tokio::test]
async fn every_change_leaves_its_event_and_its_decision_in_the_same_transaction() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (user, samples) = (world.user("olivia").await, world.samples().await);
    let mut owner = world.database.session().await;
    for change in all_changes() {
        let answer = change.make(&world, &mut olivia, &samples).await;
        assert!(answer.status < 400, "{}: {}", change.path, answer.text());
        let events: Vec<Recorded> = sqlx::query_as(
            "select kind, actor, tenant_id, network, xmin::text as transaction from audit.events where request_id = $1 order by id",
        )
        .bind(answer.request())
        .fetch_all(&mut owner)
        .await
        .unwrap();
        let kinds: Vec<&str> = events.iter().map(|event| &*event.kind).collect();
        assert_eq!(kinds, change.events(), "{}", change.path);
        for Recorded { actor, tenant_id: tenant, network, .. } in &events {
            assert_eq!(*actor, Some(user), "{}", change.path);
            assert_eq!(network, "127.0.0.0/24");
            let of_organization = change.path.starts_with("/o") || change.path == JOINS;
            assert_eq!(tenant.is_some(), of_organization, "{}", change.path);
            assert!(!change.path.starts_with("/o/") || *tenant == Some(samples.place.organization), "{}", change.path);
        }
        if ["SignedIn", "Public"].contains(&guard(change.path)) {
            continue; // Nothing to decide: one's own session may always be ended, and more be proved in it.
        }
        let decisions: Vec<(Option<Uuid>, bool, Vec<String>, String)> = sqlx::query_as(
            "select tenant_id, allowed, policies, xmin::text from audit.decisions where request_id = $1 and action = $2",
        )
        .bind(answer.request())
        .bind(guard(change.path))
        .fetch_all(&mut owner)
        .await
        .unwrap();
        let [(tenant, allowed, policies, transaction)] = &decisions[..] else {
            panic!("{}: one decision, not {decisions:?}", change.path)
        };
        assert!(*allowed && !policies.is_empty(), "{}: {decisions:?}", change.path);
        for event in &events {
            assert_eq!(&event.transaction, transaction, "{}: one transaction", change.path);
            assert!(event.tenant_id == *tenant || change.path == JOINS, "{}", change.path);
        }
    }
}

/// Everything outside the audit log.
async fn state(world: &World) -> String {
    let sessions: Vec<String> = world.sessions().await.iter().map(ToString::to_string).collect();
    world.tenant_rows(None).await + &sessions.join("\n")
}

// control: OBS-02
#[tokio::test]
async fn a_change_whose_event_or_decision_cannot_be_recorded_does_not_happen() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let samples = world.samples().await;
    let mut owner = world.database.session().await;
    // The last one is not removed, with or without a record.
    assert_eq!(enrol(&mut olivia, &mut Authenticator::new(&world), "Another").await.status, 303);
    let mut ready = Vec::new();
    for change in all_changes() {
        let mut client = olivia.clone();
        let form = change.form(&world, &mut client, &samples).await;
        ready.push((change, client, form));
    }
    let before = state(&world).await;
    let halves = [
        ("audit.events", "select count(*) from audit.decisions where request_id = $1 and action = $2"),
        ("audit.decisions", "select count(*) from audit.events where request_id = $1 and kind <> $2"),
    ];
    for (table, other) in halves {
        refuse_rows(&mut owner, table).await;
        for (change, client, form) in &mut ready {
            let leaves_none = if table == "audit.events" {
                change.events().is_empty()
            } else {
                ["SignedIn", "Public"].contains(&guard(change.path))
            };
            if leaves_none {
                continue;
            }
            let answer = change.send(client, &samples, form).await;
            assert_eq!(answer.status, 500, "{} without {table}: {}", change.path, answer.text());
            assert_eq!(state(&world).await, before, "{} without {table}", change.path);
            let recorded: i64 = sqlx::query_scalar(other)
                .bind(answer.request())
                .bind(guard(change.path))
                .fetch_one(&mut owner)
                .await
                .unwrap();
            assert_eq!(recorded, 0, "{}: half of the record stayed", change.path);
        }
        take_rows(&mut owner, table).await;
    }
    // It was the record alone that was missing.
    assert!(change("/organizations").make(&world, &mut olivia, &samples).await.status < 400);
}

/// It changes no permission.
const EXPORTS: &str = "/o/{organization}/activity/export";
/// The domain was added with a reason.
const VERIFIES: &str = "/o/{organization}/settings/domains/{domain}/verify";
const TICKET: &str = "https://tickets.example/HF-7";

// control: POL-12
#[tokio::test]
async fn a_change_of_permission_records_who_why_and_the_ticket_and_does_not_happen_without_a_reason() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (user, samples) = (world.user("olivia").await, world.samples().await);
    let mut owner = world.database.session().await;
    let sensitive = sensitive();
    // A change of what a workspace contains is a change of data and not of permissions.
    let permissions = all_changes().filter(|change| {
        change.path.starts_with("/o/")
            && ![VERIFIES, EXPORTS].contains(&change.path)
            && !change.path.starts_with("/o/{organization}/w/")
    });
    let permissions: Vec<_> = permissions.filter(|change| sensitive.contains(guard(change.path))).collect();
    for change in permissions {
        let path = change.path;
        let mut form = change.form(&world, &mut olivia, &samples).await;
        // What decides about something that was asked for records the reason that was given then.
        let asks = form.iter().any(|(name, _)| *name == "reason");
        let reason = if asks { "She asked for it" } else { "A test of it" };
        if asks {
            form.retain(|(name, _)| !["reason", "ticket"].contains(name));
            form.push(("ticket", TICKET.to_owned()));
            form.push(("reason", "  ".to_owned()));
            let before = world.state().await;
            let refused = change.send(&mut olivia, &samples, &form).await;
            assert_eq!(refused.status, 422, "{path} without a reason: {}", refused.text());
            assert!(refused.body.contains("id=\"f-reason-error\""), "{path}: {}", refused.text());
            assert_eq!(world.state().await, before, "{path} without a reason");
            form.pop();
            form.push(("reason", reason.to_owned()));
        }
        let answer = change.send(&mut olivia, &samples, &form).await;
        assert!(answer.status < 400, "{path}: {}", answer.text());
        let events: Vec<(Uuid, Value)> =
            sqlx::query_as("select actor, details from audit.events where request_id = $1")
                .bind(answer.request())
                .fetch_all(&mut owner)
                .await
                .unwrap();
        assert_eq!(events.len(), change.events().len(), "{path}");
        for (actor, details) in events {
            assert_eq!((actor, details["reason"].as_str()), (user, Some(reason)), "{path}: {details}");
            assert!(!asks || details["ticket"] == TICKET, "{path}: {details}");
        }
    }
}
