use authz::Resource;
use tenancy::{Membership, WorkspaceFacts};

use super::{Organization, Workspace};

/// Where in the product a page is: in which organization, and in which of its workspaces.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) organization: Organization,
    pub(crate) workspace: Option<Workspace>,
}

/// A resource that a location names, so that the navigation can ask about it without loading anything.
pub(crate) trait InLocation: Resource {
    /// The one there. `None`: the location has none.
    fn at(location: &Location) -> Option<&Self>;
}

impl InLocation for Organization {
    fn at(location: &Location) -> Option<&Self> {
        Some(&location.organization)
    }
}

impl InLocation for Workspace {
    fn at(location: &Location) -> Option<&Self> {
        location.workspace.as_ref()
    }
}

impl Location {
    pub(crate) fn of(membership: &Membership, workspace: Option<&WorkspaceFacts>) -> Self {
        let organization = Organization::of(membership);
        Self { workspace: Workspace::of(Some(membership), workspace), organization }
    }

    /// The address of a page, with the location's ids in the place of the parameters of its path. `None` where the path has
    /// a parameter that the location does not have.
    pub(crate) fn url(&self, page: &str) -> Option<String> {
        let mut url = page.replace("{organization}", &self.organization.id.to_string());
        if let Some(workspace) = &self.workspace {
            url = url.replace("{workspace}", &workspace.id.to_string());
        }
        (!url.contains('{')).then_some(url)
    }
}
