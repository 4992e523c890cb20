//! Organizations and their workspaces: which one belongs to, making new ones, and the overview of one.

mod organization;
mod pages;
mod workspace;

use authz::{PolicySource, Routes};

use crate::Feature;

pub(crate) use organization::{NewOrganization, Organization};
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
}

pub(crate) fn feature() -> Feature {
    let one = Routes::new()
        .get("", pages::show)
        .get("/workspaces/new", pages::new_workspace)
        .post("/workspaces", pages::create_workspace);
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
    let events = &[("organization.created", "Created the organization"), ("workspace.created", "Created a workspace")];
    Feature { routes, policies: Some(policies), events }
}
