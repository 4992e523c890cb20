//! Contacts for clients of the API: the same fields, rules and functions as the pages, but for what takes a passkey.

use authz::Authorized;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tokens::ApiClient;
use uuid::Uuid;
use web::{Error, FieldErrors, Json, Result, StrictQuery};

use super::contact::{self, Contact, list_url};
use super::form::{ContactInput, EMAIL_TAKEN_ERROR, Parsed};
use super::list::{self, Found};
use super::{CreateContact, EditContact, ListContacts, ViewContact, ViewRestrictedFields};
use crate::base::{ListQuery, Operation, answer_schema, request_schema, requiring, without};

pub(super) const LIST: Operation = Operation {
    summary: "List and find contacts",
    description: "By name, 20 at a time.",
    query: Some(request_schema::<ListQuery>),
    answers: (200, Some(answer_schema::<Page>), &[]),
    ..Operation::NONE
};

pub(super) const SHOW: Operation = Operation {
    summary: "See a contact",
    description: "`tax_id` and `bank_account` are there only with the scope `ViewRestrictedFields`.",
    answers: (200, Some(answer_schema::<Shown>), &[]),
    ..Operation::NONE
};

const EMAIL_TAKEN_DESCRIPTION: &str =
    "Another contact of the workspace has this email address, or a field is not acceptable.";

pub(super) const CREATE: Operation = Operation {
    summary: "Add a contact",
    takes: Some((JSON, || without(request_schema::<ContactInput>(), "version"))),
    answers: (201, Some(answer_schema::<Created>), &[("Location", "Address of the contact.")]),
    refuses: &[(422, EMAIL_TAKEN_DESCRIPTION, None)],
    ..Operation::NONE
};

pub(super) const UPDATE: Operation = Operation {
    summary: "Change a contact",
    description: "Puts all fields in the place of those there are: one that is left out becomes empty. Name the `version` that \
                  the change begins with.",
    takes: Some((JSON, || requiring(request_schema::<ContactInput>(), "version"))),
    answers: (204, None, &[]),
    refuses: &[
        (409, "Somebody else has changed the contact since that version.", None),
        (422, EMAIL_TAKEN_DESCRIPTION, None),
    ],
    ..Operation::NONE
};

const JSON: &str = "application/json";

#[derive(JsonSchema, Serialize)]
struct Page {
    contacts: Vec<Found>,
    /// Address of the next page.
    next: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListContacts, ApiClient>,
    StrictQuery(find): StrictQuery<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = format!("/api/v1{}", list_url(ok.on()));
    let (contacts, next) = list::page(&mut tx, ok.on(), &find, &url).await?;
    Ok(Json(Page { contacts, next }))
}

#[derive(JsonSchema, Serialize)]
struct Shown<'a> {
    id: Uuid,
    name: &'a str,
    email: &'a str,
    phone: &'a str,
    company: &'a str,
    notes: &'a str,
    #[serde(flatten)]
    restricted: Option<contact::Restricted>,
    /// Counts changes.
    version: i64,
    /// The member or the service account that added it.
    created_by: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

pub(super) async fn show(mut ok: Authorized<ViewContact, ApiClient>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let sees = ok.authorize_also::<ViewRestrictedFields>().await?;
    let restricted = if sees { Some(contact::restricted(&mut tx, ok.on()).await?) } else { None };
    let Contact { id, name, email, phone, company, notes, version, .. } = ok.on();
    let (created_by, created_at, updated_at) = (ok.on().created_by.uuid(), ok.on().created_at, ok.on().updated_at);
    let (id, version) = (*id, *version);
    let shown =
        Shown { id, name, email, phone, company, notes, restricted, version, created_by, created_at, updated_at };
    Ok(Json(shown).into_response())
}

#[derive(JsonSchema, Serialize)]
struct Created {
    id: Uuid,
    version: i64,
}

fn taken(mut errors: FieldErrors) -> Error {
    errors.add("email", EMAIL_TAKEN_ERROR);
    Error::Invalid(errors, None)
}

pub(super) async fn create(
    mut ok: Authorized<CreateContact, ApiClient>,
    Json(input): Json<ContactInput>,
) -> Result<impl IntoResponse> {
    if input.has_restricted() {
        let text = "A new contact has no restricted fields. Make it first, then set them.";
        return Err(Error::NotPermitted(text.into(), None));
    }
    let mut errors = FieldErrors::default();
    if input.version.is_some() {
        errors.add("version", "A new contact has none.");
    }
    let parsed = input.parse(&mut errors).filter(|_| errors.is_empty());
    let Some(Parsed { contact: new, .. }) = parsed else { return Err(Error::Invalid(errors, None)) };
    let (mut tx, id) = (ok.begin().await?, Uuid::now_v7());
    contact::insert(&mut tx, ok.on(), (id, &new), &ok.who().actor(), || taken(errors)).await?;
    tx.commit().await?;
    let location = format!("/api/v1{}/{id}", list_url(ok.on()));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(Created { id, version: 1 })))
}

pub(super) async fn update(
    mut ok: Authorized<EditContact, ApiClient>,
    Json(input): Json<ContactInput>,
) -> Result<StatusCode> {
    // They take a person's passkey, as a deletion does.
    if input.has_restricted() {
        return Err(Error::Forbidden);
    }
    let mut errors = FieldErrors::default();
    if input.version.is_none() {
        errors.add("version", "Say which version of the contact this changes.");
    }
    let (Some(Parsed { contact: new, .. }), Some(version)) = (input.parse(&mut errors), input.version) else {
        return Err(Error::Invalid(errors, None));
    };
    let mut tx = ok.begin().await?;
    let by = ok.who().actor();
    if !contact::update(&mut tx, ok.on(), version, &new, None, &by, || taken(errors)).await? {
        return Err(Error::Conflict("This contact was changed by somebody else. Nothing was saved.", None));
    }
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
