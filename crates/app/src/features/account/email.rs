use askama::Template;
use authn::{Authn, SignedIn};
use authz::{Authorized, FormFor};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use web::{
    DigitCode, DisplayEmail, Error, Form, FormView, Input, NoFields, Page, Result, Shell, display_email, see_other,
};

use super::VerifyEmail;
use crate::base::Layout;

const EMAIL_PATH: &str = "/account/email";

#[derive(Template)]
#[template(path = "account/email.html")]
struct EmailPage {
    shell: Shell,
    email: DisplayEmail,
    email_verified: bool,
    form: FormView,
}

web::form! {
    pub(super) struct CodeForm {
        code: DigitCode<8> { hint: "Eight digits. Expires after 15 minutes." },
    }
}

impl EmailPage {
    fn page(who: &SignedIn, layout: &Layout, form: FormView) -> Self {
        Self {
            shell: layout.account(who),
            email: DisplayEmail::of_nobody(&who.email),
            email_verified: who.email_verified,
            form,
        }
    }
}

pub(super) async fn show(ok: Authorized<FormFor<VerifyEmail>>, layout: Layout) -> impl IntoResponse {
    Page(EmailPage::page(ok.who(), &layout, Input::<CodeForm>::default().view()))
}

pub(super) async fn send(
    mut ok: Authorized<VerifyEmail>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    check_unverified(ok.who())?;
    let code = authn.new_email_code(ok.who()).await?;
    let mut tx = ok.begin().await?;
    authn.send_email_code(&mut tx, ok.who(), &code).await?;
    tx.commit().await?;
    Ok(see_other(EMAIL_PATH, &format!("We sent a code to {}.", display_email(&ok.who().email))))
}

pub(super) async fn confirm(
    mut ok: Authorized<VerifyEmail>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<CodeForm>>,
) -> Result<Response> {
    check_unverified(ok.who())?;
    let CodeForm { code } = input.read(|form| EmailPage::page(ok.who(), &layout, form))?;
    let mut tx = ok.begin().await?;
    let proved = authn.verify_email(&mut tx, ok.who(), &code).await?;
    tx.commit().await?;
    if !proved {
        const WRONG: &str = "That code isn’t valid or has expired. Request a new one.";
        return Err(input.refuse(CodeForm::FIELD.code, WRONG, |form| EmailPage::page(ok.who(), &layout, form)));
    }
    Ok(see_other("/account", "Email verified."))
}

fn check_unverified(who: &SignedIn) -> Result<()> {
    if who.email.is_empty() {
        Err(Error::Conflict("Your sign-in provider did not give us an email address.", None))
    } else if who.email_verified {
        Err(Error::Conflict("Your email is already verified.", None))
    } else {
        Ok(())
    }
}
