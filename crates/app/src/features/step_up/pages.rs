use askama::Template;
use authn::{Authn, Challenge, PasskeyFailure, SignedIn, StepUpOutcome};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{
    DigitCode, Error, FieldErrors, Form, FormView, Id, Input, Link, LocalPath, NoFields, Page, Query, Result, Shell,
    optional_id,
};

use super::{REQUEST_EXPIRED, in_words};
use crate::base::{ADDRESSES, Layout, personal};
use crate::features::passkeys::NEW_PASSKEY_PATH;

#[derive(Template)]
#[template(path = "step_up/ask.html")]
struct StepUpPage {
    shell: Shell,
    /// The action of the deferred form.
    action: Option<String>,
    return_to: String,
    deferred: String,
    problem: &'static str,
    /// Whether the person has a passkey.
    by_passkey: bool,
    /// The form for a code of the person's authenticator app, if a code is accepted.
    code_form: Option<FormView>,
    passkeys_url: &'static str,
    links: Vec<Link>,
}

web::form! {
    /// A code of an authenticator app, and what to continue with.
    pub(super) struct CodeForm {
        code: DigitCode<6> { label: "Code from your authenticator app" },
        return_to: LocalPath {},
        deferred: Option<Id> {},
    }
}

/// The continuation: a page or a deferred form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Continuation {
    #[serde(default)]
    return_to: String,
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
    /// `yes` means that a code of an authenticator app is accepted, too.
    #[serde(default)]
    by_code: String,
}

pub(super) async fn show(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(then): Query<Continuation>,
) -> Result<Response> {
    if !(who.enrolled().passkey || who.enrolled().totp && then.by_code == "yes") {
        // The person has no factor that would be accepted. They create a passkey first, and then return.
        let back = match then.deferred {
            Some(id) => format!("/step-up?deferred={}", id.uuid()),
            None => then.return_to,
        };
        let enrol = format!("{NEW_PASSKEY_PATH}?return_to={}", LocalPath::or_home(&back).encoded());
        return Ok(Redirect::to(&enrol).into_response());
    }
    Ok(Page(StepUpPage::new(&authn, &layout, (&who, &headers), &then).await?).into_response())
}

impl StepUpPage {
    async fn new(
        authn: &Authn,
        layout: &Layout,
        (who, headers): (&SignedIn, &HeaderMap),
        then: &Continuation,
    ) -> Result<Self> {
        let action = match then.deferred {
            Some(id) => authn.deferred_request(who, headers, id.uuid()).await?.map(|form| in_words(&form.action)),
            None => None,
        };
        let return_to = LocalPath::or_home(&then.return_to).to_string();
        let deferred = then.deferred.map(|id| id.uuid().to_string()).unwrap_or_default();
        let code_form = || {
            let form = Input::<CodeForm>::default().with(CodeForm::FIELD.return_to, &*return_to);
            form.with(CodeForm::FIELD.deferred, &*deferred).view()
        };
        Ok(Self {
            shell: personal(who),
            action,
            problem: "",
            by_passkey: who.enrolled().passkey,
            code_form: (who.enrolled().totp && then.by_code == "yes").then(code_form),
            return_to,
            deferred,
            passkeys_url: web::passkeys_url(),
            links: layout.account_links(ADDRESSES.step_up),
        })
    }
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
pub(super) struct PasskeyForm {
    credential: String,
    #[serde(default)]
    return_to: String,
    #[serde(default, deserialize_with = "optional_id")]
    deferred: Option<Id>,
    #[serde(default)]
    by_code: String,
}

pub(super) async fn verify_passkey(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(PasskeyForm { credential, return_to, deferred, by_code }): Form<PasskeyForm>,
) -> Result<Response> {
    let then = Continuation { return_to, deferred, by_code };
    let refuse = async |status: StatusCode, problem| {
        let page = StepUpPage { problem, ..StepUpPage::new(&authn, &layout, (&who, &headers), &then).await? };
        Ok((status, Page(page)).into_response())
    };
    if credential.is_empty() {
        let problem = "No passkey was used. You need a browser that supports passkeys, with JavaScript turned on.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, problem).await;
    }
    let outcome = match authn.finish_step_up(&who, &headers, &credential, then.deferred.map(Id::uuid)).await? {
        Ok(outcome) => outcome,
        Err(failure) => return refuse(StatusCode::FORBIDDEN, refusal_text(failure)).await,
    };
    Ok(finish(outcome, &then))
}

pub(super) async fn verify_code(
    who: SignedIn,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<CodeForm>>,
) -> Result<Response> {
    let text = |name| input.text(name).unwrap_or_default();
    let deferred = text(CodeForm::FIELD.deferred).parse().ok();
    let then =
        Continuation { return_to: text(CodeForm::FIELD.return_to).to_owned(), deferred, by_code: "yes".to_owned() };
    let errors = match input.parse(|_, _| {}) {
        Ok(CodeForm { code, .. }) => match authn.verify_totp(&who, &headers, &code, deferred.map(Id::uuid)).await? {
            Some(outcome) => return Ok(finish(outcome, &then)),
            None => FieldErrors::of(CodeForm::FIELD.code, "That code isn’t valid or has been used."),
        },
        Err(errors) => errors,
    };
    let page = StepUpPage::new(&authn, &layout, (&who, &headers), &then).await?;
    let code_form = page.code_form.is_some().then(|| input.view_with(&errors));
    Err(errors.on_page(StepUpPage { code_form, ..page }))
}

/// Continues with the page or form that needed the factor.
fn finish(StepUpOutcome { cookie, deferred }: StepUpOutcome, then: &Continuation) -> Response {
    let next = match deferred {
        Some(deferred) => deferred.into_response(),
        None if then.deferred.is_none() => Redirect::to(LocalPath::or_home(&then.return_to).as_str()).into_response(),
        None => Error::Conflict(REQUEST_EXPIRED, None).into_response(),
    };
    (cookie, next).into_response()
}

fn refusal_text(failure: PasskeyFailure) -> &'static str {
    match failure {
        PasskeyFailure::NoChallenge => "This took too long, or was sent twice. Please try again.",
        PasskeyFailure::Cloned => {
            "This passkey has been copied: its counter went back. It is disabled now. Use another passkey."
        }
        _ => "This passkey was not accepted. Use one that belongs to this account.",
    }
}
