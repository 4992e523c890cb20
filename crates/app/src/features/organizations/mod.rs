//! Organizations and their workspaces: the list of one's organizations, creating them, and their overview.

mod api;
mod deletion;
mod organization;
mod pages;
mod workspace;

use authz::Routes;

use crate::base::{Api, EventKind, Feature, Organization, Scope, Tab, ViewOrganization, policies};

use deletion::Deletion;
use organization::NewOrganization;

authz::actions! {
    /// Create an organization and become its owner.
    CreateOrganization: Write on NewOrganization;
    /// List the workspaces of an organization.
    ListWorkspaces: Read on Organization;
    /// Add a workspace to an organization.
    CreateWorkspace: Write on Organization;
    /// Delete the organization, with a second person.
    DeleteOrganization: Write on Organization;
    /// Delete it without a second person; asked in addition to `DeleteOrganization`.
    DeleteOrganizationAlone: Write on Organization;
}

const SCOPES: &[Scope] = &[Scope::of::<ListWorkspaces>("List workspaces")];

const ORGANIZATION_CREATED: EventKind = EventKind::new("organization.created", "Created the organization");
const WORKSPACE_CREATED: EventKind = EventKind::new("workspace.created", "Created a workspace");
const ORGANIZATION_DELETED: EventKind = EventKind::new("organization.deleted", "Deleted the organization");

pub(crate) fn feature() -> Feature {
    let one = Routes::new()
        .get("", pages::show)
        .get("/workspaces/new", pages::new_workspace)
        .post("/workspaces", pages::create_workspace)
        .get("/delete", deletion::confirm)
        .post("/delete", deletion::ask);
    let routes = Routes::new()
        .get("/organizations", pages::list)
        .get("/organizations/new", pages::new)
        .post("/organizations", pages::create)
        .and(one.under("/o/{organization}"));
    let api = Api::default().get(api::PATH, api::list, api::LIST);
    Feature::new("organizations")
        .policies(policies!("organizations", ACTIONS))
        .routes(routes)
        .api(api)
        .scopes(SCOPES)
        .events(&[ORGANIZATION_CREATED, WORKSPACE_CREATED, ORGANIZATION_DELETED])
        .limits(&[organization::ORGANIZATION_LIMIT])
        .pending_action::<Deletion>()
        .tab(Tab::to::<ViewOrganization>("Overview", "/o/{organization}"))
        .panel(deletion::PANEL)
}
