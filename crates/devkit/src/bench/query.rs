//! The query of the contacts list, and its pool.

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

/// The pool. Handlers hold it directly, which the product never does.
#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
pub(super) type Pool = sqlx::PgPool;

#[derive(Serialize, sqlx::FromRow)]
pub(super) struct ContactRow {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) company: String,
}

pub(super) async fn select(
    database: impl PgExecutor<'_>,
    tenant: Uuid,
    workspace: Uuid,
) -> Result<Vec<ContactRow>, sqlx::Error> {
    sqlx::query_as(
        r#"select id, name, email, company from tenant.contacts
            where tenant_id = $4 and workspace_id = $1 and (name collate "und-x-icu", id) > ($2, $3)
            order by name collate "und-x-icu", id limit 21"#,
    )
    .bind(workspace)
    .bind("")
    .bind(Uuid::nil())
    .bind(tenant)
    .fetch_all(database)
    .await
}
