use audit::Actor;
use authn::RateLimit;
use authz::{Entity, PathParams, Resource};
use chrono::Duration;
use serde_json::json;
use tenancy::{Read, RequestAccess, Tenant, TenantId, Tx, UserId, Write};
use web::{Error, Result, SingleLine};

use super::ORGANIZATION_CREATED;
use super::workspace;
use crate::base::{Account, Organization, Role, truncate};

/// An organization that the caller is about to create.
#[derive(Debug)]
pub(crate) struct NewOrganization {
    id: TenantId,
    owner: UserId,
}

impl Resource for NewOrganization {
    type Plane = Tenant;
    type View = super::CreateOrganization;

    async fn load(_: &mut Tx<Read>, entry: &RequestAccess, _: &PathParams) -> Result<Option<Self>> {
        Ok(entry.user.map(Self::by))
    }

    fn entity(&self) -> Entity {
        Account::as_entity(self.owner)
    }

    fn creates_tenant(&self) -> Option<TenantId> {
        Some(self.id)
    }
}

impl NewOrganization {
    pub(super) fn by(owner: UserId) -> Self {
        Self { id: TenantId::new(), owner }
    }

    /// Returns the URL of the organization.
    pub(super) fn url(&self) -> String {
        Organization::url_of(self.id)
    }
}

pub(crate) type Name = SingleLine<1, 80>;

/// Organizations that one person may create.
pub(super) const ORGANIZATION_LIMIT: RateLimit =
    RateLimit { name: "organization", burst: 10, period: Duration::hours(1) };

/// Creates the organization, its owner and its first workspace.
pub(super) async fn insert(tx: &mut Tx<Write>, new: &NewOrganization, name: &Name, by: &Actor) -> Result<()> {
    sqlx::query!("insert into tenant.organizations (tenant_id, name) values ($1, $2)", new.id.uuid(), &**name)
        .execute(&mut **tx)
        .await?;
    sqlx::query!("insert into tenant.memberships (user_id, role) values ($1, 'owner')", new.owner.uuid())
        .execute(&mut **tx)
        .await?;
    let target = Organization::as_entity(new.id).to_string();
    ORGANIZATION_CREATED.record(tx, target, json!({ "name": **name }), by).await?;
    workspace::insert(tx, "Main", by, || Error::internal("a new organization has a workspace already")).await?;
    Ok(())
}

/// An organization in a person's list of organizations.
#[derive(Debug)]
pub(super) struct OwnOrganization {
    id: TenantId,
    pub(super) name: String,
    role: String,
}

impl OwnOrganization {
    pub(super) fn url(&self) -> String {
        Organization::url_of(self.id)
    }

    pub(super) fn role_label(&self) -> &'static str {
        Role::label_of(&self.role)
    }
}

/// The maximum number of organizations that the page shows.
const MAX_SHOWN: usize = 500;

/// Returns the organizations of the person that the transaction is bound to, by name, and whether there are more.
pub(super) async fn own(tx: &mut Tx<Read, tenancy::Account>) -> Result<(Vec<OwnOrganization>, bool)> {
    let found = sqlx::query_as!(
        OwnOrganization,
        r#"select m.tenant_id as "id: TenantId", o.name, m.role
             from tenant.memberships m join tenant.organizations o on o.tenant_id = m.tenant_id
            order by o.name collate "und-x-icu", m.tenant_id limit 501"#
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

/// Returns the number of members.
pub(super) async fn member_count(tx: &mut Tx<Read>) -> Result<i64> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from tenant.memberships"#).fetch_one(&mut **tx).await?)
}
