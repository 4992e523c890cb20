//! A domain stays an organization's as long as its DNS says so.

use super::*;
use crate::harness::registry;

const RECORD: &str = "_holdfast.acme.test";

/// Runs the job that looks up domains.
async fn check(world: &World) {
    registry().run_job("domain_check", &world.db, &world.authn).await.unwrap().unwrap();
}

/// Lets time pass, and runs the check. Gives how often it asked the DNS.
async fn after(world: &World, hours: i64) -> usize {
    world.wait(hours * 3600);
    let asked = world.dns.asked();
    check(world).await;
    world.dns.asked() - asked
}

async fn proved(world: &World) -> Vec<(bool, bool)> {
    sqlx::query_as("select verified_at is not null, missing_since is not null from tenant.domains order by id")
        .fetch_all(&mut world.database.owner().await)
        .await
        .unwrap()
}

// control: IDN-15
#[tokio::test]
async fn a_domain_whose_record_is_gone_is_warned_of_and_then_withdrawn() {
    let world = World::start().await;
    let (idp, _) = acme(&world).await;
    come(&world, &idp, "wanda").await;
    assert_eq!(after(&world, 1).await, 0, "once a day");
    assert_eq!(after(&world, 24).await, 1);
    assert_eq!(proved(&world).await, [(true, false)], "it is there");

    world.dns.say(RECORD, &["something else"]);
    after(&world, 24).await;
    assert_eq!(proved(&world).await, [(true, true)], "it counts for a while");
    let mail = world.told("olivia@example.com", "The DNS record of acme.test is gone").await;
    for part in [RECORD, "TXT", "holdfast-domain=", "Add it again before", "/settings"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    let page = world.sign_in("olivia").await.get(&settings(world.acme)).await;
    assert!(page.body.contains("Record missing") && page.body.contains(RECORD), "{}", page.text());
    // A DNS that is silent says nothing.
    world.dns.be_silent(true);
    after(&world, 24).await;
    world.dns.be_silent(false);
    for _ in 0..5 {
        after(&world, 24).await;
        assert_eq!(proved(&world).await, [(true, true)]);
    }
    assert_eq!(world.events("domain.record_missing").await.len(), 1, "told once");
    // A session that has expired need not be ended.
    world
        .change(
            "update identity.sessions set expires_at = expires_at + interval '30 days' where sso_tenant_id is not null",
        )
        .await;
    after(&world, 24).await;
    assert_eq!(proved(&world).await, [(false, false)]);
    world.told("olivia@example.com", "acme.test is not verified any more").await;
    assert_eq!(world.events("domain.withdrawn").await.len(), 1);
    let ended = "select count(*) from identity.sessions where ended_reason = 'no domain is verified now'";
    assert_eq!(world.database.count(ended).await, 1, "the session that its provider began has ended");
    let page = world.stranger().post("/sign-in/organization", &[("email", "wanda@acme.test")]).await;
    assert_eq!(page.status, 422, "and it begins none");

    // Somebody else has it now.
    let mut gus = world.sign_in("gus").await;
    let (theirs, token) = add_domain(&world, &mut gus, world.globex, "acme.test").await;
    world.dns.say(RECORD, &[&format!("holdfast-domain={token}")]);
    assert_eq!(prove(&mut gus, world.globex, theirs).await.status, 303);
    assert_eq!(after(&world, 24).await, 1, "what is withdrawn is not looked up");
}

// control: IDN-15
#[tokio::test]
async fn a_restored_record_ends_the_warning() {
    let world = World::start().await;
    acme(&world).await;
    let token: String = sqlx::query_scalar("select token from tenant.domains")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    let record = format!("holdfast-domain={token}");
    for by_hand in [false, true] {
        world.dns.say(RECORD, &[]);
        after(&world, 24).await;
        assert_eq!(proved(&world).await, [(true, true)]);
        world.dns.say(RECORD, &[&record]);
        if by_hand {
            let mut olivia = world.sign_in("olivia").await;
            let domain: Uuid = sqlx::query_scalar("select id from tenant.domains")
                .fetch_one(&mut world.database.owner().await)
                .await
                .unwrap();
            assert_eq!(prove(&mut olivia, world.acme, domain).await.status, 303);
        } else {
            after(&world, 24).await;
        }
        assert_eq!(proved(&world).await, [(true, false)], "{by_hand}");
    }
    // The count starts over.
    world.dns.say(RECORD, &[]);
    for _ in 0..7 {
        after(&world, 24).await;
        assert_eq!(proved(&world).await, [(true, true)]);
    }
    assert_eq!(world.events("domain.record_missing").await.len(), 3);
    assert_eq!(world.events("domain.withdrawn").await.len(), 0);
}

// control: IDN-15
#[tokio::test]
async fn two_checks_at_once_are_one() {
    let world = World::start().await;
    acme(&world).await;
    world.dns.say(RECORD, &[]);
    world.wait(86_400);
    tokio::join!(check(&world), check(&world));
    assert_eq!(world.events("domain.record_missing").await.len(), 1);
}
