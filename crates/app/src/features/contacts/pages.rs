use askama::Template;
use authz::{Authorized, Decision, FormFor};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;
use web::{Error, Form, FormOnce, FormView, Input, NoFields, Page, Result, Shell, filters, see_other};

use super::contact::{self, ContactRow, list_url};
use super::form::{ContactForm, EMAIL_TAKEN_ERROR};
use super::form_page::{ContactFormPage, outdated};
use super::{CreateContact, DeleteContact, EditContact, EditRestrictedFields, ViewContact, ViewRestrictedFields};
use crate::base::{DisplayActor, Layout};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "contacts/show.html")]
struct ContactPage<'a> {
    shell: Shell,
    contact: &'a ContactRow,
    creator: DisplayActor,
    /// The fields of the form, with the current values.
    details: FormView,
    /// The page to verify a passkey before the restricted fields are shown.
    step_up_url: Option<String>,
    may_edit: bool,
    may_delete: bool,
    url: String,
    list_url: String,
}

pub(super) async fn show(mut ok: Authorized<ViewContact>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let mut fields = Input::<ContactForm>::of(&ok.on().row)?;
    if ok.authorize_also::<ViewRestrictedFields>().await? {
        fields = fields.and(&contact::restricted(&mut tx, ok.on()).await?)?;
    }
    let (contact, url) = (ok.on(), ok.on().url());
    let creator = contact.row.creator(&mut tx, &layout.registry().hooks).await?;
    let step_up_url = match ok.decision::<ViewRestrictedFields>(contact) {
        Decision::StepUp(factor) => Some(factor.url(&url)),
        Decision::Allow | Decision::Deny => None,
    };
    Ok(Page(ContactPage {
        shell: layout.organization(&ok),
        contact: &contact.row,
        creator,
        details: fields.view(),
        step_up_url,
        may_edit: ok.can::<EditContact>(contact),
        may_delete: ok.can::<DeleteContact>(contact),
        url,
        list_url: list_url(&contact.workspace),
    })
    .into_response())
}

pub(super) async fn new(ok: Authorized<FormFor<CreateContact>>, layout: Layout) -> impl IntoResponse {
    Page(ContactFormPage::new(&ok, &layout, Input::<ContactForm>::default().view()))
}

pub(super) async fn create(
    mut ok: Authorized<CreateContact>,
    layout: Layout,
    FormOnce(input, key): FormOnce<Input<ContactForm>>,
) -> Result<Response> {
    if input.has_sensitive() {
        return Err(Error::Forbidden);
    }
    let form = input.read_with(ContactForm::check_new, |form| ContactFormPage::new(&ok, &layout, form))?;
    let id = Uuid::now_v7();
    let (url, text) = (format!("{}/{id}", list_url(ok.on())), format!("{} was added.", form.name));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let taken =
        || input.refuse(ContactForm::FIELD.email, EMAIL_TAKEN_ERROR, |form| ContactFormPage::new(&ok, &layout, form));
    contact::insert(&mut tx, ok.on(), id, &form, &ok.who().actor(), taken).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn edit(mut ok: Authorized<FormFor<EditContact>>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let mut input = Input::<ContactForm>::of(&ok.on().row)?;
    if ok.authorize_also::<EditRestrictedFields>().await? {
        input = input.and(&contact::restricted(&mut tx, ok.on()).await?)?;
    }
    Ok(Page(ContactFormPage::edit(&ok, &layout, input.view())))
}

pub(super) async fn update(
    mut ok: Authorized<EditContact>,
    layout: Layout,
    Form(input): Form<Input<ContactForm>>,
) -> Result<Response> {
    if input.has_sensitive() {
        ok.authorize::<EditRestrictedFields>(&ok.on().url(), &input).await?;
    }
    let form = input.read_with(ContactForm::check_change, |form| ContactFormPage::edit(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let taken =
        || input.refuse(ContactForm::FIELD.email, EMAIL_TAKEN_ERROR, |form| ContactFormPage::edit(&ok, &layout, form));
    if !contact::update(&mut tx, ok.on(), &form, &ok.who().actor(), taken).await? {
        return Err(outdated(&input, |form| ContactFormPage::edit(&ok, &layout, form)));
    }
    tx.commit().await?;
    Ok(see_other(&ok.on().url(), &format!("{} was saved.", form.name)))
}

#[derive(Template)]
#[template(path = "contacts/delete.html")]
struct DeletionPage<'a> {
    shell: Shell,
    name: &'a str,
    url: String,
}

pub(super) async fn confirm_deletion(ok: Authorized<FormFor<DeleteContact>>, layout: Layout) -> Response {
    let (name, url) = (&*ok.on().row.name, ok.on().url());
    Page(DeletionPage { shell: layout.organization(&ok), name, url }).into_response()
}

pub(super) async fn delete(mut ok: Authorized<DeleteContact>, Form(NoFields {}): Form<NoFields>) -> Result<Response> {
    let mut tx = ok.begin().await?;
    contact::delete(&mut tx, ok.on(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&list_url(&ok.on().workspace), &format!("{} was deleted.", ok.on().row.name)))
}
