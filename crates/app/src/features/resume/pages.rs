use askama::Template;
use authn::{Authn, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{Form, Id, Page, Query, Result, Shell, moment, optional_id};

use crate::base::personal;
use crate::features::step_up::{NOT_KEPT, in_words};

#[derive(Template)]
#[template(path = "resume/ask.html")]
struct Ask {
    shell: Shell,
    form: Option<FormRow>,
    not_kept: &'static str,
}

struct FormRow {
    id: String,
    action: String,
    sent: String,
}

impl Ask {
    fn page(who: &SignedIn, form: Option<FormRow>) -> Page<Self> {
        Page(Self { shell: personal(who), form, not_kept: NOT_KEPT })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default, deserialize_with = "optional_id")]
    kept: Option<Id>,
}

/// The form is not done by opening the page: a person says that it is still what they want.
pub(super) async fn ask(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(Which { kept }): Query<Which>,
) -> Result<impl IntoResponse> {
    let form = match kept {
        Some(id) => authn.kept_form(&who, &headers, id.uuid()).await?,
        None => None,
    };
    let form = kept.zip(form).map(|(id, form)| FormRow {
        id: id.uuid().to_string(),
        action: in_words(&form.action),
        sent: moment(form.sent_at),
    });
    Ok(Ask::page(&who, form))
}

pub(super) async fn send(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Which { kept }): Form<Which>,
) -> Result<Response> {
    let kept = match kept {
        Some(id) => authn.take_form(&who, &headers, id.uuid()).await?,
        None => None,
    };
    Ok(match kept {
        Some(kept) => kept.into_response(),
        None => (StatusCode::CONFLICT, Ask::page(&who, None)).into_response(),
    })
}
