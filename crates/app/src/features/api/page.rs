use askama::Template;
use authn::{Authn, SignedIn};
use authz::Public;
use axum::extract::State;
use axum::response::IntoResponse;
use std::sync::Arc;
use tokens::{ALGORITHMS, JTI, PROOF_SECONDS, SignedExample, Tokens};
use web::{Page, Result, Shell};

use super::{OPENAPI, TOKEN};
use crate::base::{Registry, Scope, personal};

/// The path of the page. It is not below `/api/`, because paths there are for programs.
pub(super) const PATH: &str = "/api";

/// A page that explains the API to the developer of a program.
#[derive(Template)]
#[template(path = "api/page.html")]
struct ApiPage {
    shell: Shell,
    token_url: String,
    api_url: String,
    openapi_url: &'static str,
    scopes: Vec<Scope>,
    /// The algorithms that may sign a `DPoP` proof.
    algorithms: String,
    proof_seconds: i64,
    jti_lengths: String,
    /// The authority that a signed request covers.
    authority: String,
    example: SignedExample,
}

pub(super) async fn show(
    public: Public,
    who: Option<SignedIn>,
    State(tokens): State<Tokens>,
    State(authn): State<Authn>,
    State(registry): State<Arc<Registry>>,
) -> Result<impl IntoResponse> {
    Ok(Page(ApiPage {
        shell: who.as_ref().map_or_else(|| public.context.shell(), personal),
        token_url: format!("{}{TOKEN}", tokens.issuer()),
        api_url: tokens.audience(),
        openapi_url: OPENAPI,
        scopes: registry.scopes.clone(),
        algorithms: ALGORITHMS.join(", "),
        proof_seconds: PROOF_SECONDS,
        jti_lengths: format!("{} to {}", JTI.start(), JTI.end()),
        authority: tokens.authority(),
        example: tokens.signed_example(authn.clock().now())?,
    }))
}
