use authz::{Entity, PathParams, Resource};
use tenancy::{Membership, Read, RequestAccess, Tenant, TenantId, Tx, WorkspaceFacts, WorkspaceId};
use web::Result;

use super::Organization;

/// A workspace of an organization.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) organization: TenantId,
    pub(crate) id: WorkspaceId,
    pub(crate) name: String,
}

impl Workspace {
    pub(crate) fn url(&self) -> String {
        format!("/o/{}/w/{}", self.organization, self.id)
    }

    /// Returns the workspace in the path.
    pub(crate) fn of(membership: Option<&Membership>, workspace: Option<&WorkspaceFacts>) -> Option<Self> {
        let (membership, workspace) = (membership?, workspace?);
        Some(Self { organization: membership.tenant, id: workspace.id, name: workspace.name.clone() })
    }
}

impl Resource for Workspace {
    type Plane = Tenant;
    type View = super::ViewWorkspace;

    async fn load(_: &mut Tx<Read>, entry: &RequestAccess, _: &PathParams) -> Result<Option<Self>> {
        Ok(Self::of(entry.membership.as_ref(), entry.workspace.as_ref()))
    }

    fn entity(&self) -> Entity {
        Entity::new("Workspace", self.id).inside(Organization::as_entity(self.organization))
    }
}
