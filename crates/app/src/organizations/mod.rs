//! Organizations and their workspaces: which one belongs to, making new ones, and the overview of one.

mod deletion;
mod organization;
mod pages;
mod workspace;

use authz::{PolicySource, Routes};

use crate::Feature;

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
    /// Add a workspace to an organization.
    CreateWorkspace: Write on Organization;
    /// Delete it, with a second person.
    DeleteOrganization: Write on Organization;
}

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
    let policies = PolicySource {
        name: "organizations",
        schema: include_str!("../../../../policies/organizations.cedarschema"),
        policies: include_str!("../../../../policies/organizations.cedar"),
        actions: ACTIONS,
    };
    let events = &[
        ("organization.created", "Created the organization"),
        ("workspace.created", "Created a workspace"),
        ("organization.deleted", "Deleted the organization"),
    ];
    Feature { routes, policies: Some(policies), events, ..Feature::default() }
}
