//! How long a session lives: while it is used, and not for ever.

use crate::harness::World;

// control: IDN-05
#[tokio::test]
async fn a_session_that_is_not_used_ends_after_the_idle_time() {
    let world = World::start().await;
    let mut used = world.sign_in("olivia").await;
    let mut forgotten = world.sign_in("adam").await;
    world.wait(1799);
    assert_eq!(used.get("/account").await.status, 200, "a second before");
    world.wait(1);
    assert_eq!(forgotten.get("/account").await.status, 303, "half an hour without use");
    assert_eq!(used.get("/account").await.status, 200);
    for _ in 0..3 {
        world.wait(1700);
        assert_eq!(used.get("/account").await.status, 200, "use keeps it alive");
    }
    world.wait(1800);
    assert_eq!(used.get("/account").await.status, 303);
    assert_eq!(used.clone().program().get(&world.acme.url()).await.status, 401);
    let posted = used.program().post("/organizations", &[("name", "Late")]).await;
    assert_eq!(posted.status, 401, "nothing is done with it either");
    assert_eq!(world.database.count("select count(*) from tenant.organizations where name = 'Late'").await, 0);
}

// control: IDN-05
#[tokio::test]
async fn a_session_ends_after_the_absolute_time_even_if_it_is_in_use() {
    let settings = [("AUTHN__SESSION__ABSOLUTE_SECONDS", "3600"), ("AUTHN__SESSION__IDLE_SECONDS", "600")];
    let world = World::start_with(&settings).await;
    let mut olivia = world.sign_in("olivia").await;
    for _ in 0..7 {
        world.wait(500);
        assert_eq!(olivia.get("/account").await.status, 200);
    }
    world.wait(99);
    assert_eq!(olivia.get("/account").await.status, 200, "3,599 seconds old");
    world.wait(1);
    assert_eq!(olivia.get("/account").await.status, 303, "3,600 seconds old");
}

#[tokio::test]
async fn use_is_noted_once_a_minute_and_not_with_every_request() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.sessions().await.remove(0);
    world.wait(59);
    olivia.get("/account").await;
    assert_eq!(world.sessions().await[0], before);
    world.wait(1);
    olivia.get("/account").await;
    let after = world.sessions().await.remove(0);
    assert_ne!(after["last_seen_at"], before["last_seen_at"]);
    assert_ne!(after["idle_expires_at"], before["idle_expires_at"]);
    for fixed in ["expires_at", "token_hash", "auth_time", "created_at"] {
        assert_eq!(after[fixed], before[fixed], "{fixed}");
    }
}
