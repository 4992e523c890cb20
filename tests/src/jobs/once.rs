//! Each job is settled once, even if a process dies.

use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn a_job_is_done_if_its_cause_was_committed_and_only_then() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    let mut process = Process::start(&world.database).await;
    let acme = TenantId::from(world.acme.organization);
    let mut tx = db.begin::<Write, Tenant>(acme).await.unwrap();
    queue(&mut tx, "never", None, true).await;
    drop(tx);
    let mut tx = db.begin::<Write, Tenant>(acme).await.unwrap();
    queue(&mut tx, "done", None, false).await;
    assert!(process.finds_nothing().await, "before the commit");
    tx.commit().await.unwrap();
    let held = process.next().await;
    assert_eq!(held.what(), "done");
    // Nobody holds a transaction while the world is asked.
    let open = "select count(*) from pg_stat_activity
                 where datname = current_database() and usename = 'web' and state = 'idle in transaction' and xact_start < now() - interval '1 s'";
    assert_eq!(world.database.count(open).await, 0);
    held.say(Ok(()));
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn jobs_of_a_dead_process_are_run_by_the_next_one_and_a_late_worker_settles_nothing() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    let mut first = Process::start(&world.database).await;
    queue_for(&db, world.acme.organization, "x").await;
    let at_it = first.next().await;
    let mut second = Process::start(&world.database).await;
    assert!(second.finds_nothing().await, "it is leased");
    assert_eq!(state(&world).await, (1, false));
    lease_ends(&world).await;
    let (again, late) = tokio::select! {
        again = second.next() => (again, at_it),
        again = first.next() => (again, at_it),
    };
    assert_eq!(again.what(), "x");
    late.say(Ok(()));
    assert!(second.finds_nothing().await);
    assert_eq!(state(&world).await, (2, false), "done by the late worker, it stays with the current one");
    again.say(Ok(()));
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn a_late_worker_neither_fails_nor_postpones_a_job() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    for answer in [
        Failure::Permanent("no".to_owned()),
        Failure::Retry("later".to_owned()),
        Failure::Postpone(Duration::from_hours(9)),
    ] {
        let mut process = Process::start(&world.database).await;
        queue_for(&db, world.acme.organization, "x").await;
        let late = process.next().await;
        lease_ends(&world).await;
        let again = process.next().await;
        late.say(Err(answer.clone()));
        let unchanged = "select count(*) from jobs.queue where kind = 'probe' and tries = 2 and failed_at is null
                           and not waiting and due_at < now() + interval '8 minutes'";
        assert!(process.finds_nothing().await);
        assert_eq!(world.database.count(unchanged).await, 1, "{answer:?}");
        again.say(Ok(()));
        world.until(WAITING, 0).await;
        process.worker.close().await;
    }
}

#[tokio::test]
async fn two_processes_do_each_job_once() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    for number in 0..30 {
        queue_for(&db, world.acme.organization, &number.to_string()).await;
    }
    let (mut one, mut two) = (Process::start(&world.database).await, Process::start(&world.database).await);
    let mut seen = Vec::new();
    while seen.len() < 30 {
        let held = tokio::select! { held = one.next() => held, held = two.next() => held };
        seen.push(held.what());
        held.say(Ok(()));
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 30);
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn a_failing_job_is_retried_later_and_finally_fails_with_the_reason() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    let mut process = Process::start(&world.database).await;
    queue_for(&db, world.acme.organization, "x").await;
    process.next().await.say(Err(Failure::Retry("nobody answers".to_owned())));
    let postponed = "select count(*) from jobs.queue where kind = 'probe' and tries = 1 and failed_at is null
                       and due_at between now() + interval '4 minutes' and now() + interval '6.3 minutes'";
    world.until(postponed, 1).await;
    let old = "update jobs.queue set due_at = now(), created_at = now() - interval '61 minutes' where kind = 'probe'";
    assert_eq!(world.change(old).await, 1);
    process.next().await.say(Err(Failure::Retry("still nobody".to_owned())));
    let dead =
        "select count(*) from jobs.queue where kind = 'probe' and failure = 'still nobody' and failed_at is not null";
    world.until(dead, 1).await;
    assert_eq!(world.change("update jobs.queue set due_at = now() where kind = 'probe'").await, 1);
    assert!(process.finds_nothing().await, "a dead letter is taken by nobody");

    // What cannot be read is given up at once.
    assert_eq!(
        world.change("update jobs.queue set payloads = array['{}'::jsonb], failed_at = null, failure = null").await,
        1
    );
    world.until("select count(*) from jobs.queue where failure = 'it cannot be read'", 1).await;
}

