use askama::Template;
use authn::Authn;
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use web::{DisplayEmail, Form, FormView, Input, Page, Query, Result, Shell};

use super::pages::{EmailForm, Then, failed};

const LINK_PATH: &str = "/sign-in/link";

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
    form: FormView,
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
    let context = &public.context;
    let EmailForm { email, return_to, proof_of_work } = input.read(|form| Ask { shell: context.shell(), form })?;
    let sent = authn.send_link(&email, &return_to, &proof_of_work.into_solution(), &headers, context).await;
    let cookie = sent.map_err(|error| error.with_proof_of_work_page(context, LINK_PATH, &input))?;
    let page = Sent { shell: context.shell(), email: DisplayEmail::of_nobody(&email) };
    Ok((cookie, Page(page)).into_response())
}

web::form! {
    /// The token of a link, which its page sends on.
    pub(super) struct TokenForm {
        token: String {},
    }
}

/// A page with a button, so that software that opens links in emails does not use the link up.
pub(super) async fn confirm(public: Public, Query(link): Query<Input<TokenForm>>) -> impl IntoResponse {
    Page(ConfirmPage { shell: public.context.shell(), form: link.view() })
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
