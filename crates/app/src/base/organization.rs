use authz::{Entity, PathParams, Resource};
use tenancy::{Membership, Read, RequestAccess, Tenant, TenantId, Tx, Write};
use web::Result;

/// An organization that a person belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Organization {
    pub(crate) id: TenantId,
    pub(crate) name: String,
}

impl Organization {
    pub(crate) fn of(membership: &Membership) -> Self {
        Self { id: membership.tenant, name: membership.organization.clone() }
    }

    pub(crate) fn url(&self) -> String {
        Self::url_of(self.id)
    }

    pub(crate) fn url_of(id: TenantId) -> String {
        format!("/o/{id}")
    }

    pub(crate) fn as_entity(id: TenantId) -> Entity {
        Entity::new("Organization", id)
    }
}

impl Resource for Organization {
    type Plane = Tenant;
    type View = super::ViewOrganization;

    async fn load(_: &mut Tx<Read>, entry: &RequestAccess, _: &PathParams) -> Result<Option<Self>> {
        Ok(entry.membership.as_ref().map(Self::of))
    }

    fn entity(&self) -> Entity {
        Self::as_entity(self.id)
    }
}

/// Locks the quotas of the organization until the transaction ends, so that parallel transactions do not exceed a
/// maximum. Call it first in a transaction: a transaction that waits here then holds no lock that others wait for.
///
/// # Errors
///
/// The database fails.
pub(crate) async fn lock_tenant_quota(tx: &mut Tx<Write>) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id')::uuid::text, 3))")
        .execute(&mut **tx)
        .await?;
    Ok(())
}
