use uuid::Uuid;

use super::{adds_a_contact, asked, decide, elevated, page};
use crate::harness::{Client, Place, World};

const OPEN: &str = "select count(*) from tenant.elevations where ended_at is null";

// control: POL-06
#[tokio::test]
async fn what_nobody_approves_in_a_day_is_void() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    let id = asked(&mut vera, "vera", &world, "editor", "15").await;
    world.wait(86_400);
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 409);
    assert!(olivia.get(&page(&world)).await.body.contains("Expired"));
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    assert!(!adds_a_contact(&mut vera, &world).await);
    let again = asked(&mut vera, "vera", &world, "editor", "15").await;
    assert_eq!(decide(&mut olivia, &world, again, "approve").await.status, 303);
}

// control: POL-06
#[tokio::test]
async fn ended_it_is_over_with_the_next_request() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (mut vera, id) = elevated(&world, &mut olivia, "60").await;
    assert_eq!(decide(&mut olivia, &world, id, "end").await.status, 303);
    assert!(!adds_a_contact(&mut vera, &world).await);
    world.told("vera@example.com", "Temporary access was ended").await;
    assert_eq!(world.events("elevation.ended").await.len(), 1);
    assert_eq!(decide(&mut olivia, &world, id, "end").await.status, 409);

    let id = asked(&mut vera, "vera", &world, "editor", "15").await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 303);
    assert_eq!(decide(&mut vera, &world, id, "end").await.status, 303, "by oneself");
    assert!(!adds_a_contact(&mut vera, &world).await);
    let id = asked(&mut vera, "vera", &world, "editor", "15").await;
    assert_eq!(decide(&mut olivia, &world, id, "end").await.status, 303);
    world.told("vera@example.com", "Temporary access was declined").await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 409);
    assert_eq!(world.events("elevation.declined").await.len(), 1);
}

// control: POL-06
#[tokio::test]
async fn a_change_of_role_voids_an_elevation_and_a_member_who_joins_again_starts_without_one() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (mut vera, _) = elevated(&world, &mut olivia, "60").await;
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    for to in ["finance", "viewer"] {
        let changed = olivia.post(&role, &[("role", to), ("reason", "Another task")]).await;
        assert_eq!(changed.status, 303, "{}", changed.text());
    }
    assert!(!adds_a_contact(&mut vera, &world).await, "also where it changes back");
    let id = asked(&mut vera, "vera", &world, "editor", "60").await;
    olivia.post(&role, &[("role", "creator"), ("reason", "Another task")]).await;
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 409);
    // The comparison holds by itself, too.
    world.change("update tenant.memberships set role = 'viewer' where role = 'creator'").await;
    world.change("alter table tenant.memberships disable trigger end_elevations").await;
    let (vera, _) = elevated(&world, &mut olivia, "60").await;
    let seen = |role: &'static str| {
        let (world, mut vera) = (&world, vera.clone());
        async move {
            world.change(role).await;
            vera.get(&world.acme.contacts()).await.text().contains("You have the role")
        }
    };
    let vera_is = "update tenant.memberships set role = 'creator' where user_id in
                    (select user_id from identity.accounts where subject = 'vera')";
    assert!(!seen(vera_is).await);
    let vera_is = "update tenant.memberships set role = 'viewer' where user_id in
                    (select user_id from identity.accounts where subject = 'vera')";
    assert!(seen(vera_is).await, "else this would show nothing");

    let vera_goes = format!("{}/members/{}/remove", world.acme.url(), world.user("vera").await);
    assert_eq!(olivia.post(&vera_goes, &[("reason", "Has left")]).await.status, 303);
    let back = "insert into tenant.memberships (tenant_id, user_id, role)
                select o.tenant_id, a.user_id, 'viewer' from tenant.organizations o, identity.accounts a
                 where o.name = 'Acme' and a.subject = 'vera'";
    world.change(back).await;
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    assert!(!adds_a_contact(&mut vera, &world).await);
    let hers =
        "select count(*) from tenant.elevations e join identity.accounts a using (user_id) where a.subject = 'vera'";
    assert_eq!(world.database.count(hers).await, 0);
}

