use authz::{Entity, PathParams, Resource};
use tenancy::{Read, RequestAccess, Tx, UserId};
use web::Result;

/// The resource of what a person owns outside any organization.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) owner: UserId,
}

impl Account {
    pub(crate) fn as_entity(owner: UserId) -> Entity {
        Entity::new("Account", owner).reference("owner", &Entity::new("User", owner))
    }
}

impl Resource for Account {
    type Plane = tenancy::Account;
    type View = super::ViewAccount;

    async fn load(_: &mut Tx<Read, tenancy::Account>, entry: &RequestAccess, _: &PathParams) -> Result<Option<Self>> {
        Ok(entry.user.map(|owner| Self { owner }))
    }

    fn entity(&self) -> Entity {
        Self::as_entity(self.owner)
    }
}
