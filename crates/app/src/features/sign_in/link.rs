use askama::Template;
use authn::Authn;
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use web::{DisplayEmail, Form, FormView, Input, Page, Query, Result, Shell};

use super::pages::{EmailForm, ReturnQuery, failed};

const LINK_PATH: &str = "/sign-in/link";

#[derive(Template)]
#[template(path = "sign_in/link.html")]
struct LinkPage {
    shell: Shell,
    form: FormView,
}

#[derive(Template)]
#[template(path = "sign_in/link_sent.html")]
struct LinkSentPage {
    shell: Shell,
    email: DisplayEmail,
}

#[derive(Template)]
#[template(path = "sign_in/link_confirm.html")]
struct LinkConfirmationPage {
    shell: Shell,
    form: FormView,
}

pub(super) async fn show(public: Public, Query(ReturnQuery { return_to }): Query<ReturnQuery>) -> impl IntoResponse {
    Page(LinkPage { shell: public.context.shell(), form: EmailForm::blank(&return_to) })
}

pub(super) async fn send(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<EmailForm>>,
) -> Result<Response> {
    let context = &public.context;
    let EmailForm { email, return_to, proof_of_work } = input.read(|form| LinkPage { shell: context.shell(), form })?;
    let sent = authn.send_link(&email, &return_to, &proof_of_work.into_solution(), &headers, context).await;
    let cookie = sent.map_err(|error| error.with_proof_of_work_page(context, LINK_PATH, &input))?;
    let page = LinkSentPage { shell: context.shell(), email: DisplayEmail::of_nobody(&email) };
    Ok((cookie, Page(page)).into_response())
}

web::form! {
    /// The token of a link. The page of the link submits it.
    pub(super) struct TokenForm {
        token: String {},
    }
}

/// A page with a button. Some software opens the links in emails, and that must not use the link up.
pub(super) async fn confirm(public: Public, Query(link): Query<Input<TokenForm>>) -> impl IntoResponse {
    Page(LinkConfirmationPage { shell: public.context.shell(), form: link.view() })
}

pub(super) async fn accept(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<TokenForm>>,
) -> Result<Response> {
    let TokenForm { token } = input.parse(|_, _| {})?;
    Ok(match authn.finish_link(&token, &headers, &public.context).await? {
        Ok((cookie, return_to)) => (cookie, Redirect::to(return_to.as_str())).into_response(),
        Err(failure) => failed(failure, &public.context),
    })
}
