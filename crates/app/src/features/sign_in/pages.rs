use std::convert::Infallible;

use askama::Template;
use authn::{
    Authn, Challenge, LogoutToken, ProofOfWorkSolution, ProviderChoice, ProviderKey, ProviderNotice, SignInFailure,
    SignedIn, SignedOut,
};
use authz::Public;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tenancy::TenantId;
use web::{
    ClientRedirect, Context, Email, Error, Form, FormView, Id, Input, LocalPath, NoFields, Page, Query, ReadsFields,
    Result, Shell, optional_id,
};

use crate::features::resume;

#[derive(Template)]
#[template(path = "sign_in/choose.html")]
struct SignInPage {
    shell: Shell,
    return_to: String,
    providers: Vec<ProviderChoice>,
    /// The hidden fields that the button of each provider submits.
    provider_form: FormView,
    problem: &'static str,
    /// Whether a deferred form continues after the sign-in.
    has_deferred_request: bool,
    /// Why an organization does not accept the current session.
    unaccepted: &'static str,
    /// Whether to offer every way to sign in, or only the alternatives to the current one.
    all_ways: bool,
    /// The URL to sign in with that organization's provider.
    provider_url: Option<String>,
    link_url: String,
    organization_url: String,
    passkeys_url: &'static str,
}

impl SignInPage {
    fn page(authn: &Authn, context: &Context, return_to: &LocalPath, problem: &'static str) -> Self {
        Self {
            shell: context.shell(),
            return_to: return_to.to_string(),
            providers: authn.providers(),
            provider_form: ProviderForm::blank(return_to).view(),
            problem,
            has_deferred_request: resume::is_next(return_to),
            unaccepted: "",
            all_ways: true,
            provider_url: None,
            link_url: format!("/sign-in/link?return_to={}", return_to.encoded()),
            organization_url: format!("/sign-in/organization?return_to={}", return_to.encoded()),
            passkeys_url: web::passkeys_url(),
        }
    }
}

web::form! {
    /// The solution of a proof of work. A browser adds it to a form after repeated attempts.
    pub(super) struct ProofOfWorkForm {
        challenge: String { single_use: true },
        solution: String { single_use: true },
    }
}

impl ProofOfWorkForm {
    pub(super) fn into_solution(self) -> ProofOfWorkSolution {
        ProofOfWorkSolution { challenge: self.challenge, solution: self.solution }
    }
}

web::form! {
    /// The email address to sign in with.
    pub(super) struct EmailForm {
        pub(super) email: Email { label: "Your email address", autocomplete: "email" },
        pub(super) return_to: LocalPath {},
        pub(super) proof_of_work: ProofOfWorkForm,
    }
}

impl EmailForm {
    pub(super) fn blank(return_to: &str) -> FormView {
        Input::<Self>::default().with(Self::FIELD.return_to, LocalPath::or_home(return_to).as_str()).view()
    }
}

/// The page to open after the sign-in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReturnQuery {
    #[serde(default)]
    pub(super) return_to: String,
}

#[derive(Template)]
#[template(path = "sign_in/failed.html")]
struct FailurePage {
    shell: Shell,
    heading: &'static str,
    text: &'static str,
    request_id: String,
    retry_url: String,
}

#[derive(Template)]
#[template(path = "sign_in/signed_out.html")]
struct SignedOutPage {
    shell: Shell,
    by_provider: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInQuery {
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    reauthenticate: String,
    /// Why the organization does not accept the session: `signed_out`, `link`, `elsewhere` or `sso`.
    #[serde(default)]
    unaccepted: String,
    #[serde(default, deserialize_with = "optional_id")]
    organization: Option<Id>,
}

pub(super) async fn choose(
    public: Public,
    who: Option<SignedIn>,
    State(authn): State<Authn>,
    Query(SignInQuery { return_to, reauthenticate, unaccepted, organization }): Query<SignInQuery>,
) -> Response {
    // Another tab was faster. Continue to the requested page.
    if who.is_some() && reauthenticate.is_empty() && unaccepted.is_empty() {
        return Redirect::to(LocalPath::or_home(&return_to).as_str()).into_response();
    }
    let return_to = LocalPath::or_home(&return_to);
    let page = SignInPage::page(&authn, &public.context, &return_to, "");
    let all_ways = ["", "signed_out"].contains(&&*unaccepted);
    let provider = |organization: Id| ProviderKey::of_organization(TenantId::from(organization.uuid()));
    let provider_url =
        organization.filter(|_| unaccepted == "sso").map(|organization| format!("/sign-in/{}", provider(organization)));
    let provider_form = match &*reauthenticate {
        "yes" => ProviderForm::blank(&return_to).with(ProviderForm::FIELD.reauthenticate, "yes").view(),
        _ => page.provider_form,
    };
    let unaccepted = why_unaccepted(&unaccepted);
    Page(SignInPage { provider_form, unaccepted, all_ways, provider_url, ..page }).into_response()
}

/// Explains why an organization does not accept the session.
fn why_unaccepted(reason: &str) -> &'static str {
    match reason {
        "signed_out" => "The organization you opened has ended your sessions there. Sign in again to continue.",
        "link" => "The organization you opened takes no sign-in by email. Please sign in another way.",
        "elsewhere" => "You signed in through another organization's provider. Please sign in another way.",
        "sso" => "The organization you opened takes its own provider only.",
        _ => "",
    }
}

