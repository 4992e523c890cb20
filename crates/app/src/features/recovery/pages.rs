use askama::Template;
use authn::{Authn, Recovery, RecoveryInput, SignedIn};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use web::{Error, Form, FormView, Input, NoFields, Page, Result, Shell, filters, see_other};

use crate::base::personal;
use crate::features::passkeys::NEW_PASSKEY_PATH;

#[derive(Template)]
#[template(path = "recovery/ask.html")]
struct RecoveryPage {
    shell: Shell,
    /// When the pending recovery of this browser can be continued, and whether that time has come.
    pending: Option<(DateTime<Utc>, bool)>,
    form: FormView,
}

web::form! {
    pub(super) struct CodeForm {
        code: RecoveryInput {},
    }
}

impl RecoveryPage {
    fn new(who: &SignedIn, pending: Option<(DateTime<Utc>, bool)>, form: FormView) -> Self {
        Self { shell: personal(who), pending, form }
    }
}

pub(super) async fn show(who: SignedIn, State(authn): State<Authn>, headers: HeaderMap) -> Result<Response> {
    if !who.enrolled().passkey && !who.enrolled().totp {
        // The person does not need recovery.
        return Ok(Redirect::to(NEW_PASSKEY_PATH).into_response());
    }
    let pending = authn.pending_recovery(&who, &headers).await?;
    Ok(Page(RecoveryPage::new(&who, pending, Input::<CodeForm>::default().view())).into_response())
}

pub(super) async fn use_code(
    who: SignedIn,
    State(authn): State<Authn>,
    Form(input): Form<Input<CodeForm>>,
) -> Result<Response> {
    let page = |form| RecoveryPage::new(&who, None, form);
    let CodeForm { code } = input.read(page)?;
    match authn.recover(&who, &code).await? {
        None => Err(input.refuse(CodeForm::FIELD.code, "That code isn’t valid or has been used.", page)),
        Some(Recovery::Now) => Ok(see_other(NEW_PASSKEY_PATH, "Code accepted. Create a new passkey now.")),
        Some(Recovery::Pending(ready, cookie)) => {
            let page = RecoveryPage::new(&who, Some((ready, false)), input.view());
            Ok((cookie, Page(page)).into_response())
        }
    }
}

pub(super) async fn continue_recovery(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    if authn.continue_recovery(&who, &headers).await? {
        Ok(see_other(NEW_PASSKEY_PATH, "Create a new passkey now."))
    } else {
        Err(Error::Conflict("No recovery is ready in this browser. It may have been stopped.", None))
    }
}
