use askama::Template;
use authn::{Authn, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Form, Id, Page, Query, Result, Shell, format_datetime, optional_id};

use crate::base::personal;
use crate::features::step_up::{REQUEST_EXPIRED, in_words};

#[derive(Template)]
#[template(path = "resume/ask.html")]
struct Ask {
    shell: Shell,
    form: Option<FormRow>,
    request_expired: &'static str,
}

struct FormRow {
    id: String,
    action: String,
    sent: String,
}

impl Ask {
    fn page(who: &SignedIn, form: Option<FormRow>) -> Page<Self> {
        Page(Self { shell: personal(who), form, request_expired: REQUEST_EXPIRED })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
}

/// Opening the page does not submit the form. The person confirms that they still want it.
pub(super) async fn ask(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(Which { deferred }): Query<Which>,
) -> Result<impl IntoResponse> {
    let form = match deferred {
        Some(id) => authn.deferred_request(&who, &headers, id.uuid()).await?,
        None => None,
    };
    let form = deferred.zip(form).map(|(id, form)| FormRow {
        id: id.uuid().to_string(),
        action: in_words(&form.action),
        sent: format_datetime(form.sent_at),
    });
    Ok(Ask::page(&who, form))
}

pub(super) async fn send(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Which { deferred }): Form<Which>,
) -> Result<Response> {
    let deferred = match deferred {
        Some(id) => authn.take_deferred_request(&who, &headers, id.uuid()).await?,
        None => None,
    };
    Ok(match deferred {
        Some(deferred) => deferred.into_response(),
        None => (StatusCode::CONFLICT, Ask::page(&who, None)).into_response(),
    })
}
