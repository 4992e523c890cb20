//! Ownership that somebody else takes: who approves it, how long it waits, and that the database keeps it so.

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use super::{LONG_AGO, WAITED, WHY, decide, latest, page};
use crate::harness::{Client, World};

const ALL_OWNERS: &str = "update tenant.memberships set role = 'owner' where role in ('admin', 'billing_admin')";

/// What can be asked for of an owner.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    form: &'static [(&'static str, &'static str)],
    /// Their role afterwards.
    then: Option<&'static str>,
}

const REMOVAL: Kind = Kind { what: "remove", form: &[WHY], then: None };
const DEMOTION: Kind = Kind { what: "role", form: &[("role", "editor"), WHY], then: Some("editor") };

/// Acme with the owners Olivia, Adam and Bella; Olivia asks for Adam's ownership.
async fn asked(Kind { what, form, .. }: Kind) -> (World, Client, Uuid) {
    let world = World::start().await;
    world.change(ALL_OWNERS).await;
    let mut olivia = world.sign_in("olivia").await;
    let path = format!("{}/members/{}/{what}", world.acme.url(), world.user("adam").await);
    let told = olivia.get(&path).await;
    assert!(told.status == 200 && told.body.contains("after three days"), "{}", told.text());
    let asked = olivia.post(&path, form).await;
    assert_eq!((asked.status, asked.location()), (303, &*page(&world)), "{}", asked.text());
    assert_eq!(world.role("adam").await.as_deref(), Some("owner"), "nothing is done yet");
    let again = olivia.post(&path, form).await;
    assert!(again.status == 409 && again.body.contains("has already been requested"), "{}", again.text());
    let id = latest(&world).await;
    (world, olivia, id)
}

// control: POL-07
#[tokio::test]
async fn nobody_takes_the_ownership_of_another_alone_and_all_owners_are_told() {
    for kind in [REMOVAL, DEMOTION] {
        let what = kind.what;
        let (world, mut olivia, id) = asked(kind).await;
        for address in ["olivia@example.com", "adam@example.com", "bella@example.com"] {
            let mail = world.told(address, "Your approval is requested").await;
            assert!(
                mail.text.contains("Olivia Owner requested approval: ") && mail.text.contains("Adam Admin"),
                "{}",
                mail.text
            );
        }
        let list = olivia.get(&page(&world)).await;
        assert!(list.body.contains("Adam Admin") && list.body.contains("any owner can do it from"), "{}", list.text());
        assert!(list.body.contains("Withdraw") && !list.body.contains(">Approve<"), "{}", list.text());
        assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 403, "{what}: who asked");
        // An owner of today may be a second account of who asks.
        let mut bella = world.sign_in("bella").await;
        assert_eq!(decide(&mut bella, &world, id, "approve").await.status, 403, "{what}: an owner of today");
        assert_eq!(world.role("adam").await.as_deref(), Some("owner"), "{what}");
    }
}

// control: POL-07
#[tokio::test]
async fn the_affected_owner_can_decline_and_it_does_not_happen_after_the_wait_either() {
    let (world, mut olivia, id) = asked(REMOVAL).await;
    let mut adam = world.sign_in("adam").await;
    assert!(adam.get(&page(&world)).await.body.contains("Remove Adam Admin, Owner"));
    assert_eq!(decide(&mut adam, &world, id, "decline").await.status, 303);
    world.change(WAITED).await;
    for client in [&mut olivia, &mut adam] {
        assert_eq!(decide(client, &world, id, "approve").await.status, 409);
    }
    assert_eq!(world.role("adam").await.as_deref(), Some("owner"));
}

