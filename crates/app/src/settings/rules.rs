use authz::Resource as _;
use serde_json::{Value, json};
use tenancy::{Mode, OnConstraint, Tenant, Tx, Write};
use web::{Error, Result};

use crate::approvals::CHANGED;
use crate::notices::{Doing, SIGN_IN_CHANGED};
use crate::why::Why;

/// How members of an organization may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// With a link by mail.
    pub(super) mail_links: bool,
    /// In no other way than with the provider that the organization brings.
    pub(super) enforces_sign_on: bool,
}

const NO_PROVIDER: Error =
    Error::Conflict("Nobody could sign in: the organization has no provider, or no verified domain.", None);

pub(super) async fn load<M: Mode>(tx: &mut Tx<M, Tenant>) -> Result<Rules> {
    let rules = sqlx::query_as!(Rules, "select mail_links, enforces_sign_on from tenant.organizations");
    Ok(rules.fetch_one(&mut **tx).await?)
}

pub(super) async fn change(tx: &mut Tx<Write>, to: Rules, why: &Why, doing: &Doing<'_>) -> Result<()> {
    let announcement = SIGN_IN_CHANGED.announce(tx, doing).await?;
    let Rules { mail_links, enforces_sign_on } = to;
    sqlx::query!(
        "update tenant.organizations set mail_links = $1, enforces_sign_on = $2",
        mail_links,
        enforces_sign_on
    )
    .execute(&mut **tx)
    .await
    .on_constraint("sign_on_enforced", || NO_PROVIDER)?;
    let details = why.details(json!({ "mail_links": mail_links, "enforces_sign_on": enforces_sign_on }));
    announcement.record(tx, doing.organization.entity().to_string(), details, &doing.who.actor()).await
}

/// Stops requiring the organization's provider, if it is still required and links by mail are what they were.
pub(crate) async fn relax(tx: &mut Tx<Write>, mail_links: bool, mut details: Value, doing: &Doing<'_>) -> Result<()> {
    let announcement = SIGN_IN_CHANGED.announce(tx, doing).await?;
    let relaxed = sqlx::query!(
        "update tenant.organizations set enforces_sign_on = false where enforces_sign_on and mail_links = $1",
        mail_links
    );
    if relaxed.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(CHANGED);
    }
    details["mail_links"] = json!(mail_links);
    details["enforces_sign_on"] = json!(false);
    announcement.record(tx, doing.organization.entity().to_string(), details, &doing.who.actor()).await
}
