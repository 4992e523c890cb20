use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Error, Field, FieldErrors, Form, FormOnce, NoFields, Page, Result, Shell, see_other};

use super::domain::{self, DOMAIN_CHECK_LIMIT, Domain};
use super::url;
use super::{ChangeSignIn, ProveDomain, RemoveDomain};
use crate::base::{
    AnnouncementContext, ConfirmPage, Justification, JustificationFields, JustificationInput, Layout, Organization,
    unlinked,
};
use crate::features::one_time_key;

const RECORD_MISSING_ERROR: Error =
    Error::Conflict("We couldn’t find the record yet. DNS changes can take an hour. Try again later.", None);
const DNS_UNAVAILABLE_ERROR: Error =
    Error::Unanswered("The DNS did not answer. Nothing was changed. Please try again in a minute.");

#[derive(Template)]
#[template(path = "settings/new_domain.html")]
struct New {
    shell: Shell,
    form: DomainForm,
    url: String,
}

struct DomainForm {
    name: Field,
    justification: JustificationFields,
}

impl DomainForm {
    fn has_errors(&self) -> bool {
        self.name.error.is_some() || self.justification.have_errors()
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

impl New {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &Input,
        errors: &FieldErrors,
    ) -> Self {
        let justification = JustificationFields::of(&input.reason, &input.ticket, errors);
        let form = DomainForm { name: errors.field("name", &*input.name), justification };
        Self { shell: layout.organization(ok), form, url: url(ok.on()) }
    }
}

pub(super) async fn new(ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> impl IntoResponse {
    Page(New::page(&ok, &layout, &Input::default(), &FieldErrors::default()))
}

pub(super) async fn add(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let name = errors.parse::<web::Domain>("name", &input.name);
    let justification = Justification::read(&mut errors, &input.reason, &input.ticket);
    let (Some(name), Some(justification)) = (name, justification) else {
        let page = New::page(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    let token = authn.new_domain_token()?;
    let (url, text) = (url(ok.on()), format!("{} was added. Prove now that it is yours.", name.shown()));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    domain::add(&mut tx, &name, &token, &justification, authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn prove(
    mut ok: Authorized<ProveDomain>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    authn.check_person_rate_limit(DOMAIN_CHECK_LIMIT, ok.who()).await?;
    // No transaction is open during the DNS query.
    match authn.has_domain_record(&ok.on().name, &ok.on().token).await {
        Ok(true) => {}
        Ok(false) => return Err(RECORD_MISSING_ERROR),
        Err(error) => {
            tracing::warn!(domain = ok.on().name, error, "DNS lookup failed");
            return Err(DNS_UNAVAILABLE_ERROR);
        }
    }
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), settings_url(&ok));
    let did = format!("has verified the domain {}", unlinked(&ok.on().name));
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: &organization,
        did: &did,
        page: &page,
        member: None,
    };
    domain::prove(&mut tx, ok.on(), authn.clock().now(), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} is proved to be yours.", ok.on().shown())))
}

fn removal<A: Action<On = Domain>>(
    ok: &Authorized<A>,
    layout: &Layout,
    justification: JustificationFields,
) -> ConfirmPage {
    let domain = ok.on();
    ConfirmPage {
        shell: layout.organization(ok),
        heading: format!("Remove {}?", domain.shown()),
        lead: match (domain.verified_at, domain.last) {
            (None, _) => "It is not verified, so nothing else changes.",
            (Some(_), false) => {
                "People with email addresses in it can no longer sign in with your provider. Another organization can then verify it."
            }
            (Some(_), true) => {
                "No other domain is proved. Without one your provider cannot be used, and the sessions that began with it \
                 end."
            }
        },
        button: "Remove domain",
        ends: true,
        once: false,
        justification,
        action_url: format!("{}/remove", domain.url()),
        cancel_url: settings_url(ok),
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemoveDomain>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, JustificationFields::empty()))
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveDomain>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<JustificationInput>,
) -> Result<Response> {
    let justification = input.read(|justification| removal(&ok, &layout, justification))?;
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), settings_url(&ok));
    let did = format!("has removed the domain {}", unlinked(&ok.on().name));
    let doing = AnnouncementContext {
        authn: &authn,
        who: ok.who(),
        organization: &organization,
        did: &did,
        page: &page,
        member: None,
    };
    domain::remove(&mut tx, ok.on(), &justification, &doing).await?;
    if !domain::any_proved(&mut tx).await? {
        // The provider can no longer be used, nor sign people out.
        authn.end_provider_sessions(&mut tx, "no domain is proved any more").await?;
    }
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} was removed.", ok.on().shown())))
}

fn settings_url<A: Action<On = Domain>>(ok: &Authorized<A>) -> String {
    format!("/o/{}/settings", ok.on().organization)
}
