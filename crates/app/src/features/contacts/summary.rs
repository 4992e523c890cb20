use authz::{Decision, Viewer};
use std::collections::HashMap;
use tenancy::{Read, Tx, WorkspaceId};
use web::Result;

use super::ListContacts;
use crate::base::{BoxFuture, Workspace};

/// The maximum number of contacts that are counted. Counting all contacts would read each of them.
const MAX_COUNT: i64 = 1000;

/// Counts the contacts of each workspace, for people who may list them.
pub(super) fn of_workspaces<'a>(
    viewer: Viewer<'a>,
    tx: &'a mut Tx<Read>,
    workspaces: &'a [Workspace],
) -> BoxFuture<'a, Result<HashMap<WorkspaceId, String>>> {
    Box::pin(async move {
        let listed = workspaces.iter().filter(|one| viewer.decision::<ListContacts>(one) == Decision::Allow);
        let ids: Vec<_> = listed.map(|workspace| workspace.id.uuid()).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = sqlx::query!(
            r#"select w.id as "id: WorkspaceId",
                      (select count(*) from (select from tenant.contacts c
                                              where c.tenant_id = w.tenant_id and c.workspace_id = w.id limit 1001) few)
                        as "contacts!"
                 from tenant.workspaces w where w.id = any($1)"#,
            &ids,
        );
        let rows = found.fetch_all(&mut **tx).await?;
        Ok(rows.into_iter().map(|row| (row.id, in_words(row.contacts))).collect())
    })
}

fn in_words(contacts: i64) -> String {
    match contacts {
        1 => "1 contact".to_owned(),
        few if few <= MAX_COUNT => format!("{few} contacts"),
        _ => "more than 1,000 contacts".to_owned(),
    }
}