// control: POL-07
#[tokio::test]
async fn the_affected_owner_and_an_owner_of_three_days_approve_it_at_once_and_any_owner_after_the_wait() {
    for (kind, approver, before) in [
        (REMOVAL, "adam", None),
        (DEMOTION, "adam", None),
        (REMOVAL, "bella", Some(LONG_AGO)),
        (DEMOTION, "bella", Some(WAITED)),
        (REMOVAL, "olivia", Some(WAITED)),
    ] {
        let Kind { what, then, .. } = kind;
        let (world, olivia, id) = asked(kind).await;
        if let Some(change) = before {
            world.change(change).await;
        }
        let mut client = if approver == "olivia" { olivia } else { world.sign_in(approver).await };
        let done = decide(&mut client, &world, id, "approve").await;
        assert_eq!(done.status, 303, "{what} {approver}: {}", done.text());
        assert_eq!(world.role("adam").await.as_deref(), then, "{what} {approver}");
        let next = client.get(done.location()).await;
        assert_eq!(next.status, 200, "{what} {approver}: {}", next.text());
        let event = if then.is_some() { "member.role_changed" } else { "member.removed" };
        let event = &world.events(event).await[0];
        assert_eq!(event["details"]["approval"], id.to_string());
        assert_eq!(event["details"]["requested_by"], world.user("olivia").await.to_string());
        assert_eq!(event["details"]["reason"], WHY.1);
        let subject = if then.is_some() { "A member has a new role" } else { "A member was removed" };
        world.told("adam@example.com", subject).await;
    }
}

// control: POL-07
#[tokio::test]
async fn an_admin_neither_asks_for_it_nor_approves_it_and_who_asked_must_still_be_an_owner() {
    let (world, _, id) = asked(REMOVAL).await;
    world.change(WAITED).await;
    let mut fiona = world.sign_in("fiona").await;
    world.change("update tenant.memberships set role = 'admin' where role = 'finance'").await;
    let path = format!("{}/members/{}/remove", world.acme.url(), world.user("adam").await);
    assert_eq!(fiona.post(&path, &[WHY]).await.status, 403);
    assert_eq!(decide(&mut fiona, &world, id, "approve").await.status, 403);
    let demote = "update tenant.memberships m set role = 'admin' from identity.accounts a
                   where a.user_id = m.user_id and a.subject = 'olivia'";
    world.change(demote).await;
    let mut bella = world.sign_in("bella").await;
    assert_eq!(decide(&mut bella, &world, id, "approve").await.status, 403);
    assert_eq!(world.role("adam").await.as_deref(), Some("owner"));
}

async fn run(web: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.map(drop)
}

// control: POL-07
#[tokio::test]
async fn the_database_takes_ownership_only_with_an_approval_of_somebody_who_may() {
    let (world, _, id) = asked(REMOVAL).await;
    let (olivia, adam, bella) = (world.user("olivia").await, world.user("adam").await, world.user("bella").await);
    let mut web = world.database.web().await;
    let as_who = |user: Uuid| {
        format!(
            "rollback; begin; set local role tenant_rows; set local app.tenant_id = '{}'; set local app.user_id = '{user}'",
            world.acme.organization
        )
    };
    let approve = |user: Uuid| {
        format!(
            "update tenant.approvals set decided_by = '{user}', decided_at = requested_at, outcome = 'approved' where id = '{id}'"
        )
    };
    let removal = format!("delete from tenant.memberships where user_id = '{adam}'");
    let demotion = format!("update tenant.memberships set role = 'viewer' where user_id = '{adam}'");
    for (user, steps, why) in [
        (olivia, removal.clone(), "without any"),
        (olivia, demotion.clone(), "without any"),
        (olivia, format!("{}; {removal}", approve(olivia)), "of who asked"),
        (bella, format!("{}; {removal}", approve(bella)), "of an owner of today"),
    ] {
        run(&mut web, &as_who(user)).await.unwrap();
        let refused = run(&mut web, &steps).await.expect_err(why);
        assert_eq!(refused.as_database_error().unwrap().constraint(), Some("approval_required"), "{why}: {steps}");
    }
    world.change(LONG_AGO).await;
    run(&mut web, &as_who(bella)).await.unwrap();
    run(&mut web, &approve(bella)).await.unwrap();
    let refused = run(&mut web, &format!("savepoint s; {demotion}")).await.expect_err("approved is a removal");
    assert_eq!(refused.as_database_error().unwrap().constraint(), Some("approval_required"));
    run(&mut web, &format!("rollback to s; {removal}; commit")).await.unwrap();
    assert_eq!(world.role("adam").await, None);
}
