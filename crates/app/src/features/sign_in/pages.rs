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
struct Choose {
    shell: Shell,
    return_to: String,
    providers: Vec<ProviderChoice>,
    reauthenticate: bool,
    problem: &'static str,
    /// A deferred form waits for the sign-in.
    kept: bool,
    /// Why an organization does not accept the current session.
    unaccepted: &'static str,
    /// Whether to offer every way to sign in, or only the alternatives to the current one.
    all_ways: bool,
    /// The sign-in address of that organization's provider.
    provider_url: Option<String>,
    link_url: String,
    organization_url: String,
    passkeys_url: &'static str,
}

impl Choose {
    fn page(authn: &Authn, context: &Context, return_to: &LocalPath, problem: &'static str) -> Self {
        Self {
            shell: context.shell(),
            return_to: return_to.to_string(),
            providers: authn.providers(),
            reauthenticate: false,
            problem,
            kept: resume::is_next(return_to),
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
    /// An address to sign in with, and on repeated attempts the solution of a proof of work.
    pub(super) struct EmailForm {
        pub(super) email: Email { label: "Your email address", autocomplete: "email" },
        return_to: String {},
        challenge: String {},
        solution: String {},
    }
}

impl EmailForm {
    pub(super) fn blank(return_to: &str) -> FormView {
        let return_to = LocalPath::or_home(return_to).to_string();
        Input::<Self>::default().view().with("return_to", |field| field.values = vec![return_to])
    }

    /// The form again. A proof of work is good for one attempt.
    pub(super) fn again(form: FormView) -> FormView {
        form.with("challenge", |field| field.values.clear()).with("solution", |field| field.values.clear())
    }

    pub(super) fn return_to(&self) -> LocalPath {
        LocalPath::or_home(&self.return_to)
    }

    pub(super) fn solution(&self) -> ProofOfWorkSolution {
        ProofOfWorkSolution { challenge: self.challenge.clone(), solution: self.solution.clone() }
    }

    /// Adds to an error that asks for a proof of work the page that has the browser do it, and sends this form again.
    pub(super) fn with_proof_of_work(&self, error: Error, context: &Context, action: &str) -> Error {
        let return_to = self.return_to();
        let fields = [("email", &*self.email), ("return_to", return_to.as_str())];
        error.with_proof_of_work_page(context, action, &fields)
    }
}

/// The page to open afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    #[serde(default)]
    pub(super) return_to: String,
}

#[derive(Template)]
#[template(path = "sign_in/failed.html")]
struct Failed {
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
pub(super) struct Reason {
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
    Query(Reason { return_to, reauthenticate, unaccepted, organization }): Query<Reason>,
) -> Response {
    // Another tab was faster. Continue to the requested page.
    if who.is_some() && reauthenticate.is_empty() && unaccepted.is_empty() {
        return Redirect::to(LocalPath::or_home(&return_to).as_str()).into_response();
    }
    let page = Choose::page(&authn, &public.context, &LocalPath::or_home(&return_to), "");
    let all_ways = ["", "signed_out"].contains(&&*unaccepted);
    let (unaccepted, requires_sso) = match &*unaccepted {
        "signed_out" => {
            ("The organization you opened has ended your sessions there. Sign in again to continue.", false)
        }
        "link" => ("The organization you opened takes no sign-in by email. Please sign in another way.", false),
        "elsewhere" => ("You signed in through another organization's provider. Please sign in another way.", false),
        "sso" => ("The organization you opened takes its own provider only.", true),
        _ => ("", false),
    };
    let provider = |organization: Id| ProviderKey::of_organization(TenantId::from(organization.uuid()));
    let provider_url =
        organization.filter(|_| requires_sso).map(|organization| format!("/sign-in/{}", provider(organization)));
    Page(Choose { reauthenticate: reauthenticate == "yes", unaccepted, all_ways, provider_url, ..page }).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofOfWorkForm {
    #[serde(default)]
    challenge: String,
    #[serde(default)]
    solution: String,
}

pub(super) async fn passkey_options(
    public: Public,
    State(authn): State<Authn>,
    Form(ProofOfWorkForm { challenge, solution }): Form<ProofOfWorkForm>,
) -> Result<Challenge> {
    authn.start_passkey_sign_in(&ProofOfWorkSolution { challenge, solution }, &public.context).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PasskeyAnswer {
    credential: String,
    #[serde(default)]
    return_to: String,
}

pub(super) async fn by_passkey(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(answer): Form<PasskeyAnswer>,
) -> Result<Response> {
    let return_to = LocalPath::or_home(&answer.return_to);
    if answer.credential.is_empty() {
        let problem = "No passkey was used. You need a browser that supports passkeys, with JavaScript turned on.";
        let page = Page(Choose::page(&authn, &public.context, &return_to, problem));
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    Ok(match authn.finish_passkey_sign_in(&answer.credential, &headers, &public.context).await? {
        Ok(cookie) => (cookie, Redirect::to(return_to.as_str())).into_response(),
        Err(failure) => failed(failure, &public.context),
    })
}

/// Where to return to, whether the provider must ask the person again (`yes`), and the proof of work.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    reauthenticate: String,
    /// They have confirmed whose provider it is (`yes`).
    #[serde(default)]
    confirmed: String,
    #[serde(default)]
    challenge: String,
    #[serde(default)]
    solution: String,
}

impl Start {
    pub(super) fn to(return_to: &LocalPath) -> Self {
        Self { return_to: return_to.to_string(), ..Self::default() }
    }
}

pub(super) async fn start(
    public: Public,
    State(authn): State<Authn>,
    provider: ProviderKey,
    headers: HeaderMap,
    Form(start): Form<Start>,
) -> Result<Response> {
    move_on(&authn, &public, &provider, &start, &headers).await
}

#[derive(Template)]
#[template(path = "sign_in/confirm_provider.html")]
struct ConfirmProvider {
    shell: Shell,
    notice: ProviderNotice,
    action_url: String,
    return_to: String,
    reauthenticate: bool,
}

/// Redirects to a provider. For that of an organization, the person confirms first whose it is.
pub(super) async fn move_on(
    authn: &Authn,
    public: &Public,
    provider: &ProviderKey,
    Start { return_to, reauthenticate, confirmed, challenge, solution }: &Start,
    headers: &HeaderMap,
) -> Result<Response> {
    let (to, context) = (LocalPath::or_home(return_to), &public.context);
    if confirmed != "yes"
        && let Some(notice) = authn.provider_notice(provider).await?
    {
        return Ok(Page(ConfirmProvider {
            shell: context.shell(),
            notice,
            action_url: format!("/sign-in/{provider}"),
            return_to: to.to_string(),
            reauthenticate: reauthenticate == "yes",
        })
        .into_response());
    }
    let solution = ProofOfWorkSolution { challenge: challenge.clone(), solution: solution.clone() };
    let started = authn.start_sign_in(provider, &to, reauthenticate == "yes", &solution, headers, context).await;
    let started = started.map_err(|error| {
        let fields = [("return_to", &**return_to), ("reauthenticate", &**reauthenticate), ("confirmed", &**confirmed)];
        error.with_proof_of_work_page(context, &format!("/sign-in/{provider}"), &fields)
    })?;
    let started = match started {
        Ok(started) => started,
        Err(failure) => return Ok(failed(failure, &public.context)),
    };
    // Not a redirect: `form-action 'self'` would block a form that redirects to another site.
    let page = ClientRedirect {
        shell: public.context.shell(),
        heading: "On to your sign-in provider",
        text: "You will be asked who you are, and come straight back.",
        url: started.url.clone(),
        link_label: "Continue",
    };
    Ok((started, Page(page)).into_response())
}

/// The query that a provider sends somebody back with, as it is: what it means is for `authn` to say.
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
        Ok((cookie, return_to)) => {
            let page = ClientRedirect {
                shell: public.context.shell(),
                heading: "You are signed in",
                text: "Opening the page you asked for.",
                url: return_to.to_string(),
                link_label: "Continue",
            };
            Ok((cookie, Page(page)).into_response())
        }
        Err(SignInFailure::NoFlow) => {
            let wanted = authn.return_to_of(&query, &headers).await?;
            // They are signed in already, by this response or in another tab.
            if who.is_some() {
                return Ok(Redirect::to(wanted.as_str()).into_response());
            }
            let retry_url = format!("/sign-in?return_to={}", wanted.encoded());
            Ok(failure_page(SignInFailure::NoFlow, &public.context, retry_url))
        }
        Err(failure) => Ok(failed(failure, &public.context)),
    }
}

pub(super) async fn back_channel_logout(notice: LogoutToken) -> Result<StatusCode> {
    notice.end_sessions().await?;
    Ok(StatusCode::OK)
}

/// Without a session they are signed out already: it ended in another tab, or the button was pressed twice.
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
pub(super) struct Returned {
    state: Option<String>,
}

pub(super) async fn signed_out(
    public: Public,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
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
    let page = Failed { shell: context.shell(), heading, text, request_id: context.request.to_string(), retry_url };
    (status, Page(page)).into_response()
}
