//! Two organizations in one database: neither sees, changes or learns anything of the other.

mod database;
mod differential;
mod parity;
mod plans;
mod pooler;
mod transactions;

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::harness::{Samples, World};

/// Begins a transaction as the application does, for one organization.
async fn bind(connection: &mut PgConnection, tenant: Uuid) {
    let sql = format!("begin; set local role tenant_rows; set local app.tenant_id = '{tenant}'");
    run(connection, &sql).await.unwrap();
}

/// One simple message.
async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await?.rows_affected())
}

/// The code and the sentence of what the database refused.
fn refusal(result: Result<u64, sqlx::Error>) -> String {
    let error = result.expect_err("this is refused");
    let error = error.as_database_error().expect("the database refuses this");
    format!("{} {}", error.code().unwrap(), error.message())
}

/// The organizations whose rows of `table` a transaction sees.
async fn tenants(connection: &mut PgConnection, table: &str) -> Vec<Uuid> {
    let sql = format!("select distinct tenant_id from {table} order by 1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.unwrap()
}

/// The tables with rows of organizations: all of the schema `tenant`, and the events.
async fn tenant_tables(world: &World) -> Vec<String> {
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
                   where schemaname = 'tenant' or (schemaname, tablename) = ('audit', 'events') order by 1";
    sqlx::query_scalar(tables).fetch_all(&mut world.database.owner().await).await.unwrap()
}

/// Others that organizations have to do with.
const OTHER_TABLES: [&str; 3] = ["audit.decisions", "identity.users", "identity.sessions"];

/// A world in which each of the tables of organizations has rows of both.
async fn full(world: World) -> World {
    for place in [world.acme, world.globex] {
        Samples::of(&world, place).await;
    }
    let both = [world.acme.organization, world.globex.organization];
    let mut owner = world.database.owner().await;
    for table in tenant_tables(&world).await {
        let sql = format!("select count(distinct tenant_id) from {table} where tenant_id = any ($1)");
        let filled = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).bind(both).fetch_one(&mut owner).await;
        assert_eq!(
            filled.unwrap(),
            2,
            "no sample makes a row of {table}: say sample!(...) in the tests of its feature"
        );
    }
    drop(owner);
    world
}
