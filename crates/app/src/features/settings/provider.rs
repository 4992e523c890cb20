use askama::Template;
use authn::{Authn, IdentityProvider, IdentityProviderProblem, Preset, RateLimit};
use authz::{Action, Authorized, FormFor, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tenancy::{Mode, OnConstraint, Tenant, Tx, Write};
use web::{Error, Field, FieldErrors, Form, Page, Result, Shell, SingleLine, see_other};

use super::ChangeSignIn;
use super::url;
use super::{PROVIDER_CHANGED, PROVIDER_REMOVED};
use crate::base::{
    AnnouncementContext, BoxFuture, ConfirmPage, Deleted, Justification, JustificationFields, JustificationInput,
    Layout, Organization,
};

/// Provider tests of one person.
pub(super) const PROVIDER_LIMIT: RateLimit = RateLimit { name: "provider", burst: 10, period: Duration::minutes(1) };

const NO_PROVIDER_ERROR: Error = Error::Conflict("The provider has already been removed. Nothing was changed.", None);
const PROVIDER_ENFORCED_ERROR: Error =
    Error::Conflict("This provider is required for sign-in. Stop requiring it first.", None);

/// The identity provider of an organization, for its settings.
#[derive(Default)]
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) client_id: String,
    /// The name of a [`Preset`].
    pub(super) preset: Option<String>,
}

impl Provider {
    /// Its kind, for people.
    pub(super) fn kind(&self) -> &'static str {
        let named = |(_, name, _): &&(Preset, &str, &str)| self.preset.as_deref() == Some(*name);
        Preset::ALL.iter().find(named).map_or(STANDARD_PRESET, |(_, _, label)| label)
    }
}

const STANDARD_PRESET: &str = "Follows the standard";

pub(super) async fn load<M: Mode>(tx: &mut Tx<M, Tenant>) -> Result<Option<Provider>> {
    let provider = sqlx::query_as!(Provider, "select issuer, client_id, preset from tenant.identity_providers");
    Ok(provider.fetch_optional(&mut **tx).await?)
}

#[derive(Template)]
#[template(path = "settings/provider.html")]
struct Edit {
    shell: Shell,
    form: ProviderForm,
    presets: &'static [(Preset, &'static str, &'static str)],
    redirect_url: String,
    url: String,
}

struct ProviderForm {
    preset: Field,
    issuer: Field,
    client_id: Field,
    client_secret: Field,
    justification: JustificationFields,
}

impl ProviderForm {
    fn has_errors(&self) -> bool {
        [&self.preset, &self.issuer, &self.client_id, &self.client_secret].iter().any(|field| field.error.is_some())
            || self.justification.have_errors()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The name of a preset, or empty.
    #[serde(default)]
    preset: String,
    issuer: String,
    client_id: String,
    client_secret: SecretString,
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl ProviderForm {
    fn of(provider: &Provider, justification: JustificationFields, errors: &FieldErrors) -> Self {
        Self {
            preset: errors.field("preset", provider.preset.as_deref().unwrap_or_default()),
            issuer: errors.field("issuer", &*provider.issuer),
            client_id: errors.field("client_id", &*provider.client_id),
            // The secret must be typed again and is never shown, so it does not go to a provider it was not meant for.
            client_secret: errors.field("client_secret", ""),
            justification,
        }
    }
}

impl Edit {
    fn page<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        authn: &Authn,
        form: ProviderForm,
    ) -> Self {
        let redirect_url = authn.provider_redirect(ok.on().id);
        Self { shell: layout.organization(ok), form, presets: &Preset::ALL, redirect_url, url: url(ok.on()) }
    }
}

pub(super) async fn edit(
    mut ok: Authorized<FormFor<ChangeSignIn>>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (now, errors) = (load(&mut tx).await?.unwrap_or_default(), FieldErrors::default());
    Ok(Page(Edit::page(&ok, &layout, &authn, ProviderForm::of(&now, JustificationFields::empty(), &errors))))
}

pub(super) async fn keep(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input>,
) -> Result<Response> {
    let (mut errors, tenant) = (FieldErrors::default(), ok.on().id);
    let preset = Preset::named(&input.preset);
    if preset.is_none() && !input.preset.is_empty() {
        errors.add("preset", "Choose one of the list.");
    }
    let issuer = errors.parse::<SingleLine<1, 512>>("issuer", &input.issuer);
    let client_id = errors.parse::<SingleLine<1, 255>>("client_id", &input.client_id);
    let secret = errors.parse::<SingleLine<1, 500>>("client_secret", input.client_secret.expose_secret());
    let justification = Justification::read(&mut errors, &input.reason, &input.ticket);
    let again = |ok: &Authorized<ChangeSignIn>, errors: FieldErrors| {
        let preset = preset.map(|preset| preset.name().to_owned());
        let given = Provider { issuer: input.issuer.clone(), client_id: input.client_id.clone(), preset };
        let form = ProviderForm::of(&given, JustificationFields::of(&input.reason, &input.ticket, &errors), &errors);
        Err(errors.on_page(Edit::page(ok, &layout, &authn, form)))
    };
    let (Some(issuer), Some(client_id), Some(secret), Some(justification), true) =
        (issuer, client_id, secret, justification, errors.is_empty())
    else {
        return again(&ok, errors);
    };
    let client_secret = SecretString::from(secret.to_string());
    let sign_on =
        IdentityProvider { issuer: issuer.to_string(), client_id: client_id.to_string(), client_secret, preset };
    authn.check_person_rate_limit(PROVIDER_LIMIT, ok.who()).await?;
    // No transaction is open while the provider is contacted.
    if let Err(problem) = authn.test_identity_provider(tenant, &sign_on, ok.who().user).await? {
        errors.add("issuer", in_words(problem));
        return again(&ok, errors);
    }
    let mut tx = ok.begin().await?;
    let (did, page) = ("has changed the identity provider", url(ok.on()));
    let doing =
        AnnouncementContext { authn: &authn, who: ok.who(), organization: ok.on(), did, page: &page, member: None };
    let announcement = PROVIDER_CHANGED.announce(&mut tx, &doing).await?;
    authn.store_identity_provider(&mut tx, tenant, &sign_on, ok.who().user).await?;
    let details = justification.details(
        json!({ "issuer": sign_on.issuer, "client_id": sign_on.client_id, "preset": preset.map(Preset::name) }),
    );
    announcement.record(&mut tx, ok.on().entity().to_string(), details, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url(ok.on()), "Provider tested and saved."))
}

