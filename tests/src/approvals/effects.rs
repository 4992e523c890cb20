use uuid::Uuid;

use super::{LONG_AGO, WAITED, WHY, ask_for_deletion, decide, is_there, latest, page};
use crate::harness::passkey::{Authenticator, enrol, sign_in};
use crate::harness::{Client, World};

pub(super) fn reset(world: &World, member: Uuid) -> String {
    format!("{}/members/{member}/reset-factors", world.acme.url())
}

/// Has Acme's own provider speak for a person of the seed.
async fn managed(world: &World, subject: &str) -> Uuid {
    let user = world.user(subject).await;
    sqlx::query("update identity.users set managed_by = $1 where id = $2")
        .bind(world.acme.organization)
        .bind(user)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    user
}

const FACTORS: &str = "select (select count(*) from identity.passkeys p join identity.accounts using (user_id) where subject = 'erin')
         + (select count(*) from identity.recovery_codes c join identity.accounts using (user_id) where subject = 'erin')
         + (select count(*) from identity.totp t join identity.accounts using (user_id) where subject = 'erin')
         + (select count(*) from identity.recoveries r join identity.accounts using (user_id) where subject = 'erin')";

/// Erin with a passkey, recovery codes and an app, and the device of the passkey.
async fn erin(world: &World) -> (Client, Authenticator) {
    let (mut erin, mut device) = (world.sign_in("erin").await, Authenticator::new(world));
    assert_eq!(enrol(&mut erin, &mut device, "Hers").await.status, 303);
    assert_eq!(erin.post("/account/recovery/codes", &[]).await.status, 200);
    assert!(erin.post("/account/authenticator", &[]).await.status < 400);
    assert_eq!(world.database.count(FACTORS).await, 12);
    (erin, device)
}

