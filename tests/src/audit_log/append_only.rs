//! What was recorded stays: no role of the application and no slip of the owner changes or removes it.

use sqlx::Executor;

use crate::harness::World;

const LOGS: [&str; 2] = ["audit.events", "audit.decisions"];

fn changes(table: &str) -> [String; 4] {
    [
        format!("update {table} set at = now()"),
        format!("update {table} set at = now() where false"),
        format!("delete from {table}"),
        format!("truncate {table}"),
    ]
}

// control: OBS-02
#[tokio::test]
async fn no_role_of_the_application_changes_or_removes_a_record() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    for table in LOGS {
        for change in changes(table) {
            for role in ["tenant_rows", "account_rows", "identity_rows", "audit_rows", "jobs_rows", "web"] {
                let tried = format!(
                    "begin; set local role {role}; set local app.tenant_id = '{}'; {change}",
                    world.acme.organization
                );
                let refused = web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err().to_string();
                assert!(refused.contains("permission denied"), "{role}: {change}: {refused}");
                web.execute("rollback").await.unwrap();
            }
        }
    }
}

// control: OBS-02
#[tokio::test]
async fn the_owner_of_the_tables_does_not_change_or_remove_a_record_by_a_slip() {
    let world = World::start().await;
    let mut owner = world.database.session().await;
    for (role, table) in ["migrator", "owner"].into_iter().flat_map(|role| LOGS.map(|table| (role, table))) {
        // Columns that the database fills in cannot be written.
        let columns: String = sqlx::query_scalar(
            "select string_agg(attname, ', ') from pg_attribute
              where attrelid = $1::text::regclass and attnum > 0 and attgenerated = ''",
        )
        .bind(table)
        .fetch_one(&mut owner)
        .await
        .unwrap();
        let merge = format!(
            "insert into {table} ({columns}) select {columns} from {table} on conflict (id) do update set at = now()"
        );
        for change in changes(table).into_iter().chain([merge]) {
            let tried = format!("begin; set local role {role}; {change}");
            let refused = owner.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err().to_string();
            assert!(refused.contains("the audit log is append-only"), "{role}: {change}: {refused}");
            owner.execute("rollback").await.unwrap();
        }
    }
    assert_eq!(world.database.count("select count(*) from audit.events").await, 2, "what the seed recorded");
}

// control: OBS-02
#[tokio::test]
async fn an_organization_reads_its_own_part_of_the_log_alone() {
    let world = World::start().await;
    let (mut olivia, mut gus, mut nora) =
        (world.sign_in("olivia").await, world.sign_in("gus").await, world.sign_in("nora").await);
    assert_eq!(olivia.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(gus.get(&world.globex.contacts()).await.status, 200);
    assert_eq!(nora.get(&world.globex.contacts()).await.status, 404);
    world.settle_decisions().await;
    let of_nobody = "select count(*) from audit.decisions where tenant_id is null and action not like '%Passkey'";
    assert_eq!(world.database.count(of_nobody).await, 1);
    assert_eq!(
        world
            .database
            .count("select count(*) from audit.events where tenant_id is null and kind like 'sign_in.%'")
            .await,
        3
    );

    let mut web = world.database.web().await;
    for place in [world.acme, world.globex] {
        let bind = format!("begin; set local role tenant_rows; set local app.tenant_id = '{}'", place.organization);
        web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(bind))).await.unwrap();
        for table in LOGS {
            let sql = format!("select distinct tenant_id from {table}");
            let seen: Vec<Option<uuid::Uuid>> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut web).await.unwrap();
            assert_eq!(seen, [Some(place.organization)], "{table}");
        }
        web.execute("commit").await.unwrap();
    }
}
