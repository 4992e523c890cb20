use authn::{AccountNotification, Authn, remove_factors};
use authz::{Action, Authorized, Entity, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, FormOnce, FormView, Input, Page, Result, see_other};

use super::pages::list_url;
use super::{FACTORS_RESET, ResetFactorsAlone};
use super::{Member, ResetFactors};
use crate::base::{
    AnnouncementContext, BoxFuture, Execution, FormPage, Justification, Layout, Organization, PendingAction, Role,
    STATE_CHANGED_ERROR, StoredAction,
};
use crate::features::approvals::{APPROVAL_LIMIT, ApprovalRequest, OWNER_RULE};
use crate::features::one_time_key;

/// How the reset of an admin is approved, for the page that requests it.
const SECOND_PERSON: &str = "This needs approval, because this member is an admin, or was an owner or admin until recently. \
    Somebody else who has been an owner or admin for three days has to approve it within a day.";

/// What the reset does.
const CONSEQUENCES: &str = "Their passkeys, their authenticator app and their recovery codes are removed, and all their \
    sessions end. They then sign in with the organization's provider and create a new passkey.";

const OWN_FACTORS_ERROR: Error = Error::Conflict(
    "This account is the person's own and not one of your provider, so nobody here can reset its passkeys and codes. \
     They recover it themselves.",
    None,
);

fn page<A: Action<On = Member>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let rule = if ok.on().role == Role::Owner.key() { OWNER_RULE } else { SECOND_PERSON };
    let alone = ok.can::<ResetFactorsAlone>(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: format!("Reset the passkeys and codes of {}?", ok.on().name),
        lead: if alone { CONSEQUENCES.into() } else { format!("{CONSEQUENCES} {rule}").into() },
        form,
        button: if alone { "Reset" } else { "Request approval" },
        removes: true,
        once: true,
        action_url: format!("{}/{}/reset-factors", list_url(ok.on()), ok.on().user),
        cancel_url: list_url(ok.on()),
    }
}

pub(super) async fn confirm(ok: Authorized<FormFor<ResetFactors>>, layout: Layout) -> Result<impl IntoResponse> {
    if !ok.on().managed {
        return Err(OWN_FACTORS_ERROR);
    }
    Ok(Page(page(&ok, &layout, Input::<Justification>::default().view())))
}

pub(super) async fn reset(
    mut ok: Authorized<ResetFactors>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| page(&ok, &layout, form))?;
    if !ok.on().managed {
        return Err(OWN_FACTORS_ERROR);
    }
    authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    let alone = ok.authorize_also::<ResetFactorsAlone>().await?;
    let membership = ok.member()?.membership.clone();
    let (url, name) = (list_url(ok.on()), &ok.on().name);
    let text = if alone {
        format!("The passkeys and codes of {name} were reset.")
    } else {
        format!("The passkeys and codes of {name} are reset once this is approved.")
    };
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    let action = FactorReset { member: ok.on().user, role: ok.on().role.clone() };
    let (organization, member, hooks) =
        (&Organization::of(&membership), Some(&*ok.on().name), &layout.registry().hooks);
    let request = ApprovalRequest { organization, action, member, justification: &justification, hooks, alone };
    request.submit(&mut tx, &authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

/// Removes the factors of a member whose account the organization's provider manages, if their role has not changed.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactorReset {
    member: UserId,
    role: String,
}

impl StoredAction for FactorReset {
    const KIND: &'static str = "reset_factors";
}

impl PendingAction for FactorReset {
    fn target(&self, _: TenantId) -> Uuid {
        self.member.uuid()
    }

    fn affects_owner(&self) -> bool {
        self.role == Role::Owner.key()
    }

    fn title(&self, member: &str) -> String {
        format!("Reset the passkeys and codes of {member}, {}", Role::label_of(&self.role))
    }

    fn consequences(&self) -> &'static str {
        CONSEQUENCES
    }

    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.reset(tx, execution))
    }
}

impl FactorReset {
    async fn reset(&self, tx: &mut Tx<Write>, execution: Execution<'_>) -> Result<()> {
        let Execution { authn, organization, mut details, who, .. } = execution;
        let found = sqlx::query!(
            r#"select u.managed_by = m.tenant_id as managed from tenant.memberships m join identity.users u on u.id = m.user_id
                where m.user_id = $1 and m.role = $2 for update of m"#,
            self.member.uuid(),
            self.role,
        );
        let found = found.fetch_optional(&mut **tx).await?.ok_or(STATE_CHANGED_ERROR)?;
        if found.managed != Some(true) {
            return Err(OWN_FACTORS_ERROR);
        }
        let name = execution.member.unwrap_or("a member");
        let page = organization.url();
        let doing = AnnouncementContext::new(authn, who, organization, &page).about_member(self.member);
        let removed = remove_factors(tx, self.member, "by the organization", authn.clock().now()).await?;
        details["member"] = json!(name);
        details["passkeys"] = json!(removed.passkeys);
        let target = Entity::new("Member", self.member).to_string();
        FACTORS_RESET.announce(tx, &doing, target, details).await?.record(tx).await?;
        authn.notify(tx, self.member, &AccountNotification::FactorsReset, who.context()).await
    }
}
