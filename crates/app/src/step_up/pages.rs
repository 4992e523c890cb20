use askama::Template;
use authn::{Authn, Challenge, PasskeyFailure, SignedIn};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;
use web::{Error, Form, LocalPath, NoFields, Page, Query, Result, Shell};

use crate::shell::personal;

#[derive(Template)]
#[template(path = "step_up/ask.html")]
struct Ask {
    shell: Shell,
    /// What a kept form asks for.
    action: Option<String>,
    return_to: String,
    kept: String,
    problem: &'static str,
    passkeys_url: &'static str,
}

/// What is done afterwards: a page is shown, or a form that was kept is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    kept: String,
}

pub(super) async fn ask(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Query(then): Query<Then>,
) -> Result<Response> {
    if !who.passkey_enrolled {
        // Nothing to prove yet: first comes a passkey, and then this again.
        let back = if then.kept.is_empty() { then.return_to } else { format!("/step-up?kept={}", then.kept) };
        let enrol = format!("/account/passkeys/new?return_to={}", LocalPath::or_home(&back).encoded());
        return Ok(Redirect::to(&enrol).into_response());
    }
    page(&authn, &who, &headers, &then, "").await
}

async fn page(
    authn: &Authn,
    who: &SignedIn,
    headers: &HeaderMap,
    then: &Then,
    problem: &'static str,
) -> Result<Response> {
    let action = match then.kept.parse::<Uuid>() {
        Ok(id) => authn.kept_action(who, headers, id).await?.map(|name| in_words(&name)),
        Err(_) => None,
    };
    Ok(Page(Ask {
        shell: personal(who),
        action,
        return_to: LocalPath::or_home(&then.return_to).to_string(),
        kept: then.kept.clone(),
        problem,
        passkeys_url: web::passkeys_url(),
    })
    .into_response())
}

/// `ChangeMemberRole` as people read it: "change member role".
fn in_words(action: &str) -> String {
    action.chars().fold(String::new(), |mut words, c| {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
        words
    })
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
    #[serde(default)]
    kept: String,
}

pub(super) async fn accept(
    who: SignedIn,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(Answer { credential, return_to, kept }): Form<Answer>,
) -> Result<Response> {
    let then = Then { return_to, kept };
    let refuse = async |status: StatusCode, problem| {
        Ok((status, page(&authn, &who, &headers, &then, problem).await?).into_response())
    };
    if credential.is_empty() {
        let problem = "No passkey was used. This needs a browser with passkeys and with JavaScript.";
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, problem).await;
    }
    let stepped_up = match authn.finish_step_up(&who, &headers, &credential, then.kept.parse().ok()).await? {
        Ok(stepped_up) => stepped_up,
        Err(failure) => return refuse(StatusCode::FORBIDDEN, why_not(failure)).await,
    };
    let next = match stepped_up.kept {
        Some(kept) => kept.into_response(),
        None if then.kept.is_empty() => Redirect::to(LocalPath::or_home(&then.return_to).as_str()).into_response(),
        None => {
            let text = "What you had sent is not kept any more, and nothing was done. Please do it once more.";
            Error::Conflict(text, None).into_response()
        }
    };
    Ok((stepped_up.cookie, next).into_response())
}

fn why_not(failure: PasskeyFailure) -> &'static str {
    match failure {
        PasskeyFailure::NotUnderWay => "This took too long, or was sent twice. Please try again.",
        PasskeyFailure::Cloned => {
            "This passkey has been copied: its counter went back. It is disabled now. Use another passkey."
        }
        _ => "This passkey was not accepted. Use one that belongs to this account.",
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_of_an_action_reads_as_words() {
        assert_eq!(super::in_words("ChangeMemberRole"), "change member role");
    }
}
