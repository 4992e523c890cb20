use authn::Authn;
use authz::{Action, Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use web::{Error, Form, FormOnce, FormView, Input, NoFields, Page, Result, see_other};

use super::domain::{self, DOMAIN_CHECK_LIMIT, Domain};
use super::url;
use super::{ChangeSignIn, RemoveDomain, VerifyDomain};
use crate::base::{AnnouncementContext, FormPage, Justification, Layout, Organization};
use crate::features::one_time_key;

const RECORD_MISSING_ERROR: Error =
    Error::Conflict("We couldn’t find the record yet. DNS changes can take an hour. Try again later.", None);
const DNS_UNAVAILABLE_ERROR: Error =
    Error::ExternalServiceUnavailable("The DNS did not answer. Nothing was changed. Please try again in a minute.");

web::form! {
    pub(super) struct DomainForm {
        name: web::Domain { hint: "The part of your email addresses after the @, such as example.com" },
        justification: Justification,
    }
}

fn form_page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let url = url(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: "Add a domain".to_owned(),
        lead: "Next, you add a DNS record to verify that the domain is yours.".into(),
        form,
        button: "Add domain",
        removes: false,
        once: true,
        action_url: format!("{url}/domains"),
        cancel_url: url,
    }
}

pub(super) async fn new(ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> impl IntoResponse {
    Page(form_page(&ok, &layout, Input::<DomainForm>::default().view()))
}

pub(super) async fn add(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    FormOnce(input, key): FormOnce<Input<DomainForm>>,
) -> Result<Response> {
    let DomainForm { name, justification } = input.read(|form| form_page(&ok, &layout, form))?;
    let token = authn.new_domain_token()?;
    let (url, text) = (url(ok.on()), format!("{} was added. Now verify that it is yours.", name.shown()));
    let mut tx = one_time_key::begin(&mut ok, key, &url, &text).await?;
    domain::add(&mut tx, &name, &token, &justification, authn.clock().now(), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url, &text))
}

pub(super) async fn verify(
    mut ok: Authorized<VerifyDomain>,
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
    let doing = AnnouncementContext::new(&authn, ok.who(), &organization, &page);
    domain::verify(&mut tx, ok.on(), authn.clock().now(), &doing).await?;
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} is verified.", ok.on().shown())))
}

fn removal<A: Action<On = Domain>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let domain = ok.on();
    FormPage {
        shell: layout.organization(ok),
        heading: format!("Remove {}?", domain.shown()),
        lead: match (domain.verified_at, domain.last) {
            (None, _) => "It is not verified, so nothing else changes.",
            (Some(_), false) => {
                "People with email addresses in it can no longer sign in with your provider. Another organization can then verify it."
            }
            (Some(_), true) => {
                "No other domain is verified. Without one your provider cannot be used, and the sessions that began with it \
                 end."
            }
        }
        .into(),
        form,
        button: "Remove domain",
        removes: true,
        once: false,
        action_url: format!("{}/remove", domain.url()),
        cancel_url: settings_url(ok),
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemoveDomain>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveDomain>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| removal(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let (organization, page) = (Organization::of(&ok.member()?.membership), settings_url(&ok));
    let doing = AnnouncementContext::new(&authn, ok.who(), &organization, &page);
    domain::remove(&mut tx, ok.on(), &justification, &doing).await?;
    if !domain::any_verified(&mut tx).await? {
        // The provider can no longer be used, nor sign people out.
        authn.end_provider_sessions(&mut tx, "no domain is verified now").await?;
    }
    tx.commit().await?;
    Ok(see_other(&settings_url(&ok), &format!("{} was removed.", ok.on().shown())))
}

fn settings_url<A: Action<On = Domain>>(ok: &Authorized<A>) -> String {
    format!("/o/{}/settings", ok.on().organization)
}