fn in_words(problem: IdentityProviderProblem) -> String {
    match problem {
        IdentityProviderProblem::Issuer => {
            "Give the issuer as the provider states it: an https address with a host name, no port.".to_owned()
        }
        IdentityProviderProblem::Unusable => {
            "This address does not answer as a provider does. It must offer discovery, PKCE with S256, and call itself \
             exactly so."
                .to_owned()
        }
        IdentityProviderProblem::Lacks(what) => {
            format!("This provider cannot be used as it is. {what}. Is the right kind of provider chosen above?")
        }
    }
}

fn removal<A: Action<On = Organization>>(
    ok: &Authorized<A>,
    layout: &Layout,
    justification: JustificationFields,
) -> ConfirmPage {
    let cancel_url = url(ok.on());
    ConfirmPage {
        shell: layout.organization(ok),
        heading: "Remove your provider?".to_owned(),
        lead: "Nobody can sign in with it any more, and everyone who did is signed out.",
        button: "Remove provider",
        ends: true,
        once: false,
        justification,
        action_url: format!("{cancel_url}/provider/remove"),
        cancel_url,
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, JustificationFields::empty()))
}

pub(super) async fn remove(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<JustificationInput>,
) -> Result<Response> {
    let justification = input.read(|justification| removal(&ok, &layout, justification))?;
    let mut tx = ok.begin().await?;
    let (did, page) = ("has removed the identity provider", url(ok.on()));
    let doing =
        AnnouncementContext { authn: &authn, who: ok.who(), organization: ok.on(), did, page: &page, member: None };
    let announcement = PROVIDER_REMOVED.announce(&mut tx, &doing).await?;
    authn.end_provider_sessions(&mut tx, "the provider was removed").await?;
    let removed =
        sqlx::query_scalar!("delete from tenant.identity_providers returning issuer").fetch_optional(&mut *tx).await;
    let issuer =
        removed.on_constraint("sso_requires_provider", || PROVIDER_ENFORCED_ERROR)?.ok_or(NO_PROVIDER_ERROR)?;
    let target = ok.on().entity().to_string();
    announcement.record(&mut tx, target, justification.details(json!({ "issuer": issuer })), &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(&url(ok.on()), "Provider removed. Everyone who signed in with it was signed out."))
}

/// Deletes the provider and the domains of a deleted organization, and ends the sessions that began with the provider.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, authn: &'a Authn) -> BoxFuture<'a, Result<Deleted>> {
    Box::pin(async move {
        authn.end_provider_sessions(tx, "the organization was deleted").await?;
        sqlx::query!("delete from tenant.identity_providers").execute(&mut **tx).await?;
        let domains = sqlx::query!("delete from tenant.domains").execute(&mut **tx).await?;
        Ok(Some(("domains", domains.rows_affected())))
    })
}
