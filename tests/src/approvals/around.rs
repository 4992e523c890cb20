//! Ways around the second person, and what they meet.

use super::effects::{required, reset};
use super::{WHY, ask_for_deletion, decide, latest};
use crate::harness::World;
use crate::harness::passkey::{Authenticator, enrol, options};
use crate::sso::{SECRET, provider};

// control: POL-07
#[tokio::test]
async fn a_role_that_is_taken_and_given_back_makes_no_second_person_of_anybody() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let admin = world.new_managed(world.acme, "admin").await;
    let role = format!("{}/members/{admin}/role", world.acme.url());
    assert_eq!(olivia.post(&role, &[("role", "viewer"), WHY]).await.status, 303);
    let mail = world.told("olivia@example.com", "A member has a new role").await;
    assert!(mail.text.contains("Olivia Owner changed Manfred Managed’s role from "), "{}", mail.text);
    let asked = olivia.post(&reset(&world, admin), &[WHY]).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    assert_eq!(world.events("member.factors_reset").await.len(), 0);
    assert_eq!(world.database.count("select count(*) from tenant.approvals where kind = 'reset_factors'").await, 1);
    let id = latest(&world).await;
    assert_eq!(decide(&mut olivia, &world, id, "decline").await.status, 303);
    world.change("update tenant.memberships set recent_administrator_until = now() where recent_administrator_until is not null").await;
    assert_eq!(olivia.post(&reset(&world, admin), &[WHY]).await.status, 303);
    assert_eq!(world.events("member.factors_reset").await.len(), 1, "a day later");
}

// control: POL-07
#[tokio::test]
async fn a_member_who_leaves_and_is_invited_again_is_not_new() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let adam = world.user("adam").await;
    world.change("update tenant.memberships set role = 'owner' where role in ('admin', 'billing_admin')").await;
    // What somebody asked for to be done to them ends as they leave.
    let demotion = [("role", "viewer"), WHY];
    let role = format!("{}/members/{adam}/role", world.acme.url());
    assert_eq!(olivia.post(&role, &demotion).await.status, 303);
    let mut leaving = world.sign_in("adam").await;
    assert_eq!(leaving.post(&format!("{}/members/{adam}/remove", world.acme.url()), &[WHY]).await.status, 303);
    let open = "select count(*) from tenant.approvals where decided_at is null";
    assert_eq!(world.database.count(open).await, 0);
    assert!(olivia.get(&super::page(&world)).await.body.contains("Expired"));

    let form = [("email", "adam@example.com"), ("role", "viewer"), WHY];
    assert_eq!(olivia.post(&format!("{}/invitations", world.acme.url()), &form).await.status, 303);
    let accept = "select '/invitations/' || id || '/accept' from tenant.invitations where email = 'adam@example.com'";
    let accept: String = sqlx::query_scalar(accept).fetch_one(&mut world.database.owner().await).await.unwrap();
    let mut adams = world.sign_in("adam").await;
    assert_eq!(adams.post(&accept, &[]).await.status, 303);
    assert_eq!(world.role("adam").await.as_deref(), Some("viewer"));
    let manage =
        "update identity.users set managed_by = (select tenant_id from tenant.organizations where name = 'Acme')
                   where email = 'adam@example.com'";
    assert_eq!(world.change(manage).await, 1);
    world.change(super::LONG_AGO).await;
    assert_eq!(olivia.post(&reset(&world, adam), &[WHY]).await.status, 303);
    assert_eq!(world.events("member.factors_reset").await.len(), 0, "not alone, within a day");
    assert_eq!(world.database.count(open).await, 1);
}

