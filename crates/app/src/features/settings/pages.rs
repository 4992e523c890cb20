use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use web::{FormOnce, FormView, Input, Page, Result, Shell, see_other};

use super::domain::{self, Domain};
use super::provider::{self, Provider};
use super::rules::{self, Relaxation, Rules};
use super::url;
use super::{ChangeSignIn, StopEnforcingSsoAlone, ViewSettings};
use crate::base::{AnnouncementContext, FormPage, Justification, Layout, Organization};
use crate::features::approvals::{APPROVAL_LIMIT, Request};
use crate::features::one_time_key;

#[derive(Template)]
#[template(path = "settings/show.html")]
struct Show {
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
    Ok(Page(Show {
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

fn came_with_it<A: Action<On = Organization>>(ok: &Authorized<A>) -> bool {
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
    let form = input.read(|form| form_page(&ok, &layout, form))?;
    let rules = Rules { allows_magic_links: form.allows_magic_links, requires_sso: form.requires_sso };
    if !rules.requires_sso {
        authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    }
    let mut tx = ok.begin().await?;
    let before = rules::load(&mut tx).await?;
    if rules.requires_sso && !before.requires_sso && !came_with_it(&ok) {
        const UNTRIED: &str = "Sign in with your identity provider first, so that you know that it works.";
        return Err(input.refuse(RulesForm::FIELD.requires_sso, UNTRIED, |form| form_page(&ok, &layout, form)));
    }
    let stops_enforcing = before.requires_sso && !rules.requires_sso;
    let at_once = Rules { requires_sso: rules.requires_sso || stops_enforcing, ..rules };
    let alone = stops_enforcing && ok.authorize_also::<StopEnforcingSsoAlone>().await?;
    let (page, text) = (
        url(ok.on()),
        if stops_enforcing && !alone { PENDING_APPROVAL_NOTICE } else { "How members sign in was changed." },
    );
    let mut tx = one_time_key::claim(tx, key, &page, text).await?;
    if stops_enforcing {
        let (action, hooks) = (Relaxation { allows_magic_links: rules.allows_magic_links }, &layout.registry().hooks);
        let request =
            Request { organization: ok.on(), action, member: None, justification: &form.justification, hooks, alone };
        request.submit(&mut tx, &authn, ok.who(), &ok.member()?.membership).await?;
    }
    // Afterwards, as in an approval: the organization's row is locked last.
    if at_once != before || !stops_enforcing {
        let did = "has changed how members sign in";
        let doing =
            AnnouncementContext { authn: &authn, who: ok.who(), organization: ok.on(), did, page: &page, member: None };
        rules::change(&mut tx, at_once, &form.justification, &doing).await?;
    }
    tx.commit().await?;
    Ok(see_other(&page, text))
}
