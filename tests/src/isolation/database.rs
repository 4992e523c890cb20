//! What the database itself keeps apart, seen from the application's own login.

use sqlx::{Executor, Row};
use uuid::Uuid;

use super::{OTHER_TABLES, bind, full, refusal, run, tenant_tables, tenants};
use crate::harness::World;

// control: TEN-01
// control: TEN-04
#[tokio::test]
async fn without_a_role_the_login_reaches_nothing() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    for table in tenant_tables(&world).await.iter().map(|table| &**table).chain(OTHER_TABLES) {
        let tried = run(&mut web, &format!("select from {table}")).await;
        assert!(refusal(tried).starts_with("42501 permission denied for schema"), "{table}");
    }
}

// control: TEN-01
#[tokio::test]
async fn bound_to_an_organization_a_transaction_sees_that_one_alone() {
    let world = full(World::start().await).await;
    let mut web = world.database.web().await;
    let tables = tenant_tables(&world).await;
    for place in [world.acme, world.globex] {
        bind(&mut web, place.organization).await;
        for table in &tables {
            assert_eq!(tenants(&mut web, table).await, [place.organization], "{table}");
        }
        web.execute("commit").await.unwrap();
    }
}

// control: TEN-01
#[tokio::test]
async fn unbound_is_an_error_on_a_fresh_connection_and_on_a_used_one() {
    let world = World::start().await;
    for table in tenant_tables(&world).await {
        let mut web = world.database.web().await;
        let unbound = format!("begin; set local role tenant_rows; select from {table}");
        let fresh = refusal(run(&mut web, &unbound).await);
        assert_eq!(fresh, "42704 unrecognized configuration parameter \"app.tenant_id\"", "{table}");
        web.execute("rollback").await.unwrap();

        bind(&mut web, world.acme.organization).await;
        web.execute("commit").await.unwrap();
        let used = refusal(run(&mut web, &unbound).await);
        assert_eq!(used, "22P02 invalid input syntax for type uuid: \"\"", "{table}");
    }
}

// control: TEN-01
#[tokio::test]
async fn a_savepoint_that_is_rolled_back_leaves_the_binding_as_it_was() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    bind(&mut web, world.acme.organization).await;
    let elsewhere = format!("savepoint s; set local app.tenant_id = '{}'", world.globex.organization);
    run(&mut web, &elsewhere).await.unwrap();
    web.execute("rollback to s").await.unwrap();
    assert_eq!(tenants(&mut web, "tenant.contacts").await, [world.acme.organization]);
    web.execute("rollback").await.unwrap();

    // What is bound only after a savepoint is unbound with it, and that is an error, not "no rows".
    run(&mut web, "begin; set local role tenant_rows; savepoint s").await.unwrap();
    run(&mut web, &format!("set local app.tenant_id = '{}'", world.acme.organization)).await.unwrap();
    web.execute("rollback to s").await.unwrap();
    assert!(refusal(run(&mut web, "select from tenant.contacts").await).starts_with("22P02"));
}

// control: TEN-01
#[tokio::test]
async fn rows_of_another_organization_are_neither_made_nor_changed() {
    let world = World::start().await;
    let (acme, globex) = (world.acme, world.globex);
    let theirs = world.contact(globex).await;
    let id = uuid::Uuid::now_v7();
    let tries = [
        format!(
            "insert into tenant.workspaces (tenant_id, id, name, name_key) values ('{}', '{id}', 'x', sha256('x'))",
            globex.organization
        ),
        format!("insert into tenant.organizations (tenant_id, name) values ('{id}', 'x')"),
        format!("update tenant.contacts set tenant_id = '{}'", globex.organization),
        format!(
            "insert into audit.events (id, tenant_id, kind, target) values ('{id}', '{}', 'x', 'x')",
            globex.organization
        ),
        format!("insert into audit.events (id, tenant_id, kind, target) values ('{id}', null, 'x', 'x')"),
    ];
    let mut web = world.database.web().await;
    for tried in tries {
        bind(&mut web, acme.organization).await;
        let refused = refusal(run(&mut web, &tried).await);
        assert!(refused.starts_with("42501 new row violates row-level security policy"), "{tried}: {refused}");
        web.execute("rollback").await.unwrap();
    }
    bind(&mut web, acme.organization).await;
    for nothing in [
        format!("update tenant.contacts set name = 'x' where id = '{theirs}'"),
        format!("delete from tenant.contacts where id = '{theirs}'"),
        format!("update tenant.organizations set name = 'x' where tenant_id = '{}'", globex.organization),
    ] {
        assert_eq!(run(&mut web, &nothing).await.unwrap(), 0, "{nothing}");
    }
    web.execute("commit").await.unwrap();
}

