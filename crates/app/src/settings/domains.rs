use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, Prepare};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Error, Field, FieldErrors, Form, NoFields, Page, Result, Shell, see_other};

use super::domain::{self, ASKED, Domain, DomainName};
use super::pages::url;
use super::{ChangeSignIn, ProveDomain, RemoveDomain};
use crate::organizations::Organization;
use crate::shell::{Nav, shell};

const NOT_YET: Error = Error::Conflict(
    "The DNS does not say so yet. A new record can take a while until it is seen everywhere; then try again.",
    None,
);
const SILENT: Error =
    Error::Conflict("The DNS did not answer. Nothing was changed. Please try again in a minute.", None);

#[derive(Template)]
#[template(path = "settings/new_domain.html")]
struct New {
    shell: Shell,
    form: NameForm,
    url: String,
}

struct NameForm {
    name: Field,
}

impl New {
    fn page<A: Action<On = Organization>>(ok: &Authorized<A>, name: Field) -> Self {
        Self { shell: shell(ok, Nav::Overview), form: NameForm { name }, url: url(ok.on()) }
    }
}

pub(super) async fn new(ok: Authorized<Prepare<ChangeSignIn>>) -> impl IntoResponse {
    Page(New::page(&ok, FieldErrors::default().field("name", "")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDomain {
    name: String,
}

pub(super) async fn add(
    mut ok: Authorized<ChangeSignIn>,
    State(authn): State<Authn>,
    Form(NewDomain { name: given }): Form<NewDomain>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let Some(name) = errors.parse::<DomainName>("name", &given) else {
        let page = New::page(&ok, errors.field("name", given));
        return Err(errors.on_page(page));
    };
    let token = authn.new_domain_token()?;
    let mut tx = ok.begin().await?;
    domain::add(&mut tx, &name, &token, authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url(ok.on()), &format!("{} was added. Prove now that it is yours.", &*name)))
}

pub(super) async fn prove(
    mut ok: Authorized<ProveDomain>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    authn.count(ASKED, &ok.who().user.to_string(), ok.who().context()).await?;
    // No transaction is open while the DNS is asked.
    match authn.domain_says(&ok.on().name, &ok.on().token).await {
        Ok(true) => {}
        Ok(false) => return Err(NOT_YET),
        Err(error) => {
            tracing::warn!(domain = ok.on().name, error, "the DNS was asked in vain");
            return Err(SILENT);
        }
    }
    let mut tx = ok.begin().await?;
    domain::prove(&mut tx, ok.on(), authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} is proved to be yours.", ok.on().name)))
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveDomain>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    domain::remove(&mut tx, ok.on(), &ok.who().actor()).await?;
    if !domain::any_proved(&mut tx).await? {
        // The provider cannot be used any more, nor say that somebody signed out.
        authn.end_sign_on_sessions(&mut tx, "no domain is proved any more").await?;
    }
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} was removed.", ok.on().name)))
}

fn settings_url<A: Action<On = Domain>>(ok: &Authorized<A>) -> String {
    format!("/o/{}/settings", ok.on().organization)
}