/// Asks in the organization, and has it approved there.
async fn elevated_in(world: &World, client: &mut Client, (place, role): (Place, &str), approver: &mut Client) {
    let list = format!("{}/elevations", place.url());
    let form = [("role", role), ("minutes", "60"), ("reason", "The import"), ("ticket", "https://tickets.example/1")];
    let asked = client.post(&list, &form).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let id: Uuid = sqlx::query_scalar("select id from tenant.elevations order by id desc limit 1")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(approver.post(&format!("{list}/{id}/approve"), &[]).await.status, 303);
}

async fn acts_in(client: &mut Client, place: Place) -> bool {
    client.get(&place.url()).await.text().contains("You have the role")
}

// control: POL-06
#[tokio::test]
async fn a_session_acts_in_a_role_of_each_organization_where_it_asked_and_in_no_other() {
    let world = World::start().await;
    let (mut olivia, mut gus) = (world.sign_in("olivia").await, world.sign_in("gus").await);
    let (mut adam, mut elsewhere) = (world.sign_in("adam").await, world.sign_in("adam").await);
    elevated_in(&world, &mut adam, (world.acme, "editor"), &mut olivia).await;
    elevated_in(&world, &mut elsewhere, (world.globex, "creator"), &mut gus).await;
    assert!(acts_in(&mut adam, world.acme).await && !acts_in(&mut adam, world.globex).await);
    assert!(acts_in(&mut elsewhere, world.globex).await && !acts_in(&mut elsewhere, world.acme).await);
    elsewhere.post("/sign-out", &[]).await;
    elevated_in(&world, &mut adam, (world.globex, "creator"), &mut gus).await;
    assert!(acts_in(&mut adam, world.acme).await && acts_in(&mut adam, world.globex).await, "the first one lasts");
}

// control: POL-06
#[tokio::test]
async fn it_goes_with_the_session_that_asked() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (mut vera, id) = elevated(&world, &mut olivia, "60").await;
    vera.post("/sign-out", &[]).await;
    assert!(olivia.get(&page(&world)).await.body.contains("Ended with the session"));
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    assert!(!adds_a_contact(&mut vera, &world).await, "another session of the same person");
    let waits = asked(&mut vera, "vera", &world, "editor", "60").await;
    assert_ne!(waits, id, "what is over is in nobody's way");
    vera.post("/sign-out", &[]).await;
    assert_eq!(decide(&mut olivia, &world, waits, "approve").await.status, 409);
    assert_eq!(world.database.count("select count(*) from tenant.elevations where approved_at is not null").await, 1);
}

// control: POL-06
#[tokio::test]
async fn of_decisions_at_once_one_counts_and_who_ends_it_has_the_last_word() {
    let world = World::start().await;
    let (olivia, adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let mut vera = world.sign_in("vera").await;
    let send = |client: &Client, id: Uuid, what: &'static str| {
        let (world, mut client) = (&world, client.clone());
        async move { decide(&mut client, world, id, what).await.status }
    };
    for round in 1..=4 {
        let id = asked(&mut vera, "vera", &world, "editor", "15").await;
        let mut statuses: [u16; 2] = tokio::join!(send(&olivia, id, "approve"), send(&adam, id, "approve")).into();
        statuses.sort_unstable();
        assert_eq!(statuses, [303, 409]);
        assert_eq!(world.events("elevation.approved").await.len(), round);
        assert_eq!(decide(&mut vera, &world, id, "end").await.status, 303);
    }
    let mut carl = world.sign_in("carl").await;
    for _ in 0..4 {
        let id = asked(&mut carl, "carl", &world, "editor", "15").await;
        tokio::join!(send(&olivia, id, "approve"), send(&adam, id, "end"));
        assert_eq!(world.database.count(OPEN).await, 0);
    }
}

// control: POL-06
#[tokio::test]
async fn none_begins_at_a_time_to_come() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (mut vera, _) = elevated(&world, &mut olivia, "15").await;
    world.change("alter table tenant.elevations disable trigger forbid_elevation_changes").await;
    world.change("update tenant.elevations set approved_at = approved_at + interval '5 minutes'").await;
    assert!(!adds_a_contact(&mut vera, &world).await, "it would last longer than an hour");
    world.wait(299);
    assert!(adds_a_contact(&mut vera, &world).await);
}
