use authz::{Decision, Viewer};
use std::collections::HashMap;
use tenancy::{Read, TenantId, Tx, WorkspaceId};
use web::Result;

use super::ListContacts;
use crate::base::{BoxFuture, Workspace};

/// Contacts of a workspace that are counted: to count all would read each one.
const MAX_COUNT: i64 = 1000;

/// How many contacts each workspace has, for people who may list them.
pub(super) fn of_workspaces<'a>(
    viewer: Viewer<'a>,
    tx: &'a mut Tx<Read>,
) -> BoxFuture<'a, Result<HashMap<WorkspaceId, String>>> {
    Box::pin(async move {
        let found = sqlx::query!(
            r#"select w.tenant_id as "organization: TenantId", w.id as "id: WorkspaceId",
                      (select count(*) from (select from tenant.contacts c
                                              where c.tenant_id = w.tenant_id and c.workspace_id = w.id limit 1001) few)
                        as "contacts!"
                 from tenant.workspaces w order by w.name collate "und-x-icu", w.id limit 201"#
        );
        let rows = found.fetch_all(&mut **tx).await?.into_iter();
        let may_list = |organization, id| {
            let workspace = Workspace { organization, id, name: String::new() };
            viewer.decision::<ListContacts>(&workspace) == Decision::Allow
        };
        let rows = rows.filter(|row| may_list(row.organization, row.id));
        Ok(rows.map(|row| (row.id, in_words(row.contacts))).collect())
    })
}

fn in_words(contacts: i64) -> String {
    match contacts {
        1 => "1 contact".to_owned(),
        few if few <= MAX_COUNT => format!("{few} contacts"),
        _ => "more than 1,000 contacts".to_owned(),
    }
}
