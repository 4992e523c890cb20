//! The plans of the policies: evaluated once per query, planned again for each tenant, with an index that leads with the tenant.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::{Executor, PgConnection};

use super::{bind, full, run, tenant_tables, tenants};
use crate::harness::World;
use crate::structure::crates;

// control: TEN-01
#[tokio::test]
async fn a_cached_plan_does_not_keep_the_organization_it_was_made_for() {
    let world = full(World::start().await).await;
    let mut web = world.database.web().await;
    web.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let tables = tenant_tables(&world).await;
    // Prepared once on this connection, under the same text, and executed for both in turn.
    for _ in 0..3 {
        for place in [world.acme, world.globex] {
            bind(&mut web, place.organization).await;
            for table in &tables {
                assert_eq!(tenants(&mut web, table).await, [place.organization], "{table}");
            }
            web.execute("commit").await.unwrap();
        }
    }
    let prepared: i64 = sqlx::query_scalar("select count(*) from pg_prepared_statements where generic_plans >= 6")
        .fetch_one(&mut web)
        .await
        .unwrap();
    assert_eq!(prepared, i64::try_from(tables.len()).unwrap(), "the plans were generic and kept");
}

// control: TEN-01
#[tokio::test]
async fn the_policies_read_the_setting_once_per_query() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    bind(&mut web, world.acme.organization).await;
    let mut tables = tenant_tables(&world).await;
    tables.extend(["audit.decisions", "identity.users"].map(str::to_owned));
    for table in tables {
        let plan = explain(&mut web, &format!("select from {table}")).await;
        assert!(plan.contains("InitPlan"), "{table}:\n{plan}");
        assert!(!plan.contains("current_setting"), "{table} reads it for each row:\n{plan}");
    }
}

// control: TEN-01
#[tokio::test]
async fn the_list_of_contacts_and_its_search_use_the_indexes_that_lead_with_the_tenant() {
    let world = World::start().await;
    let mut owner = world.database.session().await;
    // 200 organizations with 100 contacts each, beside the seeded ones.
    owner
        .execute(
            "insert into tenant.organizations (tenant_id, name)
               select md5('o' || o)::uuid, 'Organization ' || o from generate_series(1, 200) o;
             insert into tenant.workspaces (tenant_id, id, name, name_key)
               select md5('o' || o)::uuid, md5('w' || o)::uuid, 'Main', sha256('Main') from generate_series(1, 200) o;
             insert into tenant.contacts (tenant_id, workspace_id, id, name, created_by)
               select md5('o' || o)::uuid, md5('w' || o)::uuid, md5(o || ' ' || c)::uuid, md5(c::text), md5('u')::uuid
                 from generate_series(1, 200) o, generate_series(1, 100) c;
             analyze tenant.contacts, tenant.contact_words",
        )
        .await
        .unwrap();
    let search = checked_queries().into_iter().find(|sql| sql.contains("from tenant.contact_words w")).unwrap();
    let list = checked_queries()
        .into_iter()
        .find(|sql| sql.contains("order by name collate \"und-x-icu\", id limit 21"))
        .unwrap();
    let mut web = world.database.web().await;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        bind(&mut web, world.acme.organization).await;
        run(&mut web, &format!("set local plan_cache_mode = {mode}")).await.unwrap();
        run(&mut web, &format!("prepare list as {list}")).await.unwrap();
        let asked = format!("execute list ('{}', '', '{}')", world.acme.workspace, uuid::Uuid::nil());
        let plan = explain(&mut web, &asked).await;
        assert!(plan.contains("Index Scan using contacts_by_name") && plan.contains("tenant_id = "), "{mode}:\n{plan}");
        assert!(!plan.contains("Sort"), "{mode}: a page is read in its order:\n{plan}");
        run(&mut web, &format!("prepare search as {search}")).await.unwrap();
        let asked = format!("execute search ('{}', 'zo', '', '{}')", world.acme.workspace, uuid::Uuid::nil());
        let plan = explain(&mut web, &asked).await;
        let scans = || plan.split("contact_words_find").skip(1);
        assert_eq!(scans().count(), 2, "{mode}:\n{plan}");
        for scan in scans() {
            let condition = scan.lines().find(|line| line.contains("Index Cond")).unwrap();
            for part in ["tenant_id = ", "workspace_id = ", "word >= ", "word < "] {
                assert!(condition.contains(part), "{mode}: {part}:\n{plan}");
            }
        }
        for index in ["contacts_by_name", "contact_words_pkey", "contacts_pkey"] {
            assert!(plan.contains(index), "{mode}: {index}:\n{plan}");
        }
        assert!(!plan.contains("Seq Scan"), "{mode}:\n{plan}");
        web.execute("rollback; deallocate all").await.unwrap();
    }
}

// control: TEN-10
#[tokio::test]
async fn no_checked_query_selects_everything_or_touches_the_binding() {
    let queries = checked_queries();
    for sql in queries {
        let text = sql.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for forbidden in ["select *", ".*", "set_config", "set local", "set session"] {
            assert!(!text.contains(forbidden), "{forbidden}: {sql}");
        }
        let first = text.split(' ').next().unwrap();
        assert!(["select", "with", "insert", "update", "delete"].contains(&first), "{sql}");
    }
}

/// Files of the product that send a query which the macros have not checked. This list only shrinks.
const UNCHECKED: [(&str, &str); 3] = [
    // Begin transactions and bind them.
    ("tenancy/src/authenticate.rs", "raw_sql"),
    ("tenancy/src/tx.rs", "raw_sql"),
    // Deletes what is over, by statements that are constants of the crates whose rows they are.
    ("jobs/src/janitor.rs", "sqlx::query("),
];

// control: TEN-10
#[test]
fn no_source_selects_everything_or_asks_an_unchecked_query() {
    let forbidden = ["select *", "sqlx::query(", "sqlx::query_as(", "sqlx::query_scalar(", "QueryBuilder", "raw_sql"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // The product does not link devkit.
    let crates = crates().into_iter().filter(|folder| !folder.ends_with("devkit")).map(|folder| folder.join("src"));
    let mut folders: Vec<_> = crates.chain([root.join("migrations")]).collect();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
            for forbidden in forbidden.iter().filter(|forbidden| text.contains(&forbidden.to_lowercase())) {
                let path = path.strip_prefix(root.join("crates")).unwrap_or(&path);
                found.insert((path.to_str().unwrap().to_owned(), *forbidden));
            }
        }
    }
    assert_eq!(found, UNCHECKED.map(|(path, query)| (path.to_owned(), query)).into());
}

/// The text of every query that the macros have checked.
fn checked_queries() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["query"].as_str().unwrap().to_owned()
    };
    std::fs::read_dir(folder).unwrap().map(read).collect()
}

async fn explain(connection: &mut PgConnection, sql: &str) -> String {
    let lines = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(format!("explain {sql}")));
    lines.persistent(false).fetch_all(connection).await.unwrap().join("\n")
}
