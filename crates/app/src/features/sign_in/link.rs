use askama::Template;
use authn::Authn;
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{DisplayEmail, Form, FormView, Input, Page, Query, Result, Shell};

use super::pages::{EmailForm, Then, failed};

#[derive(Template)]
#[template(path = "sign_in/link.html")]
struct Ask {
    shell: Shell,
    form: FormView,
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
    Page(Ask { shell: public.context.shell(), form: EmailForm::blank(&return_to) })
}

pub(super) async fn send(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<EmailForm>>,
) -> Result<Response> {
    let form = input.read(|form| Ask { shell: public.context.shell(), form: EmailForm::again(form) })?;
    let sent = authn.send_link(&form.email, &form.return_to(), &form.solution(), &headers, &public.context).await;
    let cookie = sent.map_err(|error| form.with_proof_of_work(error, &public.context, "/sign-in/link"))?;
    let page = Sent { shell: public.context.shell(), email: DisplayEmail::of_nobody(&form.email) };
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
