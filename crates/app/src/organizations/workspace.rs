use audit::{Actor, Event};
use authz::{Entity, Path, Resource};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenancy::{
    Membership, OnConstraint, Read, RequestAccess, Tenant, TenantId, Tx, WorkspaceFacts, WorkspaceId, Write,
};
use uuid::Uuid;
use web::{Error, Result, name_key};

use super::{Organization, add_in_turn};
use crate::paging::{Find, cut};

/// A workspace of an organization.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) organization: TenantId,
    pub(crate) id: WorkspaceId,
    pub(crate) name: String,
}

impl Workspace {
    pub(crate) fn url(&self) -> String {
        format!("/o/{}/w/{}", self.organization, self.id)
    }

    /// The workspace of the path.
    pub(crate) fn of(membership: Option<&Membership>, workspace: Option<&WorkspaceFacts>) -> Option<Self> {
        let (membership, workspace) = (membership?, workspace?);
        Some(Self { organization: membership.tenant, id: workspace.id, name: workspace.name.clone() })
    }
}

impl Resource for Workspace {
    type Plane = Tenant;
    type View = super::ViewWorkspace;

    async fn load(_: &mut Tx<Read>, entry: &RequestAccess, _: &Path) -> Result<Option<Self>> {
        Ok(Self::of(entry.membership.as_ref(), entry.workspace.as_ref()))
    }

    fn entity(&self) -> Entity {
        Entity::new("Workspace", self.id).inside(Organization::as_entity(self.organization))
    }
}

/// Most of one organization. Lists and searches go through all of them.
const MOST: i64 = 1000;
const TOO_MANY: Error = Error::Conflict("An organization has at most 1,000 workspaces.", None);

/// Adds a workspace, if there are not too many. Its name is unique in the organization, and looks like no other one's; otherwise
/// it is refused as `taken` says.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    name: &str,
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<WorkspaceId> {
    let id = WorkspaceId::new();
    add_in_turn(tx).await?;
    let insert = sqlx::query!(
        "insert into tenant.workspaces (id, name, name_key)
         select $1, $2, $3 where (select count(*) from tenant.workspaces) < $4",
        id.uuid(),
        name,
        &name_key(name)[..],
        MOST,
    );
    let inserted = insert.execute(&mut **tx).await.on_constraint("workspaces_name_unique", taken)?;
    if inserted.rows_affected() == 0 {
        return Err(TOO_MANY);
    }
    let target = Entity::new("Workspace", id).to_string();
    Event { kind: "workspace.created", target, details: json!({ "name": name }) }.record(tx, by).await?;
    Ok(id)
}

/// A workspace of the organization.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Listed {
    #[schemars(with = "Uuid")]
    id: WorkspaceId,
    name: String,
}

/// One page of those that `find` looks for, and the address of the next one below `list_url`.
pub(super) async fn page(tx: &mut Tx<Read>, find: &Find, list_url: &str) -> Result<(Vec<Listed>, Option<String>)> {
    let found = sqlx::query_as!(
        Listed,
        r#"select w.id as "id: WorkspaceId", w.name from tenant.workspaces w
            where ($1 = '' or exists (select from unnest(tenant.words(w.name)) word
                                       where word >= $1 collate tenant.alike and word < ($1 || U&'\FFFF') collate tenant.alike))
              and (w.name collate "und-x-icu", w.id) > ($2, $3)
            order by w.name collate "und-x-icu", w.id limit 21"#,
        find.sought(),
        find.after,
        find.after_id(),
    );
    Ok(find.page(found.fetch_all(&mut **tx).await?, list_url, |workspace| (&workspace.name, workspace.id.uuid())))
}

/// A workspace in the overview.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) id: WorkspaceId,
    pub(super) name: String,
    /// One more than [`COUNTED`] stands for all that are more.
    contacts: i64,
}

/// Contacts of a workspace that are counted: to count all would read each one.
const COUNTED: i64 = 1000;

impl Counted {
    pub(super) fn contacts_in_words(&self) -> String {
        match self.contacts {
            1 => "1 contact".to_owned(),
            few if few <= COUNTED => format!("{few} contacts"),
            _ => "more than 1,000 contacts".to_owned(),
        }
    }
}

/// Most that the overview shows.
const SHOWN: usize = 200;

/// The workspaces of the organization, by name, and whether there are more.
pub(super) async fn all(tx: &mut Tx<Read>) -> Result<(Vec<Counted>, bool)> {
    let found = sqlx::query_as!(
        Counted,
        r#"select w.id as "id: WorkspaceId", w.name,
                  (select count(*) from (select from tenant.contacts c
                                          where c.tenant_id = w.tenant_id and c.workspace_id = w.id limit 1001) few)
                    as "contacts!"
             from tenant.workspaces w order by w.name collate "und-x-icu", w.id limit 201"#
    );
    Ok(cut(found.fetch_all(&mut **tx).await?, SHOWN))
}
