use audit::Actor;
use authz::Entity;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenancy::{OnConstraint, Read, Tx, WorkspaceId, Write};
use uuid::Uuid;
use web::{Error, Result, name_key};

use super::WORKSPACE_CREATED;
use crate::base::{ListQuery, lock_tenant_quota, truncate};

/// The maximum number of workspaces in an organization. Lists and searches read all of them.
const MAX_WORKSPACES: i64 = 1000;
const TOO_MANY_WORKSPACES_ERROR: Error = Error::Conflict("An organization has at most 1,000 workspaces.", None);

/// Adds a workspace, unless there are too many. Its name must be visibly different from every other name in the
/// organization. Otherwise the error is `taken`.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    name: &str,
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<WorkspaceId> {
    let id = WorkspaceId::new();
    lock_tenant_quota(tx).await?;
    let insert = sqlx::query!(
        "insert into tenant.workspaces (id, name, name_key)
         select $1, $2, $3 where (select count(*) from tenant.workspaces) < $4",
        id.uuid(),
        name,
        &name_key(name)[..],
        MAX_WORKSPACES,
    );
    let inserted = insert.execute(&mut **tx).await.on_constraint("workspaces_name_unique", taken)?;
    if inserted.rows_affected() == 0 {
        return Err(TOO_MANY_WORKSPACES_ERROR);
    }
    let target = Entity::new("Workspace", id).to_string();
    WORKSPACE_CREATED.record(tx, target, json!({ "name": name }), by).await?;
    Ok(id)
}

/// A workspace in a list.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct WorkspaceSummary {
    #[schemars(with = "Uuid")]
    pub(super) id: WorkspaceId,
    pub(super) name: String,
}

/// Returns one page of the workspaces that match `find`, and the URL of the next page below `list_url`.
pub(super) async fn page(
    tx: &mut Tx<Read>,
    find: &ListQuery,
    list_url: &str,
) -> Result<(Vec<WorkspaceSummary>, Option<String>)> {
    let found = sqlx::query_as!(
        WorkspaceSummary,
        r#"select w.id as "id: WorkspaceId", w.name from tenant.workspaces w
            where ($1 = '' or exists (select from unnest(tenant.words(w.name)) word
                                       where word >= $1 collate tenant.alike and word < ($1 || U&'\FFFF') collate tenant.alike))
              and (w.name collate "und-x-icu", w.id) > ($2, $3)
            order by w.name collate "und-x-icu", w.id limit 21"#,
        find.search_term(),
        find.after,
        find.after_id(),
    );
    Ok(find.page(found.fetch_all(&mut **tx).await?, list_url, |workspace| (&workspace.name, workspace.id.uuid())))
}

/// The maximum number of workspaces that the overview shows.
const MAX_SHOWN: usize = 200;

/// Returns the workspaces of the organization, by name, and whether there are more.
pub(super) async fn all(tx: &mut Tx<Read>) -> Result<(Vec<WorkspaceSummary>, bool)> {
    let found = sqlx::query_as!(
        WorkspaceSummary,
        r#"select w.id as "id: WorkspaceId", w.name from tenant.workspaces w order by w.name collate "und-x-icu", w.id limit 201"#
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}