// control: POL-07
// control: IDN-08
#[tokio::test]
async fn what_a_session_is_just_adding_does_not_outlast_its_end() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let mut device = Authenticator::new(&world);
    let credential = device.create(&options(&mut erin, "/account/passkeys/options").await).to_string();
    let mut block = world.database.session().await;
    sqlx::raw_sql("begin; select from identity.ceremonies for update").execute(&mut block).await.unwrap();
    let (mut sending, form) = (erin.clone(), credential);
    let enrolling = tokio::spawn(async move {
        sending.post("/account/passkeys", &[("name", "Late"), ("credential", &form)]).await.status
    });
    world.until_blocked(1).await;
    world.change("update identity.sessions set ended_at = now(), ended_reason = 'a test' where ended_at is null").await;
    sqlx::raw_sql("commit").execute(&mut block).await.unwrap();
    assert_ne!(enrolling.await.unwrap(), 303);
    let passkeys =
        "select count(*) from identity.passkeys p join identity.accounts using (user_id) where subject = 'erin'";
    assert_eq!(world.database.count(passkeys).await, 0);

    let mut erin = world.sign_in("erin").await;
    assert_eq!(enrol(&mut erin, &mut Authenticator::new(&world), "Hers").await.status, 303);
    sqlx::raw_sql("begin; lock table identity.recovery_codes in access exclusive mode")
        .execute(&mut block)
        .await
        .unwrap();
    let mut sending = erin.clone();
    let making = tokio::spawn(async move { sending.post("/account/recovery/codes", &[]).await.status });
    world.until_blocked(1).await;
    // A request that ends the session waits for the one that holds it, and so finds what it has added.
    let ending = tokio::spawn({
        let mut owner = world.database.session().await;
        async move {
            let end = "update identity.sessions set ended_at = now(), ended_reason = 'a test' where ended_at is null";
            sqlx::raw_sql(end).execute(&mut owner).await.unwrap();
        }
    });
    world.until_blocked(2).await;
    sqlx::raw_sql("commit").execute(&mut block).await.unwrap();
    assert_eq!(making.await.unwrap(), 200);
    ending.await.unwrap();
}

// control: IDN-15
// control: POL-07
#[tokio::test]
async fn a_provider_that_is_required_is_not_replaced_by_another_one() {
    let world = World::start().await;
    let (mut olivia, _) = required(&world).await;
    let idp = provider(&world, world.acme).await;
    let form = [
        ("issuer", &*idp.issuer()),
        ("client_id", "holdfast at acme"),
        ("client_secret", SECRET),
        ("reason", "It is ours"),
    ];
    let replaced = olivia.post(&format!("{}/settings/provider", world.acme.url()), &form).await;
    assert!(replaced.status == 409 && replaced.text().contains("Stop requiring SSO first"), "{}", replaced.text());
    assert_eq!(world.events("organization.provider_changed").await.len(), 0);
    let sql = "update tenant.identity_providers set client_secret = client_secret, changed_at = now()";
    assert_eq!(world.change(sql).await, 1, "another secret");
    world.change("alter table tenant.organizations disable trigger require_approval_to_stop_requiring_sso").await;
    world.change("update tenant.organizations set settings = settings || '{\"requires_sso\": false}'").await;
    let replaced = olivia.post(&format!("{}/settings/provider", world.acme.url()), &form).await;
    assert_eq!(replaced.status, 303, "{}", replaced.text());
}

// control: POL-07
// control: IDN-10
#[tokio::test]
async fn declining_takes_a_fresh_passkey_and_asking_is_counted() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut adam = world.sign_in("adam").await;
    let id = ask_for_deletion(&mut olivia, &world).await;
    world.wait(301);
    let held = decide(&mut adam, &world, id, "decline").await;
    assert!(held.location().starts_with("/step-up?deferred="), "{}", held.text());
    world.prove(&mut adam, "adam").await;
    assert_eq!(decide(&mut adam, &world, id, "decline").await.status, 303);
    let viewer = world.new_managed(world.acme, "creator").await;
    for _ in 0..10 {
        assert_eq!(adam.post(&reset(&world, viewer), &[WHY]).await.status, 303);
    }
    assert_eq!(adam.post(&reset(&world, viewer), &[WHY]).await.status, 429);
}
