use askama::Template;
use authn::Authn;
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use web::{Form, FormView, Input, Page, Query, Result, Shell};

use super::pages::{EmailForm, Start, Then, move_on};

#[derive(Template)]
#[template(path = "sign_in/organization.html")]
struct Ask {
    shell: Shell,
    form: FormView,
}

pub(super) async fn ask(public: Public, Query(Then { return_to }): Query<Then>) -> impl IntoResponse {
    Page(Ask { shell: public.context.shell(), form: EmailForm::blank(&return_to) })
}

const NO_PROVIDER: &str = "No organization has an identity provider for this address. Sign in another way.";

/// The domain of an address decides which organization it belongs to. Nobody checks whether such a person exists.
pub(super) async fn start(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<EmailForm>>,
) -> Result<Response> {
    let page = |form| Ask { shell: public.context.shell(), form: EmailForm::again(form) };
    let form = input.read(page)?;
    let found = authn.identity_provider_for(&form.email, &form.solution(), &public.context).await;
    match found.map_err(|error| form.with_proof_of_work(error, &public.context, "/sign-in/organization"))? {
        Some(provider) => move_on(&authn, &public, &provider, &Start::to(&form.return_to()), &headers).await,
        None => Err(input.refuse("email", NO_PROVIDER, page)),
    }
}
