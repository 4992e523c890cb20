//! Contacts for API clients. Fields, rules and functions are those of the pages, except for what needs a passkey.

use authz::Authorized;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use tokens::ApiClient;
use uuid::Uuid;
use web::{Error, FieldErrors, Input, Json, Result, StrictQuery, schema_of_form};

use super::contact::{self, ContactRow, list_url};
use super::form::{ContactForm, EMAIL_TAKEN_ERROR};
use super::list::{self, ContactSummary};
use super::{CreateContact, EditContact, ListContacts, ViewContact, ViewRestrictedFields};
use crate::base::{ListQuery, Operation, request_schema, requiring, response_schema, without};

pub(super) const LIST: Operation = Operation {
    summary: "List and find contacts",
    description: "By name, 20 at a time.",
    query: Some(request_schema::<ListQuery>),
    success: (200, Some(response_schema::<ContactList>), &[]),
    ..Operation::DEFAULT
};

pub(super) const SHOW: Operation = Operation {
    summary: "See a contact",
    description: "`tax_id` and `bank_account` are there only with the scope `ViewRestrictedFields`.",
    success: (200, Some(response_schema::<ContactJson>), &[]),
    ..Operation::DEFAULT
};

const EMAIL_TAKEN_DESCRIPTION: &str =
    "Another contact of the workspace has this email address, or a field is not acceptable.";

pub(super) const CREATE: Operation = Operation {
    summary: "Add a contact",
    request_body: Some((JSON, || without(schema_of_form::<ContactForm>(), ContactForm::FIELD.version))),
    success: (201, Some(response_schema::<ContactReference>), &[("Location", "Address of the contact.")]),
    error_responses: &[(422, EMAIL_TAKEN_DESCRIPTION, None)],
    ..Operation::DEFAULT
};

pub(super) const UPDATE: Operation = Operation {
    summary: "Change a contact",
    description: "Puts all fields in the place of those there are: one that is left out becomes empty. Name the `version` that \
                  the change begins with.",
    request_body: Some((JSON, || requiring(schema_of_form::<ContactForm>(), ContactForm::FIELD.version))),
    success: (204, None, &[]),
    error_responses: &[
        (409, "Somebody else has changed the contact since that version.", None),
        (422, EMAIL_TAKEN_DESCRIPTION, None),
    ],
    ..Operation::DEFAULT
};

const JSON: &str = "application/json";

#[derive(JsonSchema, Serialize)]
struct ContactList {
    contacts: Vec<ContactSummary>,
    /// The address of the next page.
    next: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListContacts, ApiClient>,
    StrictQuery(find): StrictQuery<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = format!("/api/v1{}", list_url(ok.on()));
    let (contacts, next) = list::page(&mut tx, ok.on(), &find, &url).await?;
    Ok(Json(ContactList { contacts, next }))
}

#[derive(JsonSchema, Serialize)]
struct ContactJson<'a> {
    #[serde(flatten)]
    contact: &'a ContactRow,
    #[serde(flatten)]
    restricted: Option<contact::RestrictedFields>,
}

pub(super) async fn show(mut ok: Authorized<ViewContact, ApiClient>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let sees = ok.authorize_also::<ViewRestrictedFields>().await?;
    let restricted = if sees { Some(contact::restricted(&mut tx, ok.on()).await?) } else { None };
    Ok(Json(ContactJson { contact: &ok.on().row, restricted }).into_response())
}

#[derive(JsonSchema, Serialize)]
struct ContactReference {
    id: Uuid,
    version: i64,
}

fn taken() -> Error {
    FieldErrors::of(ContactForm::FIELD.email, EMAIL_TAKEN_ERROR).into()
}

pub(super) async fn create(
    mut ok: Authorized<CreateContact, ApiClient>,
    Json(input): Json<Input<ContactForm>>,
) -> Result<impl IntoResponse> {
    if input.has_sensitive() {
        let text = "A new contact has no restricted fields. Make it first, then set them.";
        return Err(Error::NotPermitted(text.into(), None));
    }
    let form = input.parse(ContactForm::check_new)?;
    let (mut tx, id) = (ok.begin().await?, Uuid::now_v7());
    contact::insert(&mut tx, ok.on(), id, &form, &ok.who().actor(), taken).await?;
    tx.commit().await?;
    let location = format!("/api/v1{}/{id}", list_url(ok.on()));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(ContactReference { id, version: 1 })))
}

pub(super) async fn update(
    mut ok: Authorized<EditContact, ApiClient>,
    Json(input): Json<Input<ContactForm>>,
) -> Result<StatusCode> {
    // Restricted fields need a person's passkey, as deletion does.
    if input.has_sensitive() {
        return Err(Error::Forbidden);
    }
    let form = input.parse(ContactForm::check_change)?;
    let mut tx = ok.begin().await?;
    if !contact::update(&mut tx, ok.on(), &form, &ok.who().actor(), taken).await? {
        return Err(Error::Conflict("This contact was changed by somebody else. Nothing was saved.", None));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