// control: TEN-01
#[tokio::test]
async fn a_foreign_key_does_not_reach_into_another_organization() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    bind(&mut web, world.acme.organization).await;
    let tried = format!(
        "set local app.user_id = '{0}';
         insert into tenant.contacts (id, workspace_id, name, created_by)
         values ('{0}', '{1}', 'x', '{0}')",
        uuid::Uuid::now_v7(),
        world.globex.workspace
    );
    let refused = refusal(run(&mut web, &tried).await);
    assert!(refused.starts_with("23503") && refused.contains("contacts_tenant_id_workspace_id_fkey"), "{refused}");
}

// control: TEN-01
#[tokio::test]
async fn what_is_unique_is_unique_in_one_organization() {
    let world = World::start().await;
    let (id, email): (uuid::Uuid, String) =
        sqlx::query_as("select id, email from tenant.contacts where tenant_id = $1 limit 1")
            .bind(world.globex.organization)
            .fetch_one(&mut world.database.owner().await)
            .await
            .unwrap();
    let mut web = world.database.web().await;
    bind(&mut web, world.acme.organization).await;
    run(&mut web, "delete from tenant.contacts").await.unwrap();
    // The id and the address of one of theirs: a refusal would tell that they have it.
    run(&mut web, &format!("set local app.user_id = '{id}'")).await.unwrap();
    let made = format!(
        "insert into tenant.contacts (id, workspace_id, name, email, created_by)
         values ('{id}', '{}', 'x', '{email}', '{id}')",
        world.acme.workspace
    );
    assert_eq!(run(&mut web, &made).await.unwrap(), 1);
    let again = refusal(run(&mut web, &made).await);
    assert!(again.starts_with("23505"), "{again}");
}

// control: TEN-01
#[tokio::test]
async fn no_role_empties_a_table_or_copies_into_it() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    for table in tenant_tables(&world).await.iter().map(|table| &**table).chain(OTHER_TABLES) {
        for role in ["tenant_rows", "account_rows", "identity_rows", "audit_rows", "jobs_rows", "janitor_rows"] {
            let tried = run(&mut web, &format!("begin; set local role {role}; truncate {table}")).await;
            assert!(refusal(tried).starts_with("42501 permission denied"), "{role}: {table}");
            web.execute("rollback").await.unwrap();
        }
    }
    bind(&mut web, world.acme.organization).await;
    let refused = match web.copy_in_raw("copy tenant.contacts from stdin").await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("COPY goes round the policies"),
    };
    assert!(refused.contains("COPY FROM not supported with row-level security"), "{refused}");
}

// control: TEN-01
#[tokio::test]
async fn copying_out_gives_the_own_rows_alone() {
    use futures_util::TryStreamExt;

    let world = World::start().await;
    let mut web = world.database.web().await;
    bind(&mut web, world.globex.organization).await;
    let copied = web.copy_out_raw("copy tenant.contacts (tenant_id) to stdout").await.unwrap();
    let copied: Vec<u8> =
        copied.try_fold(Vec::new(), async |all, part| Ok([all, part.to_vec()].concat())).await.unwrap();
    let copied = String::from_utf8(copied).unwrap();
    assert_eq!(copied.lines().count(), 5);
    assert!(copied.lines().all(|line| line == world.globex.organization.to_string()), "{copied}");
}

// control: TEN-04
#[tokio::test]
async fn each_role_reaches_its_own_tables_alone() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    let all = [
        "tenant.contacts",
        "identity.sessions",
        "identity.accounts",
        "identity.login_flows",
        "audit.events",
        "jobs.queue",
    ];
    let reaches = [
        ("tenant_rows", &["tenant.contacts", "identity.sessions", "audit.events", "jobs.queue"][..]),
        ("account_rows", &["identity.sessions", "jobs.queue"]),
        ("identity_rows", &["identity.sessions", "identity.accounts", "identity.login_flows", "jobs.queue"]),
        ("audit_rows", &[]),
        ("jobs_rows", &["jobs.queue"]),
        ("janitor_rows", &["identity.sessions", "identity.login_flows", "audit.events", "jobs.queue"]),
    ];
    for (role, own) in reaches {
        for table in all {
            web.execute("begin").await.unwrap();
            let bound = format!(
                "set local role {role}; set local app.tenant_id = '{}'; set local app.user_id = '{}'",
                world.acme.organization,
                Uuid::now_v7()
            );
            run(&mut web, &bound).await.unwrap();
            let seen = run(&mut web, &format!("select from {table}")).await;
            assert_eq!(seen.is_ok(), own.contains(&table), "{role}: {table}: {seen:?}");
            web.execute("rollback").await.unwrap();
        }
    }
}

// control: TEN-01
#[tokio::test]
async fn a_person_sees_names_of_colleagues_and_of_nobody_else() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    bind(&mut web, world.globex.organization).await;
    let seen = web.fetch_all("select display_name from identity.users order by 1").await.unwrap();
    let seen: Vec<&str> = seen.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, ["Adam Admin", "Gus Globex"]);
}
