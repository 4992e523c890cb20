use askama::Template;
use authn::Authn;
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use web::{Form, FormView, Input, Page, Query, Result, Shell};

use super::pages::{EmailForm, ProviderForm, ReturnQuery, start_at};

const ORGANIZATION_PATH: &str = "/sign-in/organization";

#[derive(Template)]
#[template(path = "sign_in/organization.html")]
struct OrganizationPage {
    shell: Shell,
    form: FormView,
}

pub(super) async fn show(public: Public, Query(ReturnQuery { return_to }): Query<ReturnQuery>) -> impl IntoResponse {
    Page(OrganizationPage { shell: public.context.shell(), form: EmailForm::blank(&return_to) })
}

const NO_PROVIDER: &str = "No organization has an identity provider for this address. Sign in another way.";

/// The domain of the address selects the organization. The code does not look up whether such a person exists.
pub(super) async fn start(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<EmailForm>>,
) -> Result<Response> {
    let page = |form| OrganizationPage { shell: public.context.shell(), form };
    let EmailForm { email, return_to, proof_of_work } = input.read(page)?;
    let found = authn.identity_provider_for(&email, &proof_of_work.into_solution(), &public.context).await;
    match found.map_err(|error| error.with_proof_of_work_page(&public.context, ORGANIZATION_PATH, &input))? {
        Some(provider) => start_at(&authn, &public, &provider, ProviderForm::blank(&return_to), &headers).await,
        None => Err(input.refuse(EmailForm::FIELD.email, NO_PROVIDER, page)),
    }
}
