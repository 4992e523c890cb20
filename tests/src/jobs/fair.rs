//! In turns: nobody waits for what others have queued.

use super::*;

#[tokio::test]
async fn organizations_take_turns_even_if_one_has_queued_many_jobs() {
    let world = World::start().await;
    let many = "insert into jobs.queue (id, kind, tenant_id, owner, payloads, about, request_id)
                select gen_random_uuid(), 'probe', tenant_id, tenant_id, array[to_jsonb(name || n)], '', gen_random_uuid()
                  from tenant.organizations, generate_series(1, 3000) n where name = 'Acme'";
    assert_eq!(world.change(many).await, 3000);
    let mut process = Process::start(&world.database).await;
    let held = [process.next().await, process.next().await];
    assert!(process.finds_nothing().await, "one owner has half of the places");
    let db = connect(&world.database).await;
    queue_for(&db, world.globex.organization, "Globex").await;
    assert_eq!(process.next().await.what(), "Globex", "while all that Acme may have at once is being done");
    drop(held);
}

#[tokio::test]
async fn urgent_jobs_go_first() {
    let world = World::start().await;
    let db = connect(&world.database).await;
    let mut tx = db.begin::<Write, Tenant>(TenantId::from(world.acme.organization)).await.unwrap();
    for number in 0..20 {
        queue(&mut tx, &number.to_string(), None, false).await;
    }
    queue(&mut tx, "urgent", None, true).await;
    tx.commit().await.unwrap();
    let mut process = Process::start(&world.database).await;
    assert_eq!(process.next().await.what(), "urgent");

    // Also where every place is taken.
    let mut held = Vec::new();
    for place in [world.globex.organization, Uuid::now_v7(), Uuid::now_v7()] {
        let sql = "insert into jobs.queue (id, kind, owner, payloads, about, request_id)
                   values (gen_random_uuid(), 'probe', $1, array['null'::jsonb], '', gen_random_uuid())";
        sqlx::query(sql).bind(place).execute(&mut world.database.owner().await).await.unwrap();
    }
    for _ in 0..3 {
        held.push(process.next().await);
    }
    assert!(process.finds_nothing().await, "four places are taken");
    let mut tx = db.begin::<Write, Tenant>(TenantId::from(world.globex.organization)).await.unwrap();
    queue(&mut tx, "urgent too", None, true).await;
    tx.commit().await.unwrap();
    assert_eq!(process.next().await.what(), "urgent too");
}

// control: API-01
#[tokio::test]
async fn thousands_of_mails_of_one_organization_do_not_delay_the_link_of_somebody_else() {
    let world = World::start().await;
    world.sign_in("vera").await;
    assert_eq!(world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}' where name = 'Acme'").await, 1);
    let many = "insert into jobs.queue (id, kind, tenant_id, owner, payloads, about, request_id)
                select gen_random_uuid(), 'mail', tenant_id, tenant_id, array[jsonb_build_object(
                         'kind', 'test', 'to', 'x' || n || '@example.org', 'subject', 'x', 'text', 'x', 'urgent', false)],
                       '', gen_random_uuid()
                  from tenant.organizations, generate_series(1, 6150) n where name = 'Globex'";
    assert_eq!(world.change(many).await, 6150);
    let asked =
        world.stranger().post("/sign-in/link", &[("email", "vera@example.com"), ("return_to", "/account")]).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    world.told("vera@example.com", "Your link to sign in").await;
    let before = world.mailbox.messages().iter().filter(|mail| mail.subject == "x").count();
    assert!(before < 1_000, "the link came after {before} others");
}
