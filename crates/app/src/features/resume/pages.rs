use askama::Template;
use authn::{Authn, DeferredRequestSummary, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use web::{Form, FormView, Id, Input, Page, Query, Result, Shell, filters};

use crate::base::personal;
use crate::features::step_up::{REQUEST_EXPIRED, in_words};

#[derive(Template)]
#[template(path = "resume/ask.html")]
struct ResumePage {
    shell: Shell,
    /// `None` once the form is submitted or has expired.
    deferred: Option<DeferredRequestSummary>,
    form: FormView,
    request_expired: &'static str,
}

web::form! {
    pub(super) struct DeferredForm {
        deferred: Option<Id> {},
    }
}

impl ResumePage {
    fn new(who: &SignedIn, deferred: Option<DeferredRequestSummary>, form: FormView) -> Self {
        Self { shell: personal(who), deferred, form, request_expired: REQUEST_EXPIRED }
    }
}

/// Shows the deferred form. Opening the page does not submit it: the person must confirm that they still want it.
pub(super) async fn show(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(input): Query<Input<DeferredForm>>,
) -> Result<impl IntoResponse> {
    let deferred = match input.parse(|_, _| {})?.deferred {
        Some(id) => authn.deferred_request(&who, &headers, id.uuid()).await?,
        None => None,
    };
    Ok(Page(ResumePage::new(&who, deferred, input.view())))
}

pub(super) async fn resume(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<DeferredForm>>,
) -> Result<Response> {
    let deferred = match input.parse(|_, _| {})?.deferred {
        Some(id) => authn.take_deferred_request(&who, &headers, id.uuid()).await?,
        None => None,
    };
    Ok(match deferred {
        Some(deferred) => deferred.into_response(),
        None => (StatusCode::CONFLICT, Page(ResumePage::new(&who, None, input.view()))).into_response(),
    })
}
