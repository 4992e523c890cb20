use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Field, FieldErrors, FormOnce, Page, Result, Shell, see_other};

use super::domain::{self, Domain};
use super::provider::{self, Provider};
use super::rules::{self, Relaxation, Rules};
use super::url;
use super::{ChangeSignIn, RelaxSignOnAlone, ViewSettings};
use crate::base::{AnnouncementContext, Justification, JustificationFields, Layout, Organization};
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

#[derive(Template)]
#[template(path = "settings/sign_in.html")]
struct Change {
    shell: Shell,
    form: RulesForm,
    /// They signed in with the organization's provider, so they know that it works.
    may_enforce: bool,
    url: String,
}

struct RulesForm {
    rules: Rules,
    enforces: Field,
    justification: JustificationFields,
}

impl RulesForm {
    fn has_errors(&self) -> bool {
        self.enforces.error.is_some() || self.justification.have_errors()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// `yes` if the box is ticked.
    #[serde(default)]
    allows_magic_links: String,
    /// `yes` if the box is ticked.
    #[serde(default)]
    requires_sso: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl Change {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        rules: Rules,
        input: &Input,
        errors: &FieldErrors,
    ) -> Self {
        let justification = JustificationFields::of(&input.reason, &input.ticket, errors);
        let form = RulesForm { rules, enforces: errors.field("requires_sso", ""), justification };
        let may_enforce = came_with_it(ok) || rules.requires_sso;
        Self { shell: layout.organization(ok), form, may_enforce, url: url(ok.on()) }
    }
}

const PENDING_APPROVAL_NOTICE: &str =
    "Your own provider is required until another owner or an admin approves that it is not.";

fn came_with_it<A: Action<On = Organization>>(ok: &Authorized<A>) -> bool {
    ok.who().sign_on == Some(ok.on().id)
}

pub(super) async fn edit(mut ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let rules = rules::load(&mut tx).await?;
    Ok(Page(Change::page(&ok, &layout, rules, &Input::default(), &FieldErrors::default())))
}

/// Changes the rules. To stop requiring the provider needs approval.
pub(super) async fn change(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let rules =
        Rules { allows_magic_links: input.allows_magic_links == "yes", requires_sso: input.requires_sso == "yes" };
    let justification = Justification::read(&mut errors, &input.reason, &input.ticket);
    if justification.is_some() && !rules.requires_sso {
        authn.check_person_rate_limit(APPROVAL_LIMIT, ok.who()).await?;
    }
    let mut tx = ok.begin().await?;
    let before = rules::load(&mut tx).await?;
    if rules.requires_sso && !before.requires_sso && !came_with_it(&ok) {
        errors.add("requires_sso", "Sign in with the organization's provider first, so that you know that it works.");
    }
    let (Some(justification), true) = (justification, errors.is_empty()) else {
        let page = Change::page(&ok, &layout, rules, &input, &errors);
        return Err(errors.on_page(page));
    };
    let stops_enforcing = before.requires_sso && !rules.requires_sso;
    let at_once = Rules { requires_sso: rules.requires_sso || stops_enforcing, ..rules };
    let alone = stops_enforcing && ok.authorize_also::<RelaxSignOnAlone>().await?;
    let (page, text) = (
        url(ok.on()),
        if stops_enforcing && !alone { PENDING_APPROVAL_NOTICE } else { "How members sign in was changed." },
    );
    let mut tx = one_time_key::claim(tx, key, &page, text).await?;
    if stops_enforcing {
        let (action, hooks) = (Relaxation { allows_magic_links: rules.allows_magic_links }, &layout.registry().hooks);
        let request =
            Request { organization: ok.on(), action, member: None, justification: &justification, hooks, alone };
        request.submit(&mut tx, &authn, ok.who(), &ok.member()?.membership).await?;
    }
    // Afterwards, as in an approval: the organization's row is locked last.
    if at_once != before || !stops_enforcing {
        let did = "has changed how members sign in";
        let doing =
            AnnouncementContext { authn: &authn, who: ok.who(), organization: ok.on(), did, page: &page, member: None };
        rules::change(&mut tx, at_once, &justification, &doing).await?;
    }
    tx.commit().await?;
    Ok(see_other(&page, text))
}