#[tokio::test]
async fn one_job_of_a_kind_and_key_waits_and_later_payloads_are_added_to_it() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    let acme = TenantId::from(world.acme.organization);
    for number in 0..12 {
        let mut tx = db.begin::<Write, Tenant>(acme).await.unwrap();
        queue(&mut tx, &number.to_string(), Some("k"), false).await;
        queue(&mut tx, "other", Some("l"), false).await;
        tx.commit().await.unwrap();
    }
    let globex = TenantId::from(world.globex.organization);
    let mut tx = db.begin::<Write, Tenant>(globex).await.unwrap();
    queue(&mut tx, "of somebody else", Some("k"), false).await;
    tx.commit().await.unwrap();
    assert_eq!(world.database.count(WAITING).await, 3);
    assert_eq!(world.database.count("select sum(omitted)::bigint from jobs.queue").await, 4);
    let (one, two) = (
        "insert into jobs.queue (id, kind, owner, key, payloads, about, request_id)
         select gen_random_uuid(), kind, owner, key, payloads, about, request_id from jobs.queue where key = 'l'",
        "queue_key_unique",
    );
    let refused = sqlx::query(one).execute(&mut world.database.owner().await).await.unwrap_err();
    assert!(refused.to_string().contains(two), "{refused}");

    let mut process = Process::start(&world.database).await;
    let mut held = [process.next().await, process.next().await, process.next().await];
    held.sort_by_key(Held::what);
    assert_eq!(held[0].what(), "0+1+2+3+4+5+6+7+8+9");
    // What is being done takes up nothing: that would be lost with it.
    let mut tx = db.begin::<Write, Tenant>(acme).await.unwrap();
    queue(&mut tx, "after", Some("k"), false).await;
    tx.commit().await.unwrap();
    assert_eq!(world.database.count(WAITING).await, 4);
    let [first, ..] = held;
    first.say(Ok(()));
    let after = process.next().await;
    assert_eq!(after.what(), "after");
    // Given back untried it takes up more.
    after.say(Err(Failure::Postpone(Duration::from_hours(1))));
    world
        .until(
            "select count(*) from jobs.queue where key = 'k' and waiting and due_at > now() + interval '50 minutes'",
            1,
        )
        .await;
    let mut tx = db.begin::<Write, Tenant>(acme).await.unwrap();
    queue(&mut tx, "more", Some("k"), false).await;
    tx.commit().await.unwrap();
    assert_eq!(world.database.count("select count(*) from jobs.queue where cardinality(payloads) = 2").await, 1);
}

#[tokio::test]
async fn of_all_processes_one_queues_what_comes_again_and_once_in_a_period() {
    let world = World::start().await;
    let every = Some(Duration::from_hours(100_000));
    let mut one = Process::start_with(&world.database, every).await;
    let mut two = Process::start_with(&world.database, every).await;
    let held = tokio::select! { held = one.next() => held, held = two.next() => held };
    held.say(Ok(()));
    world.until(WAITING, 0).await;
    let mut three = Process::start_with(&world.database, every).await;
    assert!(one.finds_nothing().await && two.finds_nothing().await && three.finds_nothing().await);
    let before = "update jobs.periods set period = period - interval '1 microsecond' where kind = 'probe'";
    assert_eq!(world.change(before).await, 1);
    let mut next = Process::start_with(&world.database, every).await;
    let held = tokio::select! {
        held = one.next() => held, held = two.next() => held, held = three.next() => held, held = next.next() => held,
    };
    held.say(Ok(()));
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn a_producer_queues_jobs_only_for_its_bound_owner_and_reads_no_others() {
    let world = World::start().await;
    let mut owner = world.database.session().await;
    let (acme, globex, me) = (world.acme.organization, world.globex.organization, world.user("nora").await);
    let insert = |tenant: &str, owner: &str| {
        format!(
            "insert into jobs.queue (id, kind, tenant_id, owner, key, payloads, about, request_id)
             values (gen_random_uuid(), 'probe', {tenant}, '{owner}', 'k', array['null'::jsonb], '', gen_random_uuid())"
        )
    };
    let (of_acme, of_globex) =
        (insert(&format!("'{acme}'"), &acme.to_string()), insert(&format!("'{globex}'"), &globex.to_string()));
    let (mine, of_another) = (insert("null", &me.to_string()), insert("null", &Uuid::now_v7().to_string()));
    for (role, what, done) in [
        ("tenant_rows", &of_acme, true),
        ("tenant_rows", &of_globex, false),
        ("tenant_rows", &mine, false),
        ("account_rows", &mine, true),
        ("account_rows", &of_another, false),
        ("account_rows", &of_acme, false),
        ("identity_rows", &of_another, true),
        ("identity_rows", &of_acme, false),
        ("audit_rows", &mine, false),
    ] {
        let sql = format!(
            "begin; set local role {role}; set local app.tenant_id = '{acme}'; set local app.user_id = '{me}'; {what}; rollback"
        );
        let tried = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await;
        assert_eq!(tried.is_ok(), done, "{role}: {what}: {tried:?}");
        sqlx::raw_sql("rollback").execute(&mut owner).await.unwrap();
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{of_globex}; {of_another}"))).execute(&mut owner).await.unwrap();
    for role in ["tenant_rows", "account_rows"] {
        let sql =
            format!("begin; set local role {role}; set local app.tenant_id = '{acme}'; set local app.user_id = '{me}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.unwrap();
        let seen: i64 = sqlx::query_scalar("select count(key) from jobs.queue").fetch_one(&mut owner).await.unwrap();
        assert_eq!(seen, 0, "{role}");
        let deleted = sqlx::query("delete from jobs.queue").execute(&mut owner).await;
        assert!(deleted.is_err(), "{role} deletes no job");
        sqlx::raw_sql("rollback").execute(&mut owner).await.unwrap();
    }
}
