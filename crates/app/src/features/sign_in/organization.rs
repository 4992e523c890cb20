use askama::Template;
use authn::{Authn, ProofOfWorkSolution};
use authz::Public;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Email, Field, FieldErrors, Form, LocalPath, Page, Query, Result, Shell};

use super::pages::{EmailForm, Start, Then, move_on};

#[derive(Template)]
#[template(path = "sign_in/organization.html")]
struct Ask {
    shell: Shell,
    form: EmailForm,
    return_to: String,
}

impl Ask {
    fn page(public: &Public, email: Field, return_to: &LocalPath) -> Self {
        Self { shell: public.context.shell(), form: EmailForm { email }, return_to: return_to.to_string() }
    }
}

pub(super) async fn ask(public: Public, Query(Then { return_to }): Query<Then>) -> impl IntoResponse {
    Page(Ask::page(&public, FieldErrors::default().field("email", ""), &LocalPath::or_home(&return_to)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrganizationForm {
    email: String,
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    challenge: String,
    #[serde(default)]
    solution: String,
}

/// The domain of an address decides which organization it belongs to. Nobody checks whether such a person exists.
pub(super) async fn start(
    public: Public,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(OrganizationForm { email: given, return_to, challenge, solution }): Form<OrganizationForm>,
) -> Result<Response> {
    let (mut errors, return_to) = (FieldErrors::default(), LocalPath::or_home(&return_to));
    if let Some(email) = errors.parse::<Email>("email", &given) {
        let found =
            authn.identity_provider_for(&email, &ProofOfWorkSolution { challenge, solution }, &public.context).await;
        let found = found.map_err(|error| {
            let fields = [("email", &*given), ("return_to", return_to.as_str())];
            error.with_proof_of_work_page(&public.context, "/sign-in/organization", &fields)
        })?;
        match found {
            Some(provider) => {
                return move_on(&authn, &public, &provider, &Start::to(&return_to), &headers).await;
            }
            None => errors.add("email", "No organization brings a provider for this address. Sign in another way."),
        }
    }
    let page = Ask::page(&public, errors.field("email", given), &return_to);
    Err(errors.on_page(page))
}
