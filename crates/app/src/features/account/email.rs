use askama::Template;
use authn::{Authn, SignedIn};
use authz::{Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use web::{
    DigitCode, DisplayEmail, Error, Field, FieldErrors, Form, NoFields, Page, Result, Shell, display_email, see_other,
};

use super::ProveEmail;
use crate::base::Layout;

const EMAIL_PATH: &str = "/account/email";

#[derive(Template)]
#[template(path = "account/email.html")]
struct Confirm {
    shell: Shell,
    email: DisplayEmail,
    email_verified: bool,
    form: CodeForm,
}

struct CodeForm {
    code: Field,
}

impl Confirm {
    fn page(who: &SignedIn, layout: &Layout, code: &str, errors: &FieldErrors) -> Self {
        Self {
            shell: layout.account(who),
            email: DisplayEmail::of_nobody(&who.email),
            email_verified: who.email_verified,
            form: CodeForm { code: errors.field("code", code) },
        }
    }
}

pub(super) async fn ask(ok: Authorized<FormFor<ProveEmail>>, layout: Layout) -> impl IntoResponse {
    Page(Confirm::page(ok.who(), &layout, "", &FieldErrors::default()))
}

pub(super) async fn send(
    mut ok: Authorized<ProveEmail>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    nothing_to_prove(ok.who())?;
    let code = authn.new_email_code(ok.who()).await?;
    let mut tx = ok.begin().await?;
    authn.send_email_code(&mut tx, ok.who(), &code).await?;
    tx.commit().await?;
    Ok(see_other(EMAIL_PATH, &format!("We sent a code to {}.", display_email(&ok.who().email))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeInput {
    code: String,
}

pub(super) async fn confirm(
    mut ok: Authorized<ProveEmail>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(CodeInput { code }): Form<CodeInput>,
) -> Result<Response> {
    nothing_to_prove(ok.who())?;
    let mut errors = FieldErrors::default();
    let Some(typed) = errors.parse::<DigitCode<8>>("code", &code) else {
        let page = Confirm::page(ok.who(), &layout, &code, &errors);
        return Err(errors.on_page(page));
    };
    let mut tx = ok.begin().await?;
    let proved = authn.prove_email(&mut tx, ok.who(), &typed).await?;
    tx.commit().await?;
    if !proved {
        errors.add("code", "That code isn’t valid or has expired. Request a new one.");
        let page = Confirm::page(ok.who(), &layout, &code, &errors);
        return Err(errors.on_page(page));
    }
    Ok(see_other("/account", "Email verified."))
}

fn nothing_to_prove(who: &SignedIn) -> Result<()> {
    if who.email.is_empty() {
        Err(Error::Conflict("Your sign-in provider did not give us an email address.", None))
    } else if who.email_verified {
        Err(Error::Conflict("Your email is already verified.", None))
    } else {
        Ok(())
    }
}
