use authz::Resource as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{Mode, OnConstraint, Tenant, TenantId, Tx, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::SIGN_IN_CHANGED;
use crate::base::{
    AnnouncementContext, BoxFuture, Execution, Justification, PendingAction, STATE_CHANGED_ERROR, StoredAction,
};

/// How members of an organization may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rules {
    /// Links by email are allowed.
    pub(super) allows_magic_links: bool,
    /// The organization's own provider is required.
    pub(super) requires_sso: bool,
}

const NO_PROVIDER_ERROR: Error =
    Error::Conflict("Nobody could sign in: the organization has no provider, or no verified domain.", None);

pub(super) async fn load<M: Mode>(tx: &mut Tx<M, Tenant>) -> Result<Rules> {
    let rules = sqlx::query_as!(
        Rules,
        r#"select settings @> '{"allows_magic_links": true}' as "allows_magic_links!",
                  settings @> '{"requires_sso": true}' as "requires_sso!" from tenant.organizations"#
    );
    Ok(rules.fetch_one(&mut **tx).await?)
}

pub(super) async fn change(
    tx: &mut Tx<Write>,
    to: Rules,
    justification: &Justification,
    doing: &AnnouncementContext<'_>,
) -> Result<()> {
    let details = justification.details(json!({
        "organization": doing.organization.name, "allows_magic_links": to.allows_magic_links, "requires_sso": to.requires_sso,
    }));
    let target = doing.organization.entity().to_string();
    let announcement = SIGN_IN_CHANGED.announce(tx, doing, target, details).await?;
    sqlx::query!(
        "update tenant.organizations
            set settings = settings || jsonb_build_object('allows_magic_links', $1::boolean, 'requires_sso', $2::boolean)",
        to.allows_magic_links,
        to.requires_sso
    )
    .execute(&mut **tx)
    .await
    .on_constraint("sso_requires_provider", || NO_PROVIDER_ERROR)?;
    announcement.record(tx).await
}

/// Stops requiring the organization's provider, if it is still required and the rule for links has not changed.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Relaxation {
    pub(super) allows_magic_links: bool,
}

impl StoredAction for Relaxation {
    const KIND: &'static str = "stop_requiring_sso";
}

impl PendingAction for Relaxation {
    fn target(&self, organization: TenantId) -> Uuid {
        organization.uuid()
    }

    fn title(&self, _: &str) -> String {
        "Stop requiring your own provider".to_owned()
    }

    fn consequences(&self) -> &'static str {
        if self.allows_magic_links {
            "Members can then sign in with any provider that is set up here, with a passkey, or with a link by email."
        } else {
            "Members can then sign in with any provider that is set up here, or with a passkey."
        }
    }

    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.stop_enforcing(tx, execution))
    }
}

impl Relaxation {
    async fn stop_enforcing(&self, tx: &mut Tx<Write>, execution: Execution<'_>) -> Result<()> {
        let Execution { authn, organization, mut details, who, .. } = execution;
        let (note, page) = ("The organization's own provider is not required any more.", organization.url());
        let doing = AnnouncementContext::new(authn, who, organization, &page).with_note(note);
        details["organization"] = json!(organization.name);
        details["allows_magic_links"] = json!(self.allows_magic_links);
        details["requires_sso"] = json!(false);
        let announcement = SIGN_IN_CHANGED.announce(tx, &doing, organization.entity().to_string(), details).await?;
        let relaxed = sqlx::query!(
            r#"update tenant.organizations set settings = settings || '{"requires_sso": false}'
                where settings @> '{"requires_sso": true}' and settings @> '{"allows_magic_links": true}' = $1"#,
            self.allows_magic_links
        );
        if relaxed.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(STATE_CHANGED_ERROR);
        }
        announcement.record(tx).await
    }
}
