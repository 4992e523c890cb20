//! Two organizations in one database: neither sees, changes or learns anything of the other.

mod database;
mod differential;
mod parity;
mod plans;
mod pooler;
mod transactions;

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::harness::World;

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

/// Tables with rows of both organizations.
const TENANT_TABLES: [&str; 13] = [
    "tenant.organizations",
    "tenant.workspaces",
    "tenant.memberships",
    "tenant.former_members",
    "tenant.invitations",
    "tenant.domains",
    "tenant.identity_providers",
    "tenant.contacts",
    "tenant.contact_words",
    "tenant.api_clients",
    "tenant.elevations",
    "tenant.approvals",
    "audit.events",
];

/// A world in which each of them has rows of both.
async fn full(world: World) -> World {
    for place in [world.acme, world.globex] {
        world.new_invitation(place).await;
        world.new_domain(place).await;
        world.new_provider(place).await;
        world.new_client(place).await;
        world.new_elevation(place).await;
        world.new_approval(place).await;
        world.new_failed_job(place).await;
    }
    let left = "insert into tenant.former_members (tenant_id, user_id, left_at)
                select tenant_id, gen_random_uuid(), now() from tenant.organizations";
    world.change(left).await;
    world
}
