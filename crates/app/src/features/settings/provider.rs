use askama::Template;
use authn::{Authn, IdentityProvider, IdentityProviderProblem, Preset, RateLimit};
use authz::{Action, Authorized, FormFor, Resource as _};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;
use tenancy::{Mode, OnConstraint, Tenant, Tx, Write};
use web::{
    Choice, Control, Error, FieldError, FieldSpec, FieldText, Form, FormView, Input, Page, Presence, Result, Shell,
    SingleLine, see_other,
};

use super::ChangeSignIn;
use super::url;
use super::{PROVIDER_CHANGED, PROVIDER_REMOVED};
use crate::base::{AnnouncementContext, BoxFuture, DeletionCount, FormPage, Justification, Layout, Organization};

/// Provider tests of one person.
pub(super) const PROVIDER_LIMIT: RateLimit = RateLimit { name: "provider", burst: 10, period: Duration::minutes(1) };

const NO_PROVIDER_ERROR: Error = Error::Conflict("The provider has already been removed. Nothing was changed.", None);
const PROVIDER_ENFORCED_ERROR: Error =
    Error::Conflict("This provider is required for sign-in. Stop requiring it first.", None);

/// The identity provider of an organization, for its settings.
#[derive(Default, Serialize)]
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
struct ProviderPage {
    shell: Shell,
    form: FormView,
    redirect_url: String,
    url: String,
}

web::form! {
    pub(super) struct ProviderForm {
        preset: ProviderKind {
            label: "Kind of provider", noun: "one of the list",
            hint: "Some do not do all that the standard asks for. This says which ones, and how they are dealt with.",
        },
        issuer: SingleLine<1, 512> {
            label: "Issuer", noun: "the issuer", control: Control::Input("url"),
            hint: "Exactly as the provider states it, such as https://id.example.com",
        },
        client_id: SingleLine<1, 255> { label: "Client ID", noun: "the client ID", control: Control::Code },
        client_secret: SingleLine<1, 500> {
            label: "Client secret", noun: "the client secret", control: Control::Password,
            hint: "It is encrypted and never shown. Enter it again with every change.",
        },
        justification: Justification,
    }
}

impl ProviderForm {
    fn identity_provider(&self) -> IdentityProvider {
        IdentityProvider {
            issuer: self.issuer.to_string(),
            client_id: self.client_id.to_string(),
            client_secret: SecretString::from(self.client_secret.to_string()),
            preset: self.preset.0,
        }
    }
}

/// The kind of a provider: one of the presets, or one that follows the standard.
pub(super) struct ProviderKind(Option<Preset>);

impl TryFrom<&str> for ProviderKind {
    type Error = FieldError;

    fn try_from(name: &str) -> Result<Self, FieldError> {
        let preset = Preset::named(name);
        if preset.is_none() && !name.is_empty() { Err(FieldError::Empty) } else { Ok(Self(preset)) }
    }
}

impl FieldText for ProviderKind {
    const SPEC: FieldSpec = FieldSpec { control: Control::Select, presence: Presence::Optional, ..FieldSpec::TEXT };
}

fn kinds() -> Vec<Choice> {
    let standard = Choice { key: "", label: STANDARD_PRESET, about: "" };
    let preset = |(_, key, label): &(Preset, &'static str, &'static str)| Choice { key, label, about: "" };
    std::iter::once(standard).chain(Preset::ALL.iter().map(preset)).collect()
}

impl ProviderPage {
    fn page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, authn: &Authn, form: FormView) -> Self {
        Self {
            shell: layout.organization(ok),
            form: form.with(ProviderForm::FIELD.preset, |field| field.choices = kinds()),
            redirect_url: authn.provider_redirect(ok.on().id),
            url: url(ok.on()),
        }
    }
}

