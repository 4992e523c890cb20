use askama::Template;
use authn::{Authn, Challenge, PasskeyFailure, SignedIn, StepUpOutcome};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{DigitCode, Error, Form, Id, Link, LocalPath, NoFields, Page, Query, Result, Shell, optional_id};

use super::{REQUEST_EXPIRED, in_words};
use crate::base::{ADDRESSES, Layout, personal};
use crate::features::passkeys::NEW_PASSKEY_PATH;

#[derive(Template)]
#[template(path = "step_up/ask.html")]
struct Ask {
    shell: Shell,
    /// The action of the deferred form.
    action: Option<String>,
    return_to: String,
    deferred: String,
    problem: &'static str,
    /// They have a passkey.
    by_passkey: bool,
    /// A code of their authenticator app is accepted too.
    by_code: bool,
    code_problem: &'static str,
    passkeys_url: &'static str,
    links: Vec<Link>,
}

/// What follows: a page, or a deferred form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    #[serde(default)]
    return_to: String,
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
    /// `yes`: a code of an authenticator app is accepted too.
    #[serde(default)]
    by_code: String,
}

/// Why the attempt failed.
#[derive(Default)]
struct Problems {
    passkey: &'static str,
    code: &'static str,
}

pub(super) async fn ask(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(then): Query<Then>,
) -> Result<Response> {
    if !(who.enrolled().passkey || who.enrolled().totp && then.by_code == "yes") {
        // They have no factor that would do. They create a passkey first, and then return.
        let back = match then.deferred {
            Some(id) => format!("/step-up?deferred={}", id.uuid()),
            None => then.return_to,
        };
        let enrol = format!("{NEW_PASSKEY_PATH}?return_to={}", LocalPath::or_home(&back).encoded());
        return Ok(Redirect::to(&enrol).into_response());
    }
    page(&authn, &layout, (&who, &headers), &then, Problems::default()).await
}

async fn page(
    authn: &Authn,
    layout: &Layout,
    (who, headers): (&SignedIn, &HeaderMap),
    then: &Then,
    problems: Problems,
) -> Result<Response> {
    let action = match then.deferred {
        Some(id) => authn.deferred_request(who, headers, id.uuid()).await?.map(|form| in_words(&form.action)),
        None => None,
    };
    Ok(Page(Ask {
        shell: personal(who),
        action,
        return_to: LocalPath::or_home(&then.return_to).to_string(),
        deferred: then.deferred.map(|id| id.uuid().to_string()).unwrap_or_default(),
        problem: problems.passkey,
        by_passkey: who.enrolled().passkey,
        by_code: who.enrolled().totp && then.by_code == "yes",
        code_problem: problems.code,
        passkeys_url: web::passkeys_url(),
        links: layout.account_links(ADDRESSES.step_up),
    })
    .into_response())
}

pub(super) async fn options(
    who: SignedIn,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Challenge> {
    authn.start_step_up(&who).await?.ok_or(Error::Conflict("You have no passkey to prove. Add one first.", None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    credential: String,
    #[serde(default)]
    return_to: String,
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
    #[serde(default)]
    by_code: String,
}

pub(super) async fn accept(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Answer { credential, return_to, deferred, by_code }): Form<Answer>,
) -> Result<Response> {
    let then = Then { return_to, deferred, by_code };
    let refuse = async |status: StatusCode, passkey| {
        let problems = Problems { passkey, ..Problems::default() };
        Ok((status, page(&authn, &layout, (&who, &headers), &then, problems).await?).into_response())
    };
    if credential.is_empty() {
        let problem = "No passkey was used. You need a browser that supports passkeys, with JavaScript turned on.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, problem).await;
    }
    let outcome = match authn.finish_step_up(&who, &headers, &credential, then.deferred.map(Id::uuid)).await? {
        Ok(outcome) => outcome,
        Err(failure) => return refuse(StatusCode::FORBIDDEN, why_not(failure)).await,
    };
    Ok(finish(outcome, &then))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
    #[serde(default)]
    return_to: String,
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
}

pub(super) async fn accept_code(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Code { code, return_to, deferred }): Form<Code>,
) -> Result<Response> {
    let then = Then { return_to, deferred, by_code: "yes".to_owned() };
    let Ok(code) = DigitCode::try_from(&*code) else {
        let problems = Problems { code: "Enter the six digits that your app shows.", ..Problems::default() };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&authn, &layout, (&who, &headers), &then, problems).await?)
            .into_response());
    };
    if let Some(outcome) = authn.verify_totp(&who, &headers, &code, then.deferred.map(Id::uuid)).await? {
        return Ok(finish(outcome, &then));
    }
    let problems = Problems { code: "That code isn’t valid or has been used.", ..Problems::default() };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&authn, &layout, (&who, &headers), &then, problems).await?)
        .into_response())
}

/// Continues with what the proof was for.
fn finish(StepUpOutcome { cookie, deferred }: StepUpOutcome, then: &Then) -> Response {
    let next = match deferred {
        Some(deferred) => deferred.into_response(),
        None if then.deferred.is_none() => Redirect::to(LocalPath::or_home(&then.return_to).as_str()).into_response(),
        None => Error::Conflict(REQUEST_EXPIRED, None).into_response(),
    };
    (cookie, next).into_response()
}

fn why_not(failure: PasskeyFailure) -> &'static str {
    match failure {
        PasskeyFailure::NoChallenge => "This took too long, or was sent twice. Please try again.",
        PasskeyFailure::Cloned => {
            "This passkey has been copied: its counter went back. It is disabled now. Use another passkey."
        }
        _ => "This passkey was not accepted. Use one that belongs to this account.",
    }
}
