use audit::Actor;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, Tx, UserId, Write};
use uuid::Uuid;
use web::{Email, Error, MultiLine, Result, SingleLine};

use super::{CONTACT_CHANGED, CONTACT_CREATED, CONTACT_DELETED};
use crate::base::{DisplayActor, Workspace};

/// Somebody the people of a workspace work with.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(super) workspace: Workspace,
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) company: String,
    pub(super) notes: String,
    pub(super) created_by: UserId,
    pub(super) creator: DisplayActor,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    /// Counts changes; a change names the version it started from.
    pub(super) version: i64,
}

impl Contact {
    pub(super) fn url(&self) -> String {
        format!("{}/{}", list_url(&self.workspace), self.id)
    }
}

pub(super) fn list_url(workspace: &Workspace) -> String {
    format!("{}/contacts", workspace.url())
}

impl Resource for Contact {
    type Plane = Tenant;
    type View = super::ViewContact;
    const DATA: Option<&'static str> = Some("internal");

    async fn load(tx: &mut Tx<Read>, entry: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let workspace = Workspace::of(entry.membership.as_ref(), entry.workspace.as_ref());
        let (Some(workspace), Some(id)) = (workspace, path.id::<Uuid>("contact")) else { return Ok(None) };
        let found = sqlx::query!(
            r#"select c.id, c.name, c.email, c.phone, c.company, c.notes, c.created_by as "created_by: UserId",
                      u.display_name as "creator?", u.email as "creator_email?",
                      u.verified_email is not null as "creator_verified?", a.name as "client?", c.created_at, c.updated_at, c.version
                 from tenant.contacts c left join identity.users u on u.id = c.created_by
                 left join tenant.api_clients a on a.tenant_id = c.tenant_id and a.id = c.created_by
                where c.workspace_id = $1 and c.id = $2"#,
            workspace.id.uuid(),
            id,
        )
        .fetch_optional(&mut **tx)
        .await?;
        Ok(found.map(|row| Self {
            workspace,
            id: row.id,
            name: row.name,
            email: row.email,
            phone: row.phone,
            company: row.company,
            notes: row.notes,
            created_by: row.created_by,
            creator: DisplayActor::person(row.creator, row.creator_email.as_deref(), row.creator_verified)
                .through(row.client),
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }))
    }

    fn entity(&self) -> Entity {
        Entity::new("Contact", self.id)
            .reference("created_by", &Entity::new("Member", self.created_by))
            .inside(self.workspace.entity())
    }
}

/// The fields everybody who edits may write, parsed.
#[derive(Debug)]
pub(super) struct NewContact {
    pub(super) name: SingleLine<1, 120>,
    pub(super) email: Option<Email>,
    pub(super) phone: SingleLine<0, 40>,
    pub(super) company: SingleLine<0, 120>,
    pub(super) notes: MultiLine<0, 4000>,
}

/// The fields that a policy of their own guards.
#[derive(Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub(super) struct Restricted<T = String> {
    pub(super) tax_id: T,
    pub(super) bank_account: T,
}

/// The restricted fields. Only for a page that asked for `ViewRestrictedFields`.
pub(super) async fn restricted(tx: &mut Tx<Read>, contact: &Contact) -> Result<Restricted> {
    sqlx::query_as!(
        Restricted,
        "select tax_id, bank_account from tenant.contacts where workspace_id = $1 and id = $2",
        contact.workspace.id.uuid(),
        contact.id,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::NotFound)
}

const SAME_EMAIL: &str = "contacts_email_unique";

/// Adds a contact. `taken` is the error for an e-mail address that another contact of the workspace has.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    workspace: &Workspace,
    (id, new): (Uuid, &NewContact),
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<()> {
    sqlx::query!(
        "insert into tenant.contacts (id, workspace_id, name, email, phone, company, notes, created_by)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id,
        workspace.id.uuid(),
        &*new.name,
        new.email.as_deref().unwrap_or_default(),
        &*new.phone,
        &*new.company,
        &*new.notes,
        by.member(),
    )
    .execute(&mut **tx)
    .await
    .on_constraint(SAME_EMAIL, taken)?;
    let target = Entity::new("Contact", id).to_string();
    let details = json!({ "workspace": workspace.name, "name": *new.name });
    CONTACT_CREATED.record(tx, target, details, by).await?;
    Ok(())
}

/// Changes a contact that still is at `version`. `false` where somebody else changed it in between.
pub(super) async fn update(
    tx: &mut Tx<Write>,
    contact: &Contact,
    version: i64,
    new: &NewContact,
    restricted: Option<&Restricted<SingleLine<0, 40>>>,
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<bool> {
    let changed = sqlx::query!(
        "update tenant.contacts
            set name = $4, email = $5, phone = $6, company = $7, notes = $8,
                tax_id = coalesce($9, tax_id), bank_account = coalesce($10, bank_account),
                updated_at = now(), version = version + 1
          where workspace_id = $1 and id = $2 and version = $3",
        contact.workspace.id.uuid(),
        contact.id,
        version,
        &*new.name,
        new.email.as_deref().unwrap_or_default(),
        &*new.phone,
        &*new.company,
        &*new.notes,
        restricted.map(|fields| &*fields.tax_id),
        restricted.map(|fields| &*fields.bank_account),
    )
    .execute(&mut **tx)
    .await
    .on_constraint(SAME_EMAIL, taken)?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    let details =
        json!({ "workspace": contact.workspace.name, "name": *new.name, "restricted_fields": restricted.is_some() });
    CONTACT_CHANGED.record(tx, contact.entity().to_string(), details, by).await?;
    Ok(true)
}

/// Deletes a contact. One that is gone already is [`Error::NotFound`].
pub(super) async fn delete(tx: &mut Tx<Write>, contact: &Contact, by: &Actor) -> Result<()> {
    let deleted = sqlx::query!(
        "delete from tenant.contacts where workspace_id = $1 and id = $2",
        contact.workspace.id.uuid(),
        contact.id,
    )
    .execute(&mut **tx)
    .await?;
    if deleted.rows_affected() == 0 {
        return Err(Error::NotFound);
    }
    let details = json!({ "workspace": contact.workspace.name, "name": contact.name });
    CONTACT_DELETED.record(tx, contact.entity().to_string(), details, by).await?;
    Ok(())
}