pub(super) async fn passkey_options(
    public: Public,
    State(authn): State<Authn>,
    Form(input): Form<Input<ProofOfWorkForm>>,
) -> Result<Challenge> {
    let proof_of_work = input.parse(|_, _| {})?.into_solution();
    authn.start_passkey_sign_in(&proof_of_work, &public.context).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeyForm {
    credential: String,
    #[serde(default)]
    return_to: String,
}

pub(super) async fn by_passkey(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(answer): Form<PasskeyForm>,
) -> Result<Response> {
    let return_to = LocalPath::or_home(&answer.return_to);
    if answer.credential.is_empty() {
        let problem = "No passkey was used. You need a browser that supports passkeys, with JavaScript turned on.";
        let page = Page(SignInPage::page(&authn, &public.context, &return_to, problem));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    Ok(match authn.finish_passkey_sign_in(&answer.credential, &headers, &public.context).await? {
        Ok(cookie) => (cookie, Redirect::to(return_to.as_str())).into_response(),
        Err(failure) => failed(failure, &public.context),
    })
}

web::form! {
    /// The fields behind the button of a provider.
    pub(super) struct ProviderForm {
        return_to: LocalPath {},
        /// `yes` means that the provider must authenticate the person again.
        reauthenticate: String {},
        /// `yes` means that the person has confirmed whose provider it is.
        confirmed: String {},
        proof_of_work: ProofOfWorkForm,
    }
}

impl ProviderForm {
    pub(super) fn blank(return_to: &LocalPath) -> Input<Self> {
        Input::default().with(Self::FIELD.return_to, return_to.as_str())
    }
}

pub(super) async fn start(
    public: Public,
    State(authn): State<Authn>,
    provider: ProviderKey,
    headers: HeaderMap,
    Form(input): Form<Input<ProviderForm>>,
) -> Result<Response> {
    start_at(&authn, &public, &provider, input, &headers).await
}

#[derive(Template)]
#[template(path = "sign_in/confirm_provider.html")]
struct ProviderConfirmationPage {
    shell: Shell,
    notice: ProviderNotice,
    form: FormView,
    action_url: String,
}

/// Redirects to a provider. If an organization owns the provider, the person first confirms whose it is.
pub(super) async fn start_at(
    authn: &Authn,
    public: &Public,
    provider: &ProviderKey,
    input: Input<ProviderForm>,
    headers: &HeaderMap,
) -> Result<Response> {
    let (context, action_url) = (&public.context, format!("/sign-in/{provider}"));
    let ProviderForm { return_to, reauthenticate, confirmed, proof_of_work } = input.parse(|_, _| {})?;
    if confirmed != "yes"
        && let Some(notice) = authn.provider_notice(provider).await?
    {
        let form = input.with(ProviderForm::FIELD.return_to, return_to.as_str());
        let form = form.with(ProviderForm::FIELD.confirmed, "yes").view();
        return Ok(Page(ProviderConfirmationPage { shell: context.shell(), notice, form, action_url }).into_response());
    }
    let (reauthenticate, proof_of_work) = (reauthenticate == "yes", proof_of_work.into_solution());
    let started = authn.start_sign_in(provider, &return_to, reauthenticate, &proof_of_work, headers, context).await;
    let started = match started.map_err(|error| error.with_proof_of_work_page(context, &action_url, &input))? {
        Ok(started) => started,
        Err(failure) => return Ok(failed(failure, context)),
    };
    let page = provider_redirect(context, started.url.clone());
    Ok((started, Page(page)).into_response())
}

/// Redirects from a page, because `form-action 'self'` would block a form that redirects to another site.
fn provider_redirect(context: &Context, url: String) -> ClientRedirect {
    ClientRedirect {
        shell: context.shell(),
        heading: "On to your sign-in provider",
        text: "You will be asked who you are, and come straight back.",
        url,
        link_label: "Continue",
    }
}

/// The query of the redirect from a provider, for `authn` to parse.
pub(super) struct ProviderAnswer(String);

impl ReadsFields for ProviderAnswer {
    fn fields() -> Vec<&'static str> {
        vec!["state", "code", "iss", "error"]
    }
}

impl<S: Sync> FromRequestParts<S> for ProviderAnswer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self(parts.uri.query().unwrap_or_default().to_owned()))
    }
}

