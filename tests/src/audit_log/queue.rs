//! Decisions that wait for the database: kept while it refuses them, and no answer without a record when no more fit.

use std::time::{Duration, Instant};

use audit::Decision;
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::harness::{World, log};

/// Refuses every decision and counts the attempts. A sequence also counts attempts that are rolled back.
async fn refuse(owner: &mut PgConnection) {
    owner
        .execute(
            "create sequence public.attempts; grant usage on sequence public.attempts to public;
             grant usage on schema public to public;
             create function public.refuse() returns trigger language plpgsql as
               $$ begin perform nextval('public.attempts'); raise exception 'refused by a test'; end $$;
             grant execute on function public.refuse() to public;
             create trigger refuse before insert on audit.decisions for each row execute function public.refuse()",
        )
        .await
        .unwrap();
}

async fn attempted(owner: &mut PgConnection, times: i64) {
    let started = Instant::now();
    loop {
        let made: i64 =
            sqlx::query_scalar("select last_value from public.attempts").fetch_one(&mut *owner).await.unwrap();
        if made >= times {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{made} attempts");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// control: POL-10
#[tokio::test]
async fn decisions_the_database_refuses_are_tried_again_until_it_takes_them() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut owner = world.database.session().await;
    refuse(&mut owner).await;
    let mut requests = Vec::new();
    for _ in 0..5 {
        let answer = olivia.get(&world.acme.contacts()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        requests.push(answer.request());
    }
    attempted(&mut owner, 3).await;
    let listed = "select count(*) from audit.decisions where action = 'ListContacts'";
    assert_eq!(world.database.count(listed).await, 0);
    owner.execute("drop trigger refuse on audit.decisions").await.unwrap();
    world.settle_decisions().await;
    let recorded: Vec<Uuid> =
        sqlx::query_scalar("select request_id from audit.decisions where action = 'ListContacts' order by id")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(recorded, requests, "each of them once, in their order");
}

// control: POL-10
#[tokio::test]
async fn when_no_more_decisions_fit_requests_are_refused_rather_than_answered_unrecorded() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut owner = world.database.session().await;
    refuse(&mut owner).await;
    let decision = Decision {
        tenant: None,
        at: world.clock.now(),
        principal: "Test::\"filler\"".to_owned(),
        action: "Fill",
        resource: "Test::\"queue\"".to_owned(),
        allowed: false,
        step_up: false,
        policies: [].into(),
        policy_set: [7; 32],
        request: Uuid::now_v7(),
        client: None,
        context: serde_json::Map::new(),
    };
    let mut waiting = 0;
    while world.decisions.record(decision.clone()).await.is_ok() {
        waiting += 1;
        assert!(waiting < 1_000_000, "the queue has no bound");
    }
    let refused = olivia.get(&world.acme.contacts()).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.body.contains("Amara"), "nothing is shown unrecorded");
    let told = log::lines_of(refused.request_id());
    assert!(told.iter().any(|line| line["message"] == "decision could not be stored"), "{told:?}");
    assert_eq!(olivia.get("/healthz").await.status, 200, "a restart would lose what waits");

    owner.execute("drop trigger refuse on audit.decisions").await.unwrap();
    let started = Instant::now();
    while olivia.get(&world.acme.contacts()).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not recover");
    }
    world.settle_decisions().await;
    let filler = "select count(*) from audit.decisions where action = 'Fill'";
    assert_eq!(world.database.count(filler).await, waiting, "none was lost");
}
