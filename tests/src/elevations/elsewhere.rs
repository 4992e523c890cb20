//! What temporary access means for other features.

use chrono::Duration;
use uuid::Uuid;

use super::{asked, decide, elevated, page};
use crate::approvals::{ask_for_deletion, decide as decide_approval, page as approvals};
use crate::harness::{Client, Sent, World};
use crate::navigation::pending;
use crate::recovery::{lost, try_code};
use crate::withheld::state;

// control: POL-06
// control: IDN-11
#[tokio::test]
async fn a_recovery_waits_where_an_elevation_is_privileged() {
    let world = World::start().await;
    let (codes, mut erin) = lost(&world, "erin").await;
    let waiting = "select count(*) from identity.recoveries";
    // A person with a passkey must wait in every role.
    world.change("alter table identity.passkeys disable trigger require_a_passkey").await;
    world.change("delete from identity.passkeys").await;
    assert!(try_code(&mut erin, &codes[0]).await.status < 400);
    assert_eq!(world.database.count(waiting).await, 0, "an editor's is at once");
    world
        .change(
            "insert into tenant.elevations (tenant_id, id, user_id, session_id, own_role, role, minutes, reason, ticket,
                                            requested_at, expires_at)
             select tenant_id, gen_random_uuid(), user_id, gen_random_uuid(), role, 'admin', 60, 'A test', 'x', now(), now()
               from tenant.memberships join identity.accounts using (user_id) where subject = 'erin'",
        )
        .await;
    let mut again = world.sign_in_at_provider("erin").await;
    assert!(try_code(&mut again, &codes[1]).await.status < 400);
    assert_eq!(world.database.count(waiting).await, 1);
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
    let mut owner = world.database.session().await;
    let before = state(&mut owner).await;
    assert!(matches!(withheld.send().await.status(), 403 | 404));
    assert_eq!(state(&mut owner).await, before);
}

// control: POL-07
#[tokio::test]
async fn under_temporary_access_people_see_what_takes_two_and_are_not_the_second() {
    let world = World::start().await;
    let (mut olivia, mut vera) = (world.sign_in("olivia").await, world.sign_in("vera").await);
    let id = ask_for_deletion(&mut olivia, &world).await;
    let elevation = asked(&mut vera, "vera", &world, "admin", "60").await;
    assert_eq!(decide(&mut olivia, &world, elevation, "approve").await.status, 303);
    let seen = vera.get(&approvals(&world)).await;
    assert!(seen.body.contains("Delete the organization Acme"), "she sees what admins see: {}", seen.text());
    assert_eq!(decide_approval(&mut vera, &world, id, "approve").await.status, 403, "and is none");
}

// control: POL-07
#[tokio::test]
async fn the_navigation_counts_the_requests_that_somebody_else_may_approve() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let counted = async |client: &mut Client| pending(&client.get(&world.acme.contacts()).await.body, &page(&world));
    assert_eq!(counted(&mut olivia).await, None);
    let id: Uuid = world.new_elevation(world.acme).await;
    assert_eq!(counted(&mut olivia).await.as_deref(), Some("1 pending"));
    let mut erin = world.sign_in("erin").await;
    assert_eq!(counted(&mut erin).await, None, "an editor approves none");
    assert_eq!(decide(&mut olivia, &world, id, "approve").await.status, 303);
    assert_eq!(counted(&mut olivia).await, None, "approved, it waits no more");
    world.new_elevation(world.acme).await;
    assert_eq!(counted(&mut olivia).await.as_deref(), Some("1 pending"));
    world.clock.advance(Duration::days(30));
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(counted(&mut olivia).await, None, "nor does what has expired");
}
