use askama::Template;
use audit::{Actor, Event};
use authn::Authn;
use authz::{Action, Authorized, FormFor, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tenancy::{Tx, Write};
use web::{Field, FieldErrors, FormOnce, Page, Result, Shell, see_other};

use super::{DeleteOrganization, Organization};
use crate::approvals::{CHANGED, DeleteOrganizationAlone, REQUESTS, Request, Wanted, others_decide};
use crate::one_time_key;
use crate::shell::{Nav, shell};
use crate::why::{Why, WhyFields};

/// What happens.
pub(crate) const DELETION: &str = "From then on nobody gets in, and no client of the API. Its domains, its provider, its \
    invitations and its API clients are deleted, and the sessions that its provider began end. Contacts and the activity \
    record are kept, for the operator to restore or to erase.";

#[derive(Template)]
#[template(path = "organizations/delete.html")]
struct Deletion {
    shell: Shell,
    organization: String,
    consequences: &'static str,
    form: DeletionForm,
    /// Somebody else could approve it.
    others: bool,
    action_url: String,
    cancel_url: String,
}

struct DeletionForm {
    name: Field,
    why: WhyFields,
}

impl DeletionForm {
    fn has_errors(&self) -> bool {
        self.name.error.is_some() || self.why.have_errors()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    name: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl Deletion {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        input: &Input,
        others: bool,
        errors: &FieldErrors,
    ) -> Self {
        Self {
            shell: shell(ok, Nav::Overview),
            organization: ok.on().name.clone(),
            consequences: DELETION,
            form: DeletionForm {
                name: errors.field("name", &*input.name),
                why: WhyFields::of(&input.reason, &input.ticket, errors),
            },
            others,
            action_url: format!("{}/delete", ok.on().url()),
            cancel_url: format!("{}/settings", ok.on().url()),
        }
    }
}

pub(super) async fn confirm(mut ok: Authorized<FormFor<DeleteOrganization>>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let others = others_decide(&mut tx, ok.who().user).await?;
    Ok(Page(Deletion::page(&ok, &Input::default(), others, &FieldErrors::default())))
}

pub(super) async fn ask(
    mut ok: Authorized<DeleteOrganization>,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    if input.name.trim() != ok.on().name {
        errors.add("name", format!("Type the name of the organization: {}", ok.on().name));
    }
    let why = Why::read(&mut errors, &input.reason, &input.ticket);
    let (Some(why), true) = (why, errors.is_empty()) else {
        let page = Deletion::page(&ok, &input, true, &errors);
        return Err(errors.on_page(page));
    };
    authn.count_person(REQUESTS, ok.who()).await?;
    let alone = ok.authorize_also::<DeleteOrganizationAlone>().await?;
    let membership = ok.member()?.membership.clone();
    let url = format!("{}/approvals", ok.on().url());
    let text = "The organization will be deleted once this is approved.";
    let mut tx = one_time_key::begin(&mut ok, key, &url, text).await?;
    let wanted = Wanted::DeleteOrganization { name: ok.on().name.clone() };
    let request = Request { organization: ok.on(), wanted, member: None, why: &why, alone };
    request.submit(&mut tx, &authn, ok.who(), &membership).await?;
    tx.commit().await?;
    Ok(see_other(&url, text))
}

/// Deletes it for everybody, if it still has the name by which it was asked for.
pub(crate) async fn delete(
    tx: &mut Tx<Write>,
    authn: &Authn,
    (organization, name): (&Organization, &str),
    mut details: Value,
    by: &Actor,
) -> Result<()> {
    let now = authn.clock().now();
    authn.end_sign_on_sessions(tx, "the organization was deleted").await?;
    let deleted = sqlx::query!(
        "update tenant.organizations set deleted_at = $1 where deleted_at is null and name = $2",
        now,
        name
    );
    if deleted.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(CHANGED);
    }
    sqlx::query!("delete from tenant.sign_on").execute(&mut **tx).await?;
    let domains = sqlx::query!("delete from tenant.domains").execute(&mut **tx).await?.rows_affected();
    let invitations = sqlx::query!("delete from tenant.invitations").execute(&mut **tx).await?.rows_affected();
    let clients = sqlx::query!("delete from tenant.api_clients").execute(&mut **tx).await?.rows_affected();
    details["name"] = json!(name);
    details["deleted"] = json!({ "domains": domains, "invitations": invitations, "clients": clients });
    let target = organization.entity().to_string();
    Event { kind: "organization.deleted", target, details }.record(tx, by).await?;
    Ok(())
}
