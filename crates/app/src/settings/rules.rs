use audit::{Actor, Event};
use authz::Resource as _;
use serde_json::json;
use tenancy::{Mode, Tenant, Tx, Write};
use web::Result;

use crate::organizations::Organization;
use crate::why::Why;

/// How members of an organization may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// With a link by mail.
    pub(super) mail_links: bool,
}

pub(super) async fn load<M: Mode>(tx: &mut Tx<M, Tenant>) -> Result<Rules> {
    Ok(sqlx::query_as!(Rules, "select mail_links from tenant.organizations").fetch_one(&mut **tx).await?)
}

pub(super) async fn change(
    tx: &mut Tx<Write>,
    organization: &Organization,
    to: Rules,
    why: &Why,
    by: &Actor,
) -> Result<()> {
    sqlx::query!("update tenant.organizations set mail_links = $1", to.mail_links).execute(&mut **tx).await?;
    let details = why.details(json!({ "mail_links": to.mail_links }));
    let target = organization.entity().to_string();
    Event { kind: "organization.sign_in_changed", target, details }.record(tx, by).await?;
    Ok(())
}