pub(super) async fn callback(
    public: Public,
    who: Option<SignedIn>,
    State(authn): State<Authn>,
    (provider, ProviderAnswer(query)): (ProviderKey, ProviderAnswer),
    headers: HeaderMap,
) -> Result<Response> {
    match authn.finish_sign_in(&provider, &query, &headers, &public.context).await? {
        Ok((cookie, return_to)) => Ok((cookie, Page(signed_in_page(&public.context, &return_to))).into_response()),
        Err(SignInFailure::NoFlow) => {
            let wanted = authn.return_to_of(&query, &headers).await?;
            // The person is already signed in, by this response or in another tab.
            if who.is_some() {
                return Ok(Redirect::to(wanted.as_str()).into_response());
            }
            let retry_url = format!("/sign-in?return_to={}", wanted.encoded());
            Ok(failure_page(SignInFailure::NoFlow, &public.context, retry_url))
        }
        Err(failure) => Ok(failed(failure, &public.context)),
    }
}

fn signed_in_page(context: &Context, return_to: &LocalPath) -> ClientRedirect {
    ClientRedirect {
        shell: context.shell(),
        heading: "You are signed in",
        text: "Opening the page you asked for.",
        url: return_to.to_string(),
        link_label: "Continue",
    }
}

pub(super) async fn back_channel_logout(notice: LogoutToken) -> Result<StatusCode> {
    notice.end_sessions().await?;
    Ok(StatusCode::OK)
}

/// Without a session the person is already signed out: in another tab, or by a second click.
pub(super) async fn sign_out(
    public: Public,
    who: Option<SignedIn>,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let signed_out = match who {
        Some(who) => authn.sign_out(&who, &headers).await?,
        None => SignedOut::already(&headers),
    };
    let page = match &signed_out.provider_url {
        Some(url) => Page(ClientRedirect {
            shell: public.context.shell(),
            heading: "You are signed out here",
            text: "Your sign-in provider can end its own session as well.",
            url: url.clone(),
            link_label: "Continue to the provider",
        })
        .into_response(),
        None => Page(SignedOutPage { shell: public.context.shell(), by_provider: false }).into_response(),
    };
    Ok((signed_out, page).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignedOutQuery {
    state: Option<String>,
}

pub(super) async fn signed_out(
    public: Public,
    headers: HeaderMap,
    Query(returned): Query<SignedOutQuery>,
) -> Result<Response> {
    if returned.state.is_some() && !Authn::sign_out_was_ours(&headers, returned.state.as_deref()) {
        return Err(Error::Malformed("This sign-out was not started in this browser."));
    }
    let by_provider = returned.state.is_some();
    Ok(Page(SignedOutPage { shell: public.context.shell(), by_provider }).into_response())
}

pub(super) fn failed(failure: SignInFailure, context: &Context) -> Response {
    failure_page(failure, context, "/sign-in".to_owned())
}

fn failure_page(failure: SignInFailure, context: &Context, retry_url: String) -> Response {
    let (status, heading, text) = match failure {
        SignInFailure::NoFlow => (
            StatusCode::BAD_REQUEST,
            "This sign-in is not under way",
            "It was started in another browser, too long ago, or used already. Please start again. If you have signed in \
             in another tab, this takes you on.",
        ),
        SignInFailure::Declined => (
            StatusCode::FORBIDDEN,
            "You were not signed in",
            "The provider says that the sign-in was cancelled or declined. You can try again or choose another one.",
        ),
        SignInFailure::ProviderDown => (
            StatusCode::BAD_GATEWAY,
            "Your sign-in provider does not answer as it should",
            "It may be down for a moment. Nothing has changed here. Please try again in a minute.",
        ),
        SignInFailure::Unsupported => (
            StatusCode::BAD_GATEWAY,
            "Your sign-in provider does not answer as it should",
            "It lacks something that is needed here, or is not set up for this service. Trying again changes nothing. \
             Please tell the people who run this service, with the reference below, or sign in another way.",
        ),
        SignInFailure::Refused => (
            StatusCode::FORBIDDEN,
            "This sign-in could not be verified",
            "What was sent does not prove who you are, so you were not signed in. It has been noted.",
        ),
        SignInFailure::Locked => {
            (StatusCode::FORBIDDEN, "This account is locked", "Please ask the people who run this service.")
        }
    };
    let page =
        FailurePage { shell: context.shell(), heading, text, request_id: context.request.to_string(), retry_url };
    (status, Page(page)).into_response()
}
