use askama::Template;
use authn::{Authn, ProofOfWorkSolution};
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{DisplayEmail, Email, FieldErrors, Form, LocalPath, Page, Query, Result, Shell};

use super::pages::{EmailForm, Then, failed};

#[derive(Template)]
#[template(path = "sign_in/link.html")]
struct Ask {
    shell: Shell,
    form: EmailForm,
    return_to: String,
}

#[derive(Template)]
#[template(path = "sign_in/link_sent.html")]
struct Sent {
    shell: Shell,
    email: DisplayEmail,
}

#[derive(Template)]
#[template(path = "sign_in/link_confirm.html")]
struct ConfirmPage {
    shell: Shell,
    token: String,
}

pub(super) async fn ask(public: Public, Query(Then { return_to }): Query<Then>) -> impl IntoResponse {
    Page(Ask {
        shell: public.context.shell(),
        form: EmailForm { email: FieldErrors::default().field("email", "") },
        return_to: LocalPath::or_home(&return_to).to_string(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkForm {
    email: String,
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    challenge: String,
    #[serde(default)]
    solution: String,
}

pub(super) async fn send(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(LinkForm { email: given, return_to, challenge, solution }): Form<LinkForm>,
) -> Result<Response> {
    let (mut errors, return_to) = (FieldErrors::default(), LocalPath::or_home(&return_to));
    let solution = ProofOfWorkSolution { challenge, solution };
    let Some(email) = errors.parse::<Email>("email", &given) else {
        let form = EmailForm { email: errors.field("email", &*given) };
        let page = Ask { shell: public.context.shell(), form, return_to: return_to.to_string() };
        return Err(errors.on_page(page));
    };
    let sent = authn.send_link(&email, &return_to, &solution, &headers, &public.context).await;
    let cookie = sent.map_err(|error| {
        let fields = [("email", &*given), ("return_to", return_to.as_str())];
        error.with_proof_of_work_page(&public.context, "/sign-in/link", &fields)
    })?;
    let page = Sent { shell: public.context.shell(), email: DisplayEmail::of_nobody(&email) };
    Ok((cookie, Page(page)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

/// A page with a button, so that software that opens links in emails does not use the link up.
pub(super) async fn confirm(public: Public, Query(Link { token }): Query<Link>) -> impl IntoResponse {
    Page(ConfirmPage { shell: public.context.shell(), token })
}

pub(super) async fn accept(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Link { token }): Form<Link>,
) -> Result<Response> {
    Ok(match authn.finish_link(&token, &headers, &public.context).await? {
        Ok((cookie, return_to)) => (cookie, Redirect::to(return_to.as_str())).into_response(),
        Err(failure) => failed(failure, &public.context),
    })
}
