//! What destroys takes two people: who is the second one, what they approve, and that it is that and nothing else.

mod around;
mod database;
mod deletion;
mod effects;
mod owners;
mod samples;

use uuid::Uuid;

use crate::harness::{Answer, Client, World};

const WHY: (&str, &str) = ("reason", "It was moved elsewhere");

/// Everybody has been what they are for long, and so can be the second person.
const LONG_AGO: &str = "update tenant.memberships set role_since = now() - interval '72 hours'";
/// What waits has waited for three days.
const WAITED: &str = "update tenant.approvals set requested_at = requested_at - interval '72 hours',
                             expires_at = expires_at - interval '72 hours', single_approver_from = single_approver_from - interval '72 hours'";

pub(crate) fn page(world: &World) -> String {
    format!("{}/approvals", world.acme.url())
}

/// Asks for Acme to be deleted, and returns the id of what was asked for.
pub(crate) async fn ask_for_deletion(client: &mut Client, world: &World) -> Uuid {
    let form = [("name", "Acme"), WHY, ("ticket", "https://tickets.example/HF-3")];
    let asked = client.post(&format!("{}/delete", world.acme.url()), &form).await;
    assert_eq!((asked.status, asked.location()), (303, &*page(world)), "{}", asked.text());
    latest(world).await
}

async fn latest(world: &World) -> Uuid {
    sqlx::query_scalar("select id from tenant.approvals order by id desc limit 1")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

pub(crate) async fn decide(client: &mut Client, world: &World, id: Uuid, what: &str) -> Answer {
    client.post(&format!("{}/{id}/{what}", page(world)), &[]).await
}

async fn is_there(world: &World) -> bool {
    let there = "select count(*) from tenant.organizations where name = 'Acme' and deleted_at is null";
    world.database.count(there).await == 1
}

// control: POL-07
#[tokio::test]
async fn nobody_is_both_people() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let id = ask_for_deletion(&mut olivia, &world).await;
    let list = olivia.get(&page(&world)).await;
    assert!(list.body.contains("Withdraw") && !list.body.contains(">Approve<"), "{}", list.text());
    let mut second = world.sign_in("olivia").await;
    for client in [&mut olivia, &mut second] {
        assert_eq!(decide(client, &world, id, "approve").await.status, 403);
    }
    // An admin who asked is nobody else after becoming an owner.
    let mut adam = world.sign_in("adam").await;
    let erin = world.new_managed(world.acme, "admin").await;
    let reset = format!("{}/members/{erin}/reset-factors", world.acme.url());
    assert_eq!(adam.post(&reset, &[WHY]).await.status, 303);
    let reset = latest(&world).await;
    assert_ne!(reset, id);
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("adam").await);
    assert_eq!(olivia.post(&role, &[("role", "owner"), WHY]).await.status, 303);
    assert_eq!(decide(&mut adam, &world, reset, "approve").await.status, 403);
    assert_eq!(decide(&mut adam, &world, id, "decline").await.status, 303);
    assert_eq!(
        world.events("approval.declined").await[0]["details"]["decided_by"],
        world.user("adam").await.to_string()
    );
    world.told("olivia@example.com", "A request was declined").await;
    assert_eq!(decide(&mut adam, &world, reset, "decline").await.status, 303, "taken back");
    assert!(olivia.get(&page(&world)).await.body.contains("Withdrawn"));
    assert!(is_there(&world).await);
}

