use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{FieldErrors, FormOnce, FormView, Input, Page, Result, Shell, see_other};

use super::organization::Name;
use super::{DeleteOrganization, DeleteOrganizationAlone, ORGANIZATION_DELETED, Organization};
use crate::base::{
    BoxFuture, Execution, Justification, Layout, Panel, PanelRequest, PendingAction, STATE_CHANGED_ERROR, StoredAction,
};
use crate::features::approvals::{self, APPROVAL_LIMIT, ApprovalRequest, has_other_approver};
use crate::features::one_time_key;

/// The consequences of the deletion, for people.
const CONSEQUENCES: &str = "Everyone loses access immediately, including API clients. Its domains, its provider, its \
    invitations and its API clients are deleted, and the sessions that its provider began end. Contacts and the activity \
    record are kept, for the operator to restore or to erase.";

/// The link to the deletion, in the settings of the organization.
pub(super) const PANEL: Panel = Panel { on: "/o/{organization}/settings", render };

#[derive(Template)]
#[template(path = "organizations/delete_panel.html")]
struct DeletionPanel {
    url: String,
}

fn render(PanelRequest { viewer, location, .. }: PanelRequest<'_>) -> BoxFuture<'_, Result<Option<String>>> {
    Box::pin(async move {
        if !viewer.can::<DeleteOrganization>(&location.organization) {
            return Ok(None);
        }
        Ok(Some(DeletionPanel { url: format!("{}/delete", location.organization.url()) }.render()?))
    })
}

#[derive(Template)]
#[template(path = "organizations/delete.html")]
struct DeletionPage {
    shell: Shell,
    organization: String,
    consequences: &'static str,
    form: FormView,
    /// Whether another person could approve the deletion.
    has_other_approver: bool,
    action_url: String,
    cancel_url: String,
}

web::form! {
    pub(super) struct DeletionForm {
        name: Name {
            label: "Name of the organization", noun: "the name of the organization",
            hint: "Type it to confirm.",
        },
        justification: Justification,
    }
}

impl DeletionPage {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        has_other_approver: bool,
        form: FormView,
    ) -> Self {
        Self {
            shell: layout.organization(ok),
            organization: ok.on().name.clone(),
            consequences: CONSEQUENCES,
            form,
            has_other_approver,
            action_url: format!("{}/delete", ok.on().url()),
            cancel_url: format!("{}/settings", ok.on().url()),
        }
    }
}

pub(super) async fn confirm(
    mut ok: Authorized<FormFor<DeleteOrganization>>,
    layout: Layout,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let has_other_approver = has_other_approver(&mut tx, ok.who().user).await?;
    Ok(Page(DeletionPage::page(&ok, &layout, has_other_approver, Input::<DeletionForm>::default().view())))
}

pub(super) async fn delete(
    mut ok: Authorized<DeleteOrganization>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<DeletionForm>>,
) -> Result<Response> {
    let check = |form: &DeletionForm, errors: &mut FieldErrors| {
        if *form.name != *ok.on().name {
            errors.add(DeletionForm::FIELD.name, format!("Type the name of the organization: {}", ok.on().name));
        }
    };
    let form = input.read_with(check, |form| DeletionPage::page(&ok, &layout, true, form))?;
    authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    let alone = ok.authorize_also::<DeleteOrganizationAlone>().await?;
    let membership = ok.member()?.membership.clone();
    let url = approvals::list_url(ok.on());
    let text = "The organization will be deleted once this is approved.";
    let mut tx = one_time_key::begin(&mut ok, key, &url, text).await?;
    let action = Deletion { name: ok.on().name.clone() };
    let hooks = &layout.registry().hooks;
    let request = ApprovalRequest {
        organization: ok.on(),
        action,
        member: None,
        justification: &form.justification,
        hooks,
        alone,
    };
    request.submit(&mut tx, &authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, text))
}

/// The deletion of the organization. It happens only if the organization still has the name that was confirmed.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deletion {
    name: String,
}

impl StoredAction for Deletion {
    const KIND: &'static str = "delete_organization";
}

impl PendingAction for Deletion {
    fn target(&self, organization: TenantId) -> Uuid {
        organization.uuid()
    }

    fn ends_access_of(&self, _: UserId) -> bool {
        true
    }

    fn title(&self, _: &str) -> String {
        format!("Delete the organization {}", self.name)
    }

    fn consequences(&self) -> &'static str {
        CONSEQUENCES
    }

    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.delete(tx, execution))
    }
}

impl Deletion {
    async fn delete(&self, tx: &mut Tx<Write>, execution: Execution<'_>) -> Result<()> {
        let Execution { authn, organization, mut details, who, .. } = execution;
        let deleted = sqlx::query!(
            "update tenant.organizations set deleted_at = $1 where deleted_at is null and name = $2",
            authn.clock().now(),
            self.name
        );
        if deleted.execute(&mut **tx).await?.rows_affected() == 0 {
            return Err(STATE_CHANGED_ERROR);
        }
        details["name"] = json!(self.name);
        details["deleted"] = execution.hooks.delete_with_organization(tx, authn).await?.into();
        ORGANIZATION_DELETED.record(tx, organization.entity().to_string(), details, &who.actor()).await
    }
}
