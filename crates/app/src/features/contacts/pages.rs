use askama::Template;
use authz::{Authorized, Decision, FormFor};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;
use web::{
    DisplayEmail, Error, FieldErrors, Form, FormOnce, NoFields, Page, Result, Shell, format_datetime, see_other,
};

use super::contact::{self, Restricted, list_url};
use super::form::{ContactInput, FormPage, Parsed, outdated, taken};
use super::{CreateContact, DeleteContact, EditContact, EditRestrictedFields, ViewContact, ViewRestrictedFields};
use crate::base::{DisplayActor, Layout};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "contacts/show.html")]
struct Show {
    shell: Shell,
    contact: ShownContact,
    restricted: Option<Restricted>,
    /// Where a passkey would bring them to light.
    step_up_url: Option<String>,
    may_edit: bool,
    may_delete: bool,
    edit_url: String,
    delete_url: String,
    list_url: String,
}

struct ShownContact {
    name: String,
    email: DisplayEmail,
    phone: String,
    company: String,
    notes: String,
    created_at: String,
    updated_at: String,
    created_by: DisplayActor,
}

pub(super) async fn show(mut ok: Authorized<ViewContact>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let sees = ok.authorize_also::<ViewRestrictedFields>().await?;
    let restricted = if sees { Some(contact::restricted(&mut tx, ok.on()).await?) } else { None };
    let (may_edit, may_delete) = (ok.can::<EditContact>(ok.on()), ok.can::<DeleteContact>(ok.on()));
    let contact = ok.on();
    let url = contact.url();
    let step_up_url = match ok.decision::<ViewRestrictedFields>(contact) {
        Decision::StepUp(factor) => Some(factor.url(&url)),
        Decision::Allow | Decision::Deny => None,
    };
    Ok(Page(Show {
        shell: layout.organization(&ok),
        restricted,
        step_up_url,
        may_edit,
        may_delete,
        edit_url: format!("{url}/edit"),
        delete_url: format!("{url}/delete"),
        list_url: list_url(&contact.workspace),
        contact: ShownContact {
            name: contact.name.clone(),
            email: DisplayEmail::of_nobody(&contact.email),
            phone: contact.phone.clone(),
            company: contact.company.clone(),
            notes: contact.notes.clone(),
            created_at: format_datetime(contact.created_at),
            updated_at: format_datetime(contact.updated_at),
            created_by: contact.creator.clone(),
        },
    }))
}

pub(super) async fn new(ok: Authorized<FormFor<CreateContact>>, layout: Layout) -> impl IntoResponse {
    Page(FormPage::new(&ok, &layout, &ContactInput::default(), &FieldErrors::default()))
}

pub(super) async fn create(
    mut ok: Authorized<CreateContact>,
    layout: Layout,
    FormOnce(input, key): FormOnce<ContactInput>,
) -> Result<Response> {
    if input.has_restricted() {
        return Err(Error::Forbidden);
    }
    let mut errors = FieldErrors::default();
    if input.version.is_some() {
        errors.add("version", "A new contact has none.");
        return Err(Error::Invalid(errors, None));
    }
    let Some(Parsed { contact: new, .. }) = input.parse(&mut errors) else {
        let page = FormPage::new(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    let id = Uuid::now_v7();
    let (url, text) = (format!("{}/{id}", list_url(ok.on())), format!("{} was added.", new.name));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let taken = || taken(errors, |errors| FormPage::new(&ok, &layout, &input, errors));
    contact::insert(&mut tx, ok.on(), (id, &new), &ok.who().actor(), taken).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn edit(mut ok: Authorized<FormFor<EditContact>>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let writes = ok.authorize_also::<EditRestrictedFields>().await?;
    let restricted = if writes { Some(contact::restricted(&mut tx, ok.on()).await?) } else { None };
    let input = ContactInput::of(ok.on(), restricted);
    Ok(Page(FormPage::edit(&ok, &layout, &input, &FieldErrors::default())))
}

pub(super) async fn update(
    mut ok: Authorized<EditContact>,
    layout: Layout,
    Form(input): Form<ContactInput>,
) -> Result<Response> {
    if input.has_restricted() {
        ok.authorize::<EditRestrictedFields>(&ok.on().url(), &input).await?;
    }
    let mut errors = FieldErrors::default();
    let Some(version) = input.version else {
        errors.add("version", "Say which version of the contact this changes.");
        return Err(Error::Invalid(errors, None));
    };
    let Some(Parsed { contact: new, restricted }) = input.parse(&mut errors) else {
        let page = FormPage::edit(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    let mut tx = ok.begin().await?;
    let taken = || taken(errors, |errors| FormPage::edit(&ok, &layout, &input, errors));
    let by = ok.who().actor();
    if !contact::update(&mut tx, ok.on(), version, &new, restricted.as_ref(), &by, taken).await? {
        return Err(outdated(|errors| FormPage::edit(&ok, &layout, &input, errors)));
    }
    tx.commit().await?;
    Ok(see_other(&ok.on().url(), &format!("{} was saved.", new.name)))
}

#[derive(Template)]
#[template(path = "contacts/delete.html")]
struct Deletion {
    shell: Shell,
    name: String,
    action_url: String,
    cancel_url: String,
}

pub(super) async fn confirm_deletion(ok: Authorized<FormFor<DeleteContact>>, layout: Layout) -> impl IntoResponse {
    let url = ok.on().url();
    let action_url = format!("{url}/delete");
    Page(Deletion { shell: layout.organization(&ok), name: ok.on().name.clone(), action_url, cancel_url: url })
}

pub(super) async fn delete(mut ok: Authorized<DeleteContact>, Form(NoFields {}): Form<NoFields>) -> Result<Response> {
    let mut tx = ok.begin().await?;
    contact::delete(&mut tx, ok.on(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(&ok.on().workspace), &format!("{} was deleted.", ok.on().name)))
}