// control: POL-07
#[tokio::test]
async fn the_factors_of_somebody_the_organization_speaks_for_are_reset_at_once() {
    let world = World::start().await;
    let (mut erin, mut device) = erin(&world).await;
    let mut adam = world.sign_in("adam").await;
    let members = format!("{}/members", world.acme.url());
    let id = world.user("erin").await;
    assert!(!adam.get(&members).await.body.contains("Reset passkeys and codes"), "not of who belongs to themselves");
    for answer in [adam.get(&reset(&world, id)).await, adam.post(&reset(&world, id), &[WHY]).await] {
        assert!(answer.status == 409 && answer.body.contains("own and not one of your provider"), "{}", answer.text());
    }
    assert_eq!(world.database.count(FACTORS).await, 12);

    managed(&world, "erin").await;
    assert!(adam.get(&members).await.body.contains(&reset(&world, id)));
    assert_eq!(erin.post(&reset(&world, id), &[WHY]).await.status, 403, "not by oneself");
    let done = adam.post(&reset(&world, id), &[WHY]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(world.database.count(FACTORS).await, 0);
    assert_eq!(erin.get("/account").await.status, 303, "signed out");
    assert_ne!(sign_in(&mut world.stranger(), &mut device).await.status, 303, "the passkey is nobody's");
    world.told("erin@example.com", "Your passkeys were removed by your organization").await;
    let event = &world.events("member.factors_reset").await[0];
    assert_eq!((&event["details"]["passkeys"], &event["details"]["reason"]), (&1.into(), &WHY.1.into()));
    let mut again = world.sign_in("erin").await;
    assert_eq!(enrol(&mut again, &mut Authenticator::new(&world), "New").await.status, 303, "and makes a new one");
    assert_eq!(world.database.count("select count(*) from tenant.approvals").await, 0);
}

// control: POL-07
#[tokio::test]
async fn the_factors_of_an_owner_or_admin_take_a_second_person() {
    let world = World::start().await;
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let (_, _) = erin(&world).await;
    let id = managed(&world, "erin").await;
    for role in ["admin", "owner"] {
        let set = "update tenant.memberships set role = $2 where user_id = $1";
        sqlx::query(set).bind(id).bind(role).execute(&mut world.database.owner().await).await.unwrap();
        let form = olivia.get(&reset(&world, id)).await;
        let rule = if role == "owner" {
            "any owner can do it after three days"
        } else {
            "has been an owner or admin for three days"
        };
        assert!(form.body.contains(rule), "{}", form.text());
        assert_eq!(olivia.post(&reset(&world, id), &[WHY]).await.status, 303);
        assert_eq!(world.database.count(FACTORS).await, 12, "nothing yet");
        let asked = latest(&world).await;
        // Each time, before the next request: emails of one kind that wait together are sent as one, with another subject.
        world.told("erin@example.com", "Your approval is requested").await;
        world.mailbox.clear();
        let shown = adam.get(&page(&world)).await;
        assert!(shown.body.contains("Reset the passkeys and codes of Erin Editor"), "{}", shown.text());
        if role == "admin" {
            // Another role than the one it was asked for.
            let set = "update tenant.memberships set role = 'viewer' where user_id = $1";
            sqlx::query(set).bind(id).execute(&mut world.database.owner().await).await.unwrap();
            let refused = decide(&mut adam, &world, asked, "approve").await;
            assert!(refused.status == 409 && refused.body.contains("has changed since"), "{}", refused.text());
            assert_eq!(world.database.count(FACTORS).await, 12);
            assert_eq!(world.events("approval.approved").await.len(), 0, "and nothing of it");
            assert_eq!(decide(&mut adam, &world, asked, "decline").await.status, 303);
        } else {
            // A request that affects an owner needs an owner. An admin is not enough, even after the wait.
            assert_eq!(decide(&mut adam, &world, asked, "approve").await.status, 403);
            assert_eq!(decide(&mut olivia, &world, asked, "approve").await.status, 403, "who asked, before the wait");
            world.change(WAITED).await;
            assert_eq!(decide(&mut adam, &world, asked, "approve").await.status, 403);
            assert_eq!(world.database.count(FACTORS).await, 12);
            assert_eq!(decide(&mut olivia, &world, asked, "approve").await.status, 303);
            assert_eq!(world.database.count(FACTORS).await, 0);
        }
    }
    assert_eq!(adam.post(&reset(&world, id), &[WHY]).await.status, 403, "an admin does not ask for it of an owner");
    let event = &world.events("member.factors_reset").await[0];
    assert_eq!(event["details"]["requested_by"], world.user("olivia").await.to_string());
    assert_eq!(event["details"]["decided_by"], world.user("olivia").await.to_string());
}

/// Acme requires its own provider. Adam is an owner, too, because only owners can sign in with a passkey then.
pub(super) async fn required(world: &World) -> (Client, Client) {
    world.new_provider(world.acme).await;
    let domain = world.new_domain(world.acme).await;
    let prove = "update tenant.domains set verified_at = created_at where id = $1";
    sqlx::query(prove).bind(domain).execute(&mut world.database.owner().await).await.unwrap();
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    world.change(LONG_AGO).await;
    world
        .change("update tenant.organizations set settings = settings || '{\"requires_sso\": true}' where name = 'Acme'")
        .await;
    (world.sign_in("olivia").await, world.sign_in("adam").await)
}

// control: POL-07
#[tokio::test]
async fn only_no_longer_requiring_sso_takes_a_second_person() {
    let world = World::start().await;
    let (mut olivia, mut adam) = required(&world).await;
    let rules = format!("{}/settings/sign-in", world.acme.url());
    let now =
        "select count(*) from tenant.organizations where name = 'Acme' and settings @> '{\"requires_sso\": true}'";
    let links = "select count(*) from tenant.organizations where name = 'Acme' and settings @> '{\"allows_magic_links\": true}'";
    let kept = olivia.post(&rules, &[("requires_sso", "yes"), ("allows_magic_links", "yes"), WHY]).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    assert_eq!((world.database.count(now).await, world.database.count(links).await), (1, 1), "at once");
    assert_eq!(world.database.count("select count(*) from tenant.approvals").await, 0);

    assert_eq!(olivia.post(&rules, &[WHY]).await.status, 303);
    assert_eq!(
        (world.database.count(now).await, world.database.count(links).await),
        (1, 0),
        "the one and not the other"
    );
    let asked = latest(&world).await;
    let shown = adam.get(&page(&world)).await;
    assert!(shown.body.contains("Stop requiring your own provider") && !shown.body.contains("or with a link"));
    // What the second person saw is not what would be.
    assert_eq!(olivia.post(&rules, &[("requires_sso", "yes"), ("allows_magic_links", "yes"), WHY]).await.status, 303);
    let refused = decide(&mut adam, &world, asked, "approve").await;
    assert!(refused.status == 409 && refused.body.contains("has changed since"), "{}", refused.text());
    assert_eq!(olivia.post(&rules, &[("requires_sso", "yes"), WHY]).await.status, 303);
    let approved = decide(&mut adam, &world, asked, "approve").await;
    assert_eq!(approved.status, 303, "{}", approved.text());
    assert_eq!(world.database.count(now).await, 0);
    let event = world.events("organization.sign_in_changed").await.pop().unwrap();
    assert_eq!(event["details"]["requested_by"], world.user("olivia").await.to_string());
    assert_eq!(event["actor"], world.user("adam").await.to_string());
}

// control: POL-07
#[tokio::test]
async fn an_organization_of_another_name_is_another_one_and_a_required_provider_keeps_none() {
    let world = World::start().await;
    let (mut olivia, mut adam) = required(&world).await;
    let id = ask_for_deletion(&mut olivia, &world).await;
    world.change("update tenant.organizations set name = 'Acme & Sons' where name = 'Acme'").await;
    let refused = decide(&mut adam, &world, id, "approve").await;
    assert!(refused.status == 409 && refused.body.contains("has changed since"), "{}", refused.text());
    world.change("update tenant.organizations set name = 'Acme' where name like 'Acme%'").await;
    assert!(is_there(&world).await);
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 303);
    assert!(!is_there(&world).await);
}
