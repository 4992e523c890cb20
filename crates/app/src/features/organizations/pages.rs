use askama::Template;
use authn::{Authn, SignedIn};
use authz::{Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Error, Field, FieldErrors, FormOnce, Link, Page, Result, Shell, see_other};

use super::organization::{self, Name};
use super::workspace;
use super::{CreateOrganization, CreateWorkspace, NewOrganization, ViewOrganization};
use crate::base::{Layout, Location, Organization, Role, ViewAccount, Workspace, personal};
use crate::features::one_time_key;

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

/// A form with only a name.
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
    authn.check_person_rate_limit(organization::ORGANIZATION_LIMIT, ok.who()).await?;
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
    links: Vec<Link>,
    may_create_workspace: bool,
    workspaces_url: String,
    panels: Vec<String>,
}

struct WorkspaceRow {
    name: String,
    /// Its address.
    url: Option<String>,
    /// What the features say about it.
    summary: Option<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewOrganization>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (viewer, registry) = (ok.viewer(), layout.registry());
    let (found, more_workspaces) = workspace::all(&mut tx).await?;
    let of = |found: workspace::Listed| Workspace { organization: ok.on().id, id: found.id, name: found.name };
    let found: Vec<Workspace> = found.into_iter().map(of).collect();
    let mut summaries = registry.hooks.summarize_workspaces(viewer, &mut tx, &found).await?;
    let row = |workspace: Workspace| {
        let (summary, name) = (summaries.remove(&workspace.id), workspace.name.clone());
        let location = Location { organization: ok.on().clone(), workspace: Some(workspace) };
        let url = registry.workspace_page().and_then(|page| location.url(page));
        WorkspaceRow { name, url, summary }
    };
    Ok(Page(Show {
        shell: layout.organization(&ok),
        organization: ok.on().name.clone(),
        workspaces: found.into_iter().map(row).collect(),
        more_workspaces,
        member_count: organization::member_count(&mut tx).await?,
        may_create_workspace: ok.can::<CreateWorkspace>(ok.on()),
        links: layout.links(&ok),
        workspaces_url: format!("{}/workspaces", ok.on().url()),
        panels: layout.panels(&ok, &mut tx).await?,
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
    fn page<A: authz::Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        value: &str,
        errors: &FieldErrors,
    ) -> Self {
        Self {
            shell: layout.organization(ok),
            form: NameForm::of(value, errors),
            action_url: format!("{}/workspaces", ok.on().url()),
            cancel_url: ok.on().url(),
        }
    }
}

pub(super) async fn new_workspace(ok: Authorized<FormFor<CreateWorkspace>>, layout: Layout) -> impl IntoResponse {
    Page(NewWorkspace::page(&ok, &layout, "", &FieldErrors::default()))
}

pub(super) async fn create_workspace(
    mut ok: Authorized<CreateWorkspace>,
    layout: Layout,
    FormOnce(input, key): FormOnce<NameInput>,
) -> Result<Response> {
    let refuse = |ok: &Authorized<CreateWorkspace>, errors: FieldErrors| -> Error {
        let page = NewWorkspace::page(ok, &layout, &input.name, &errors);
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
