//! Organizations and their workspaces: listing and creating them, and the overview of each.

mod api;
mod deletion;
mod organization;
mod pages;
mod workspace;

use authz::Routes;

use crate::base::{Api, Feature, FrameLink, Organization, Scope, Tab, ViewOrganization, events, policies};

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
    /// Delete it without a second person. Checked in addition to `DeleteOrganization`.
    DeleteOrganizationAlone: Write on Organization;
}

const SCOPES: &[Scope] = &[Scope::of::<ListWorkspaces>("List workspaces")];

events! {
    ORGANIZATION_CREATED: "organization.created", "Created the organization", "created the organization {name}";
    WORKSPACE_CREATED: "workspace.created", "Created a workspace", "created the workspace {name}";
    ORGANIZATION_DELETED: "organization.deleted", "Deleted the organization", "deleted the organization {name}";
}

pub(crate) fn feature() -> Feature {
    let one = Routes::new()
        .get("", pages::show)
        .get("/workspaces/new", pages::new_workspace)
        .post("/workspaces", pages::create_workspace)
        .get("/delete", deletion::confirm)
        .post("/delete", deletion::delete);
    let routes = Routes::new()
        .get(pages::LIST_PATH, pages::list)
        .get("/organizations/new", pages::new)
        .post(pages::LIST_PATH, pages::create)
        .and(one.under("/o/{organization}"));
    let api = Api::default().get(api::PATH, api::list, api::LIST);
    Feature::new("organizations")
        .policies(policies!("organizations", ACTIONS))
        .routes(routes)
        .api(api)
        .scopes(SCOPES)
        .events(EVENTS)
        .limits(&[organization::ORGANIZATION_LIMIT])
        .pending_action::<Deletion>()
        .frame_link(FrameLink::Organizations(pages::LIST_PATH))
        .tab(Tab::for_every_member("Overview", "/o/{organization}"))
        .panel(deletion::PANEL)
}
