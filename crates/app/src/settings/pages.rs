use askama::Template;
use authz::{Action, Authorized, Prepare};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{FieldErrors, Form, Page, Result, Shell, see_other};

use super::rules::{self, Rules};
use super::{ChangeSignIn, ViewSettings};
use crate::organizations::Organization;
use crate::shell::{Nav, shell};
use crate::why::{Why, WhyFields};

#[derive(Template)]
#[template(path = "settings/show.html")]
struct Show {
    shell: Shell,
    rules: Rules,
    change_url: Option<String>,
}

pub(super) async fn show(mut ok: Authorized<ViewSettings>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let rules = rules::load(&mut tx).await?;
    let change_url = ok.would::<ChangeSignIn>(ok.on()).then(|| change_url(ok.on()));
    Ok(Page(Show { shell: shell(&ok, Nav::Overview), rules, change_url }))
}

fn url(organization: &Organization) -> String {
    format!("{}/settings", organization.url())
}

fn change_url(organization: &Organization) -> String {
    format!("{}/sign-in", url(organization))
}

#[derive(Template)]
#[template(path = "settings/sign_in.html")]
struct Change {
    shell: Shell,
    form: RulesForm,
    action_url: String,
    cancel_url: String,
}

struct RulesForm {
    mail_links: bool,
    why: WhyFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// `yes` where the box is ticked.
    #[serde(default)]
    mail_links: String,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl Change {
    fn page<A: Action<On = Organization>>(ok: &Authorized<A>, rules: Rules, why: WhyFields) -> Self {
        Self {
            shell: shell(ok, Nav::Overview),
            form: RulesForm { mail_links: rules.mail_links, why },
            action_url: change_url(ok.on()),
            cancel_url: url(ok.on()),
        }
    }
}

pub(super) async fn edit(mut ok: Authorized<Prepare<ChangeSignIn>>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let rules = rules::load(&mut tx).await?;
    Ok(Page(Change::page(&ok, rules, WhyFields::of("", "", &FieldErrors::default()))))
}

pub(super) async fn change(mut ok: Authorized<ChangeSignIn>, Form(input): Form<Input>) -> Result<Response> {
    let (mut errors, rules) = (FieldErrors::default(), Rules { mail_links: input.mail_links == "yes" });
    let Some(why) = Why::read(&mut errors, &input.reason, &input.ticket) else {
        let page = Change::page(&ok, rules, WhyFields::of(&input.reason, &input.ticket, &errors));
        return Err(errors.on_page(page));
    };
    let mut tx = ok.begin().await?;
    rules::change(&mut tx, ok.on(), rules, &why, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url(ok.on()), "How members sign in was changed."))
}
