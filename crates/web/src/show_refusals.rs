//! If a rule about the data refuses a form (409), the response is the page of the form. The page shows the rule, and
//! keeps the submitted values.
//!
//! The handler of the page renders it, behind its own guard, from a second request that never leaves the process. If
//! that fails, the response stays the error page.

use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tower::ServiceExt;

use crate::error::ErrorSlot;
use crate::page::RenderedPage;
use crate::problem::{sent_from, wants_html};
use crate::refused_form::{RefusedForm, SentForm};
use crate::{Context, Error, cookie, one_time_key};

/// Middleware that responds to a refused form with its page. `router` is the application without this middleware.
pub async fn show_refusals(State(router): State<Router>, mut request: Request, next: Next) -> Response {
    let page: Option<Uri> = Some(sent_from(request.headers()).to_string())
        .filter(|page| page != "/" && request.method() == Method::POST && wants_html(request.headers()))
        .and_then(|page| page.parse().ok());
    let (Some(page), Some(context)) = (page, request.extensions().get::<Context>().cloned()) else {
        return next.run(request).await;
    };
    let (headers, sent) = (request.headers().clone(), SentForm::default());
    request.extensions_mut().insert(sent.clone());
    let refused = next.run(request).await;
    let Some(rule) = rule_of(&refused) else { return refused };
    let mut fields = sent.fields();
    // The page has a new one-time key.
    fields.retain(|(name, _)| name != one_time_key::FIELD);
    let context = Context { refusal: Some(Arc::new(RefusedForm { rule, fields })), ..context };
    let Ok(mut shown) = router.oneshot(page_request(page, headers, context)).await;
    if shown.status() != StatusCode::OK || shown.extensions().get::<RenderedPage>().is_none() {
        return refused;
    }
    *shown.status_mut() = StatusCode::CONFLICT;
    cookie::with_cookies_of(&refused, shown)
}

/// Returns the rule, if the response is a refusal that has no page of its own.
fn rule_of(response: &Response) -> Option<&'static str> {
    let ErrorSlot(error) = response.extensions().get()?;
    match &*error.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(Error::Conflict(rule, None)) => Some(rule),
        _ => None,
    }
}

/// Builds the request for the page, with the headers of the same browser.
fn page_request(page: Uri, mut headers: HeaderMap, context: Context) -> Request {
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ORIGIN] {
        headers.remove(name);
    }
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = page;
    *request.headers_mut() = headers;
    request.extensions_mut().insert(context);
    request
}
