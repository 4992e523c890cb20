use askama::Template;
use authn::{Authn, SignedIn};
use authz::{Authorized, Decision, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Error, Field, FieldErrors, FormOnce, Page, Result, Shell, see_other};

use super::organization::{self, Name, Organization};
use super::workspace::{self, Workspace};
use super::{CreateOrganization, CreateWorkspace, NewOrganization, ViewOrganization};
use crate::account::ViewAccount;
use crate::activity::{EventRow, ViewActivity, recent};
use crate::approvals::ListApprovals;
use crate::clients::ListClients;
use crate::contacts::ListContacts;
use crate::members::Role;
use crate::one_time_key;
use crate::settings::ViewSettings;
use crate::shell::{Nav, personal, shell};

#[derive(Template)]
#[template(path = "organizations/list.html")]
struct List {
    shell: Shell,
    organizations: Vec<ListRow>,
    more: bool,
    may_create: bool,
}

struct ListRow {
    name: String,
    url: String,
    role: &'static str,
}

pub(super) async fn list(mut ok: Authorized<ViewAccount>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (own, more) = organization::own(&mut tx).await?;
    let organizations = own.into_iter().map(|own| ListRow {
        url: Organization { id: own.id, name: String::new() }.url(),
        name: own.name,
        role: Role::label_of(&own.role),
    });
    let may_create = ok.can::<CreateOrganization>(&NewOrganization::by(ok.who().user));
    Ok(Page(List { shell: personal(ok.who()), organizations: organizations.collect(), more, may_create }))
}

/// A form with nothing but a name.
struct NameForm {
    name: Field,
}

impl NameForm {
    fn of(value: &str, errors: &FieldErrors) -> Self {
        Self { name: errors.field("name", value) }
    }

    fn has_errors(&self) -> bool {
        self.name.error.is_some()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameInput {
    name: String,
}

#[derive(Template)]
#[template(path = "organizations/new.html")]
struct New {
    shell: Shell,
    form: NameForm,
}

impl New {
    fn page(who: &SignedIn, value: &str, errors: &FieldErrors) -> Self {
        Self { shell: personal(who), form: NameForm::of(value, errors) }
    }
}

pub(super) async fn new(ok: Authorized<FormFor<CreateOrganization>>) -> impl IntoResponse {
    Page(New::page(ok.who(), "", &FieldErrors::default()))
}

pub(super) async fn create(
    mut ok: Authorized<CreateOrganization>,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<NameInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let Some(name) = errors.parse::<Name>("name", &input.name) else {
        let page = New::page(ok.who(), &input.name, &errors);
        return Err(errors.on_page(page));
    };
    authn.count_person(organization::MADE, ok.who()).await?;
    let (url, text) = (ok.on().url(), format!("{name} is ready. You are its owner."));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    organization::insert(&mut tx, ok.on(), &name, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

#[derive(Template)]
#[template(path = "organizations/show.html")]
struct Show {
    shell: Shell,
    organization: String,
    workspaces: Vec<WorkspaceRow>,
    more_workspaces: bool,
    member_count: i64,
    settings_url: Option<String>,
    approvals_url: Option<String>,
    clients_url: Option<String>,
    may_create_workspace: bool,
    workspaces_url: String,
    recent: Vec<EventRow>,
    show_activity: bool,
    activity_url: String,
}

struct WorkspaceRow {
    name: String,
    url: String,
    /// How many, in words.
    contacts: Option<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewOrganization>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let show_activity = ok.authorize_also::<ViewActivity>().await?;
    let row = |found: workspace::Counted| {
        let contacts = found.contacts_in_words();
        let workspace = Workspace { organization: ok.on().id, id: found.id, name: found.name };
        let sees_contacts = ok.decision::<ListContacts>(&workspace) == Decision::Allow;
        WorkspaceRow {
            url: format!("{}/contacts", workspace.url()),
            contacts: sees_contacts.then_some(contacts),
            name: workspace.name,
        }
    };
    let (workspaces, more_workspaces) = workspace::all(&mut tx).await?;
    Ok(Page(Show {
        shell: shell(&ok, Nav::Overview),
        organization: ok.on().name.clone(),
        workspaces: workspaces.into_iter().map(row).collect(),
        more_workspaces,
        member_count: organization::member_count(&mut tx).await?,
        may_create_workspace: ok.can::<CreateWorkspace>(ok.on()),
        clients_url: ok.can::<ListClients>(ok.on()).then(|| format!("{}/clients", ok.on().url())),
        approvals_url: ok.can::<ListApprovals>(ok.on()).then(|| format!("{}/approvals", ok.on().url())),
        settings_url: ok.can::<ViewSettings>(ok.on()).then(|| format!("{}/settings", ok.on().url())),
        workspaces_url: format!("{}/workspaces", ok.on().url()),
        recent: if show_activity { recent(&mut tx).await? } else { Vec::new() },
        show_activity,
        activity_url: format!("{}/activity", ok.on().url()),
    }))
}

#[derive(Template)]
#[template(path = "organizations/new_workspace.html")]
struct NewWorkspace {
    shell: Shell,
    form: NameForm,
    action_url: String,
    cancel_url: String,
}

impl NewWorkspace {
    fn page<A: authz::Action<On = Organization>>(ok: &Authorized<A>, value: &str, errors: &FieldErrors) -> Self {
        Self {
            shell: shell(ok, Nav::Overview),
            form: NameForm::of(value, errors),
            action_url: format!("{}/workspaces", ok.on().url()),
            cancel_url: ok.on().url(),
        }
    }
}

pub(super) async fn new_workspace(ok: Authorized<FormFor<CreateWorkspace>>) -> impl IntoResponse {
    Page(NewWorkspace::page(&ok, "", &FieldErrors::default()))
}

pub(super) async fn create_workspace(
    mut ok: Authorized<CreateWorkspace>,
    FormOnce(input, key): FormOnce<NameInput>,
) -> Result<Response> {
    let refuse = |ok: &Authorized<CreateWorkspace>, errors: FieldErrors| -> Error {
        let page = NewWorkspace::page(ok, &input.name, &errors);
        errors.on_page(page)
    };
    let mut errors = FieldErrors::default();
    let Some(name) = errors.parse::<Name>("name", &input.name) else {
        return Err(refuse(&ok, errors));
    };
    let (url, text) = (ok.on().url(), format!("The workspace {name} is ready."));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let taken = || {
        errors.add("name", "There is a workspace of this name, or of one that looks like it.");
        refuse(&ok, errors)
    };
    workspace::insert(&mut tx, &name, &ok.who().actor(), taken).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}