// control: POL-07
#[tokio::test]
async fn the_second_person_is_an_owner_or_admin_with_a_fresh_passkey() {
    let world = World::start().await;
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let id = ask_for_deletion(&mut olivia, &world).await;
    for who in ["bella", "fiona", "carl", "erin", "vera"] {
        let mut client = world.sign_in(who).await;
        assert_eq!(client.get(&page(&world)).await.status, 403, "{who}");
        for what in ["approve", "decline"] {
            assert_eq!(decide(&mut client, &world, id, what).await.status, 404, "{who} {what}");
        }
    }
    let mut gus = world.sign_in("gus").await;
    let elsewhere = format!("{}/approvals/{id}/approve", world.globex.url());
    assert_eq!(gus.post(&elsewhere, &[]).await.status, 404, "of another organization");

    world.wait(301);
    let held = decide(&mut adam, &world, id, "approve").await;
    assert!(held.location().starts_with("/step-up?deferred="), "{}", held.text());
    assert!(is_there(&world).await);
    world.prove(&mut adam, "adam").await;
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 303);
    assert!(!is_there(&world).await);
}

// control: POL-07
#[tokio::test]
async fn it_waits_for_a_day_and_for_who_asked_to_be_who_they_were() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let id = ask_for_deletion(&mut olivia, &world).await;
    let again = olivia.post(&format!("{}/delete", world.acme.url()), &[("name", "Acme"), WHY]).await;
    assert!(again.status == 409 && again.body.contains("has already been requested"), "{}", again.text());
    world.wait(86_400);
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 409);
    assert!(adam.get(&page(&world)).await.body.contains("Expired"));

    let id = ask_for_deletion(&mut olivia, &world).await;
    world.new_managed(world.acme, "owner").await; // so that she can go
    let demote = "update tenant.memberships set role = 'editor' where user_id in
                    (select user_id from identity.accounts where subject = 'olivia')";
    world.change(demote).await;
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 403, "who asked may not any more");
    let leave = "delete from tenant.memberships where user_id in
                   (select user_id from identity.accounts where subject = 'olivia')";
    world.change(leave).await;
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 404, "it goes with them");
    assert!(is_there(&world).await);
}

// control: POL-07
#[tokio::test]
async fn an_admin_of_less_than_three_days_is_no_second_person() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let id = ask_for_deletion(&mut olivia, &world).await;
    // She makes her second account one.
    let bella = format!("{}/members/{}/role", world.acme.url(), world.user("bella").await);
    assert_eq!(olivia.post(&bella, &[("role", "admin"), WHY]).await.status, 303);
    let mut second = world.sign_in("bella").await;
    let list = second.get(&page(&world)).await;
    assert!(list.body.contains("for three days can approve") && !list.body.contains(">Approve<"), "{}", list.text());
    assert_eq!(decide(&mut second, &world, id, "approve").await.status, 403);
    world.change("update tenant.memberships set role_since = now() - interval '71 hours' where role = 'admin'").await;
    assert_eq!(decide(&mut second, &world, id, "approve").await.status, 403);
    assert!(is_there(&world).await);
    world.change(LONG_AGO).await;
    assert_eq!(decide(&mut second, &world, id, "approve").await.status, 303);
    assert!(!is_there(&world).await);
}

// control: POL-07
#[tokio::test]
async fn of_decisions_at_once_one_counts() {
    let world = World::start().await;
    let (mut olivia, adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    let bella = world.sign_in("bella").await;
    world.change("update tenant.memberships set role = 'admin' where role = 'billing_admin'").await;
    world.change(LONG_AGO).await;
    let done = "select count(*) from audit.events where kind in ('member.factors_reset', 'approval.declined')";
    for round in 1..=4 {
        let target = world.new_managed(world.acme, "admin").await;
        let reset = format!("{}/members/{target}/reset-factors", world.acme.url());
        assert_eq!(olivia.post(&reset, &[WHY]).await.status, 303);
        let id = latest(&world).await;
        let send = |client: &Client, what: &'static str| {
            let (world, mut client) = (&world, client.clone());
            async move { decide(&mut client, world, id, what).await.status }
        };
        let statuses: [u16; 3] =
            tokio::join!(send(&adam, "approve"), send(&bella, "approve"), send(&bella, "decline")).into();
        assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 2, "{statuses:?}");
        assert_eq!(world.database.count(done).await, round);
    }
}