pub(super) async fn edit(
    mut ok: Authorized<FormFor<ChangeSignIn>>,
    layout: Layout,
    State(authn): State<Authn>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let now = Input::<ProviderForm>::of(&load(&mut tx).await?.unwrap_or_default())?;
    Ok(Page(ProviderPage::page(&ok, &layout, &authn, now.view())))
}

pub(super) async fn save(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<ProviderForm>>,
) -> Result<Response> {
    let page = |form| ProviderPage::page(&ok, &layout, &authn, form);
    let form = input.read(page)?;
    let (tenant, identity_provider) = (ok.on().id, form.identity_provider());
    authn.check_person_rate_limit(PROVIDER_LIMIT, ok.who()).await?;
    // No transaction is open while the provider is contacted.
    if let Err(problem) = authn.test_identity_provider(tenant, &identity_provider, ok.who().user).await? {
        return Err(input.refuse(ProviderForm::FIELD.issuer, in_words(problem), page));
    }
    let mut tx = ok.begin().await?;
    let page = url(ok.on());
    let (who, organization) = (ok.who(), ok.on());
    let doing = AnnouncementContext::new(&authn, who, organization, &page);
    authn.store_identity_provider(&mut tx, tenant, &identity_provider, ok.who().user).await?;
    let IdentityProvider { issuer, client_id, preset, .. } = identity_provider;
    let details = json!({ "issuer": issuer, "client_id": client_id, "preset": preset.map(Preset::name) });
    let details = form.justification.details(details);
    let announcement = PROVIDER_CHANGED.announce(&mut tx, &doing, organization.entity().to_string(), details).await?;
    announcement.record(&mut tx).await?;
    tx.commit().await?;
    Ok(see_other(&page, "Provider tested and saved."))
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

fn removal<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let cancel_url = url(ok.on());
    FormPage {
        shell: layout.organization(ok),
        heading: "Remove your provider?".to_owned(),
        lead: "Nobody can sign in with it any more, and everyone who did is signed out.".into(),
        form,
        button: "Remove provider",
        removes: true,
        once: false,
        action_url: format!("{cancel_url}/provider/remove"),
        cancel_url,
    }
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<ChangeSignIn>>, layout: Layout) -> impl IntoResponse {
    Page(removal(&ok, &layout, Input::<Justification>::default().view()))
}

pub(super) async fn remove(
    mut ok: Authorized<ChangeSignIn>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<Justification>>,
) -> Result<Response> {
    let justification = input.read(|form| removal(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    let page = url(ok.on());
    let (who, organization) = (ok.who(), ok.on());
    let doing = AnnouncementContext::new(&authn, who, organization, &page);
    authn.end_provider_sessions(&mut tx, "the provider was removed").await?;
    let removed =
        sqlx::query_scalar!("delete from tenant.identity_providers returning issuer").fetch_optional(&mut *tx).await;
    let issuer =
        removed.on_constraint("sso_requires_provider", || PROVIDER_ENFORCED_ERROR)?.ok_or(NO_PROVIDER_ERROR)?;
    let details = justification.details(json!({ "issuer": issuer }));
    let announcement = PROVIDER_REMOVED.announce(&mut tx, &doing, organization.entity().to_string(), details).await?;
    announcement.record(&mut tx).await?;
    tx.commit().await?;
    Ok(see_other(&page, "Provider removed. Everyone who signed in with it was signed out."))
}

/// Deletes the provider and the domains of a deleted organization, and ends the sessions that began with the provider.
pub(super) fn delete_all<'a>(tx: &'a mut Tx<Write>, authn: &'a Authn) -> BoxFuture<'a, Result<DeletionCount>> {
    Box::pin(async move {
        authn.end_provider_sessions(tx, "the organization was deleted").await?;
        sqlx::query!("delete from tenant.identity_providers").execute(&mut **tx).await?;
        let domains = sqlx::query!("delete from tenant.domains").execute(&mut **tx).await?;
        Ok(Some(("domains", domains.rows_affected())))
    })
}
