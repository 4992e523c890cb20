use sqlx::{Executor, PgConnection};

use super::{asked, decide};
use crate::harness::World;

/// A transaction as the application's, in Acme.
async fn bound(world: &World) -> PgConnection {
    let mut web = world.database.web().await;
    let bind = format!("set role tenant_rows; set app.tenant_id = '{}'", world.acme.organization);
    web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(bind))).await.unwrap();
    web
}

/// Lets it be somebody of the seed who writes.
async fn act_as(web: &mut PgConnection, world: &World, subject: &str) {
    let sql = format!("set app.user_id = '{}'", world.user(subject).await);
    web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
}

async fn refused(web: &mut PgConnection, sql: &str) -> String {
    let refused = web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.unwrap_err();
    let error = refused.as_database_error().unwrap();
    format!("{} {}", error.constraint().unwrap_or_default(), error.message())
}

// control: POL-06
#[tokio::test]
async fn a_request_for_approval_cannot_be_changed() {
    let world = World::start().await;
    let id = world.new_elevation(world.acme).await;
    let mut web = bound(&world).await;
    for set in [
        "user_id = approved_by",
        "session_id = id",
        "own_role = 'editor'",
        "role = 'admin'",
        "minutes = 60",
        "reason = 'Another'",
        "ticket = 'x'",
        "requested_at = now()",
        "expires_at = now()",
        "id = id",
    ] {
        let refused = refused(&mut web, &format!("update tenant.elevations set {set}")).await;
        assert!(refused.contains("permission denied"), "{set}: {refused}");
    }
    assert!(refused(&mut web, "delete from tenant.elevations").await.contains("permission denied"));
    let approved = "insert into tenant.elevations (id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at, approved_at)
                    select gen_random_uuid(), user_id, user_id, role, 'admin', 60, 'None', 'x', now(), now(), now() from tenant.memberships";
    assert!(refused(&mut web, approved).await.contains("permission denied"));
    let longer = "insert into tenant.elevations (id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at)
                  select gen_random_uuid(), user_id, user_id, role, 'admin', 61, 'None', 'x', now(), now() from tenant.memberships where role = 'editor'";
    assert!(refused(&mut web, longer).await.contains("check_author"), "in the name of somebody else");
    act_as(&mut web, &world, "erin").await;
    assert!(refused(&mut web, longer).await.contains("minutes_check"));
    let owner = longer.replace("'admin', 61", "'owner', 60");
    assert!(refused(&mut web, &owner).await.contains("role_check"));
    let approve = format!(
        "update tenant.elevations set approved_at = requested_at, approved_by = '{}' where id = '{id}'",
        world.user("olivia").await
    );
    assert!(refused(&mut web, &approve).await.contains("check_author"), "as somebody else");
    act_as(&mut web, &world, "olivia").await;
    web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(approve))).await.unwrap();
    for again in ["approved_at = requested_at + interval '1 hour'", "approved_at = null, approved_by = null"] {
        let refused = refused(&mut web, &format!("update tenant.elevations set {again}")).await;
        assert!(refused.contains("elevations_once"), "{again}: {refused}");
    }
    web.execute("update tenant.elevations set ended_at = now()").await.unwrap();
    assert!(refused(&mut web, "update tenant.elevations set ended_at = null").await.contains("elevations_once"));
}

// control: POL-06
#[tokio::test]
async fn nobody_approves_their_own() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let id = asked(&mut adam, "adam", &world, "finance", "15").await;
    let mut second = world.sign_in("adam").await;
    for client in [&mut adam, &mut second] {
        assert_eq!(decide(client, &world, id, "approve").await.status, 403);
    }
    // Not as an owner either, were the request still good.
    world.change("alter table tenant.memberships disable trigger end_elevations").await;
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    assert_eq!(decide(&mut adam, &world, id, "approve").await.status, 403);
    let mut tenant = bound(&world).await;
    act_as(&mut tenant, &world, "adam").await;
    let own =
        format!("update tenant.elevations set approved_by = user_id, approved_at = requested_at where id = '{id}'");
    assert!(refused(&mut tenant, &own).await.contains("elevations_by_another"));
    assert_eq!(world.database.count("select count(*) from tenant.elevations where approved_at is not null").await, 0);
}

// control: POL-06
#[tokio::test]
async fn what_is_looked_for_is_found_in_the_index_of_what_is_open() {
    let world = World::start().await;
    world.new_elevation(world.acme).await;
    let mut owner = world.database.session().await;
    owner.execute("set enable_seqscan = off; set enable_bitmapscan = off").await.unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select e.id from tenant.elevations e
          where e.tenant_id = gen_random_uuid() and e.user_id = gen_random_uuid() and e.ended_at is null",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("elevations_open_unique")), "{plan:?}");
}
