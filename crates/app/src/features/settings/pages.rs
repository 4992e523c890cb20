use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tenancy::{Tx, Write};
use web::{FormOnce, FormView, Input, Page, Result, Shell, see_other};

use super::domain::{self, Domain};
use super::provider::{self, Provider};
use super::rules::{self, Relaxation, Rules};
use super::url;
use super::{ChangeSignIn, StopEnforcingSsoAlone, ViewSettings};
use crate::base::{AnnouncementContext, FormPage, Justification, Layout, Organization};
use crate::features::approvals::{APPROVAL_LIMIT, ApprovalRequest};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "settings/show.html")]
struct SettingsPage {
    shell: Shell,
    rules: Rules,
    provider: Option<Provider>,
    domains: Vec<Domain>,
    url: String,
    may_change: bool,
    panels: Vec<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewSettings>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    Ok(Page(SettingsPage {
        rules: rules::load(&mut tx).await?,
        provider: provider::load(&mut tx).await?,
        domains: domain::find(&mut tx, None).await?,
        shell: layout.organization(&ok),
        url: url(ok.on()),
        may_change: ok.can::<ChangeSignIn>(ok.on()),
        panels: layout.panels(&ok, &mut tx).await?,
    }))
}

web::form! {
    pub(super) struct RulesForm {
        requires_sso: bool {
            label: "Require your identity provider",
            hint: "Members can sign in only with it; owners also with a passkey. A second person must approve no longer \
                   requiring it. Sign in with it yourself before you require it.",
        },
        allows_magic_links: bool {
            label: "Allow links by email",
            hint: "Anyone who can read a member's email can then sign in as that member, but not as an owner, an admin or \
                   someone with a finance role.",
        },
        justification: Justification,
    }
}

fn form_page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let url = url(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: "How members sign in".to_owned(),
        lead: "Takes effect immediately.".into(),
        form,
        button: "Save",
        removes: false,
        once: true,
        action_url: format!("{url}/sign-in"),
        cancel_url: url,
    }
}

const PENDING_APPROVAL_NOTICE: &str =
    "Your own provider is required until another owner or an admin approves that it is not.";

const PROVIDER_NOT_TESTED_ERROR: &str = "Sign in with your identity provider first, so that you know that it works.";

/// Whether the session began with the organization's own provider.
fn uses_own_provider<A: Action<On = Organization>>(ok: &Authorized<A>) -> bool {
    ok.who().sso_tenant == Some(ok.on().id)
}

pub(super) async fn edit(mut ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let rules = rules::load(&mut tx).await?;
    Ok(Page(form_page(&ok, &layout, Input::<RulesForm>::of(&rules)?.view())))
}

/// Changes the rules. To stop requiring the provider needs approval.
pub(super) async fn change(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<RulesForm>>,
) -> Result<Response> {
    let page = |form| form_page(&ok, &layout, form);
    let RulesForm { requires_sso, allows_magic_links, justification } = input.read(page)?;
    if !requires_sso {
        authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    }
    let mut tx = ok.begin().await?;
    let before = rules::load(&mut tx).await?;
    if requires_sso && !before.requires_sso && !uses_own_provider(&ok) {
        let page = |form| form_page(&ok, &layout, form);
        return Err(input.refuse(RulesForm::FIELD.requires_sso, PROVIDER_NOT_TESTED_ERROR, page));
    }
    let relaxes = before.requires_sso && !requires_sso;
    let alone = relaxes && ok.authorize_also::<StopEnforcingSsoAlone>().await?;
    let text = if relaxes && !alone { PENDING_APPROVAL_NOTICE } else { "How members sign in was changed." };
    let mut tx = one_time_key::claim(tx, key, &url(ok.on()), text).await?;
    if relaxes {
        let (action, hooks) = (Relaxation { allows_magic_links }, &layout.registry().hooks);
        let (organization, justification) = (ok.on(), &justification);
        let request = ApprovalRequest { organization, action, member: None, justification, hooks, alone };
        request.submit(&mut tx, &authn, ok.who(), &ok.member()?.membership).await?;
    }
    // Until the approval, the provider stays required.
    let now = Rules { requires_sso: before.requires_sso || requires_sso, allows_magic_links };
    if now != before || !relaxes {
        // Last, as in an approval: the organization's row is locked last.
        change_now(&mut tx, &ok, &authn, now, &justification).await?;
    }
    tx.commit().await?;
    Ok(see_other(&url(ok.on()), text))
}

async fn change_now(
    tx: &mut Tx<Write>,
    ok: &Authorized<ChangeSignIn>,
    authn: &Authn,
    rules: Rules,
    justification: &Justification,
) -> Result<()> {
    let (who, organization, page) = (ok.who(), ok.on(), url(ok.on()));
    let doing = AnnouncementContext::new(authn, who, organization, &page);
    rules::change(tx, rules, justification, &doing).await
}
