use askama::Template;
use authn::{Authn, Recovery, RecoveryInput, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{Error, Form, NoFields, Page, Result, Shell, format_datetime, see_other};

use crate::base::personal;
use crate::features::passkeys::NEW_PASSKEY_PATH;

#[derive(Template)]
#[template(path = "recovery/ask.html")]
struct Ask {
    shell: Shell,
    problem: &'static str,
    /// A pending recovery of this browser: when it can be continued, and whether that is now.
    waits: Option<(String, bool)>,
}

pub(super) async fn ask(who: SignedIn, State(authn): State<Authn>, headers: HeaderMap) -> Result<Response> {
    if !who.enrolled().passkey && !who.enrolled().totp {
        // There is nothing to recover.
        return Ok(Redirect::to(NEW_PASSKEY_PATH).into_response());
    }
    let waits = authn.pending_recovery(&who, &headers).await?.map(|(ready, now)| (format_datetime(ready), now));
    Ok(Page(Ask { shell: personal(&who), problem: "", waits }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

pub(super) async fn take(
    who: SignedIn,
    State(authn): State<Authn>,
    Form(Code { code }): Form<Code>,
) -> Result<Response> {
    let refuse = |problem| {
        let page = Page(Ask { shell: personal(&who), problem, waits: None });
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    };
    let Ok(code) = RecoveryInput::try_from(&*code) else {
        return refuse(
            "Enter a recovery code, which has 16 letters and digits, or the six digits that your app shows.",
        );
    };
    match authn.recover(&who, &code).await? {
        None => refuse("That code isn’t valid or has been used."),
        Some(Recovery::Now) => Ok(see_other(NEW_PASSKEY_PATH, "Code accepted. Create a new passkey now.")),
        Some(Recovery::Pending(ready, cookie)) => {
            let waits = Some((format_datetime(ready), false));
            Ok((cookie, Page(Ask { shell: personal(&who), problem: "", waits })).into_response())
        }
    }
}

pub(super) async fn go_on(
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
