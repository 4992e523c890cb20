//! Organizations and their workspaces: which one belongs to, making new ones, and the overview of one.

mod api;
mod deletion;
mod organization;
mod pages;
mod workspace;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::api::{Api, Scope};

pub(crate) use deletion::{DELETION, delete};
pub(crate) use organization::{NewOrganization, Organization, add_in_turn};
pub(crate) use workspace::Workspace;

authz::actions! {
    /// Make an organization and become its owner.
    CreateOrganization: Write on NewOrganization;
    /// See the overview of an organization.
    ViewOrganization: Read on Organization;
    /// Know that a workspace is there. What is in it is for the features to say.
    ViewWorkspace: Read on Workspace;
    /// See which workspaces an organization has.
    ListWorkspaces: Read on Organization;
    /// Add a workspace to an organization.
    CreateWorkspace: Write on Organization;
    /// Delete it, with a second person.
    DeleteOrganization: Write on Organization;
}

const SCOPES: &[Scope] = &[Scope::of::<ListWorkspaces>("List workspaces")];

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
    let policies = PolicySource {
        name: "organizations",
        schema: include_str!("../../../../policies/organizations.cedarschema"),
        policies: include_str!("../../../../policies/organizations.cedar"),
        actions: ACTIONS,
        context: None,
    };
    let events = &[
        ("organization.created", "Created the organization"),
        ("workspace.created", "Created a workspace"),
        ("organization.deleted", "Deleted the organization"),
    ];
    Feature { routes, api, scopes: SCOPES, policies: Some(policies), events, ..Feature::default() }
}
