use askama::Template;
use authn::{Authn, SignedIn};
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use web::{FormOnce, FormView, Input, Link, Page, Result, Shell, see_other};

use super::organization::{self, Name, OwnOrganization};
use super::workspace;
use super::{CreateOrganization, CreateWorkspace, NewOrganization, ViewOrganization};
use crate::base::{FormPage, Layout, Location, Organization, ViewAccount, Workspace, personal};
use crate::features::one_time_key;

pub(super) const LIST_PATH: &str = "/organizations";

#[derive(Template)]
#[template(path = "organizations/list.html")]
struct OrganizationsPage {
    shell: Shell,
    organizations: Vec<OwnOrganization>,
    more: bool,
    may_create: bool,
    links: Vec<Link>,
}

pub(super) async fn list(mut ok: Authorized<ViewAccount>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (organizations, more) = organization::own(&mut tx).await?;
    let may_create = ok.can::<CreateOrganization>(&NewOrganization::by(ok.who().user));
    let (shell, links) = (personal(ok.who()), layout.account_links(LIST_PATH));
    Ok(Page(OrganizationsPage { shell, organizations, more, may_create, links }))
}

web::form! {
    pub(super) struct OrganizationForm {
        name: Name {
            label: "Name", noun: "a name", autocomplete: "organization",
            hint: "What your colleagues call it. For example: Northwind Traders",
        },
    }
}

fn organization_page(who: &SignedIn, form: FormView) -> FormPage {
    FormPage {
        shell: personal(who),
        heading: "New organization".to_owned(),
        lead: "An organization is a space of its own. Nobody outside it can see what is inside.".into(),
        form,
        button: "Create organization",
        removes: false,
        once: true,
        action_url: LIST_PATH.to_owned(),
        cancel_url: LIST_PATH.to_owned(),
    }
}

pub(super) async fn new(ok: Authorized<FormFor<CreateOrganization>>) -> impl IntoResponse {
    Page(organization_page(ok.who(), Input::<OrganizationForm>::default().view()))
}

pub(super) async fn create(
    mut ok: Authorized<CreateOrganization>,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<OrganizationForm>>,
) -> Result<Response> {
    let OrganizationForm { name } = input.read(|form| organization_page(ok.who(), form))?;
    authn.check_person_rate_limit(organization::ORGANIZATION_LIMIT, ok.who()).await?;
    let (url, text) = (ok.on().url(), format!("{name} is ready. You are its owner."));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    organization::insert(&mut tx, ok.on(), &name, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

#[derive(Template)]
#[template(path = "organizations/show.html")]
struct OrganizationPage {
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
    /// The URL of the workspace.
    url: Option<String>,
    /// The features' summaries of the workspace.
    summary: Option<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewOrganization>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (viewer, registry) = (ok.viewer(), layout.registry());
    let (found, more_workspaces) = workspace::all(&mut tx).await?;
    let of =
        |found: workspace::WorkspaceSummary| Workspace { organization: ok.on().id, id: found.id, name: found.name };
    let found: Vec<Workspace> = found.into_iter().map(of).collect();
    let mut summaries = registry.hooks.summarize_workspaces(viewer, &mut tx, &found).await?;
    let row = |workspace: Workspace| {
        let (summary, name) = (summaries.remove(&workspace.id), workspace.name.clone());
        let location = Location { organization: ok.on().clone(), workspace: Some(workspace) };
        let url = registry.workspace_page().and_then(|page| location.url(page));
        WorkspaceRow { name, url, summary }
    };
    Ok(Page(OrganizationPage {
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

web::form! {
    pub(super) struct WorkspaceForm {
        name: Name { label: "Name", noun: "a name", hint: "For example: Suppliers, or Sales north" },
    }
}

fn workspace_page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        shell: layout.organization(ok),
        heading: "New workspace".to_owned(),
        lead: "A workspace holds the contacts of one team or one purpose.".into(),
        form,
        button: "Create workspace",
        removes: false,
        once: true,
        action_url: format!("{}/workspaces", ok.on().url()),
        cancel_url: ok.on().url(),
    }
}

pub(super) async fn new_workspace(ok: Authorized<FormFor<CreateWorkspace>>, layout: Layout) -> impl IntoResponse {
    Page(workspace_page(&ok, &layout, Input::<WorkspaceForm>::default().view()))
}

pub(super) async fn create_workspace(
    mut ok: Authorized<CreateWorkspace>,
    layout: Layout,
    FormOnce(input, key): FormOnce<Input<WorkspaceForm>>,
) -> Result<Response> {
    let WorkspaceForm { name } = input.read(|form| workspace_page(&ok, &layout, form))?;
    let (url, text) = (ok.on().url(), format!("The workspace {name} is ready."));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let exists = "There is a workspace of this name, or of one that looks like it.";
    let taken = || input.refuse(WorkspaceForm::FIELD.name, exists, |form| workspace_page(&ok, &layout, form));
    workspace::insert(&mut tx, &name, &ok.who().actor(), taken).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}
