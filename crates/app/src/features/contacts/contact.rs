use audit::Actor;
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use sqlx::types::Json;
use tenancy::{OnConstraint, Read, RequestAccess, Tenant, Tx, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::form::ContactForm;
use super::{CONTACT_CHANGED, CONTACT_CREATED, CONTACT_DELETED};
use crate::base::{DisplayActor, Hooks, Workspace};

/// A contact of a workspace.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(super) workspace: Workspace,
    pub(super) row: ContactRow,
}

/// A row of `tenant.contacts` as pages and the API show it, without its restricted fields.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ContactRow {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) company: String,
    pub(super) notes: String,
    /// The version, which counts changes. A change names the version that it started from.
    pub(super) version: i64,
    /// The member or the service account that added the contact.
    pub(super) created_by: Uuid,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    #[serde(skip)]
    creator: Option<String>,
    #[serde(skip)]
    creator_email: Option<String>,
    #[serde(skip)]
    creator_verified: Option<bool>,
}

impl ContactRow {
    /// Returns who added the contact. If that is not a person, or no longer one, the feature that owns the id knows the
    /// name.
    pub(super) async fn creator(&self, tx: &mut Tx<Read>, hooks: &Hooks) -> Result<DisplayActor> {
        let person = DisplayActor::person(self.creator.clone(), self.creator_email.as_deref(), self.creator_verified);
        let service = if self.creator.is_none() { hooks.name_actor(tx, self.created_by).await? } else { None };
        Ok(person.through(service))
    }
}

impl Contact {
    pub(super) fn url(&self) -> String {
        format!("{}/{}", list_url(&self.workspace), self.row.id)
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
        let row = sqlx::query_as!(
            ContactRow,
            r#"select c.id, c.name, c.email, c.phone, c.company, c.notes, c.version, c.created_by, c.created_at, c.updated_at,
                      u.display_name as "creator?", u.email as "creator_email?",
                      u.verified_email is not null as "creator_verified?"
                 from tenant.contacts c left join identity.users u on u.id = c.created_by
                where c.workspace_id = $1 and c.id = $2"#,
            workspace.id.uuid(),
            id,
        )
        .fetch_optional(&mut **tx)
        .await?;
        Ok(row.map(|row| Self { workspace, row }))
    }

    fn entity(&self) -> Entity {
        Entity::new("Contact", self.row.id)
            .reference("created_by", &Entity::new("Member", self.row.created_by))
            .inside(self.workspace.entity())
    }
}

/// The fields that need `ViewRestrictedFields`.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct RestrictedFields {
    tax_id: String,
    bank_account: String,
}

/// Returns the restricted fields. Call it only after `ViewRestrictedFields` was allowed.
pub(super) async fn restricted(tx: &mut Tx<Read>, contact: &Contact) -> Result<RestrictedFields> {
    sqlx::query_as!(
        RestrictedFields,
        "select tax_id, bank_account from tenant.contacts where workspace_id = $1 and id = $2",
        contact.workspace.id.uuid(),
        contact.row.id,
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Error::NotFound)
}

const SAME_EMAIL: &str = "contacts_email_unique";

/// Adds a contact. The columns are filled from the form by name, so two columns cannot be swapped. `taken` is the error
/// if another contact of the workspace has the email address.
pub(super) async fn insert(
    tx: &mut Tx<Write>,
    workspace: &Workspace,
    id: Uuid,
    form: &ContactForm,
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<()> {
    sqlx::query!(
        "insert into tenant.contacts (id, workspace_id, created_by, name, email, phone, company, notes)
         select $1, $2, $3, name, coalesce(email, ''), phone, company, notes
           from jsonb_populate_record(null::tenant.contacts, $4)",
        id,
        workspace.id.uuid(),
        by.member(),
        Json(form) as _,
    )
    .execute(&mut **tx)
    .await
    .on_constraint(SAME_EMAIL, taken)?;
    let target = Entity::new("Contact", id).to_string();
    let details = json!({ "workspace": workspace.name, "name": *form.name });
    CONTACT_CREATED.record(tx, target, details, by).await?;
    Ok(())
}

/// Changes a contact if it still has the version of the form. Restricted fields that are not in the form do not change.
/// Returns `false` if somebody else changed the contact in the meantime.
pub(super) async fn update(
    tx: &mut Tx<Write>,
    contact: &Contact,
    form: &ContactForm,
    by: &Actor,
    taken: impl FnOnce() -> Error,
) -> Result<bool> {
    let changed = sqlx::query!(
        "update tenant.contacts c
            set name = new.name, email = coalesce(new.email, ''), phone = new.phone, company = new.company, notes = new.notes,
                tax_id = coalesce(new.tax_id, c.tax_id), bank_account = coalesce(new.bank_account, c.bank_account),
                updated_at = now(), version = c.version + 1
           from jsonb_populate_record(null::tenant.contacts, $3) new
          where c.workspace_id = $1 and c.id = $2 and c.version = new.version",
        contact.workspace.id.uuid(),
        contact.row.id,
        Json(form) as _,
    )
    .execute(&mut **tx)
    .await
    .on_constraint(SAME_EMAIL, taken)?;
    if changed.rows_affected() == 0 {
        return Ok(false);
    }
    let (workspace, restricted) = (&contact.workspace.name, form.has_restricted());
    let details = json!({ "workspace": workspace, "name": *form.name, "restricted_fields": restricted });
    CONTACT_CHANGED.record(tx, contact.entity().to_string(), details, by).await?;
    Ok(true)
}

/// Deletes a contact. Returns [`Error::NotFound`] if it is already deleted.
pub(super) async fn delete(tx: &mut Tx<Write>, contact: &Contact, by: &Actor) -> Result<()> {
    let deleted = sqlx::query!(
        "delete from tenant.contacts where workspace_id = $1 and id = $2",
        contact.workspace.id.uuid(),
        contact.row.id,
    )
    .execute(&mut **tx)
    .await?;
    if deleted.rows_affected() == 0 {
        return Err(Error::NotFound);
    }
    let details = json!({ "workspace": contact.workspace.name, "name": contact.row.name });
    CONTACT_DELETED.record(tx, contact.entity().to_string(), details, by).await?;
    Ok(())
}
