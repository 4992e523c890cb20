use askama::Template;
use authn::{Authn, SignedIn, TotpSecret};
use authz::{Authorized, Decision, FormFor};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use web::{DigitCode, Form, FormView, Input, LocalPath, NoFields, Page, Result, Shell, filters, see_other};

use super::picture::Picture;
use super::{AddAuthenticator, ConfirmAuthenticator, RemoveAuthenticator, ViewAuthenticator};
use crate::base::{ADDRESSES, Layout};

const AUTHENTICATOR_PATH: &str = "/account/authenticator";

#[derive(Template)]
#[template(path = "authenticator/show.html")]
struct AuthenticatorPage {
    shell: Shell,
    app: Option<AuthenticatorApp>,
    /// The page to sign in again before a first factor is added.
    sign_in_url: Option<String>,
}

struct AuthenticatorApp {
    added_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

pub(super) async fn show(mut ok: Authorized<ViewAuthenticator>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let app = sqlx::query!("select confirmed_at, last_used_at from identity.totp where confirmed_at is not null")
        .fetch_optional(&mut *tx)
        .await?;
    let app =
        app.and_then(|app| Some(AuthenticatorApp { added_at: app.confirmed_at?, last_used_at: app.last_used_at }));
    let refused = ok.decision::<AddAuthenticator>(ok.on()) == Decision::Deny;
    let reauthenticate = || {
        let (sign_in, here) = (ADDRESSES.sign_in, LocalPath::or_home(AUTHENTICATOR_PATH).encoded());
        format!("{sign_in}?reauthenticate=yes&return_to={here}")
    };
    let sign_in_url = (app.is_none() && refused).then(reauthenticate);
    Ok(Page(AuthenticatorPage { shell: layout.account(ok.who()), app, sign_in_url }))
}

#[derive(Template)]
#[template(path = "authenticator/add.html")]
struct SetupPage {
    shell: Shell,
    /// The key, as text and as a QR code. It is shown only once, and does not appear again after a wrong code.
    key: Option<(TotpSecret, Picture)>,
    form: FormView,
}

web::form! {
    pub(super) struct CodeForm {
        code: DigitCode<6> { label: "Code in the app", hint: "Six digits" },
    }
}

impl SetupPage {
    fn page(who: &SignedIn, layout: &Layout, key: Option<(TotpSecret, Picture)>, form: FormView) -> Self {
        Self { shell: layout.account(who), key, form }
    }
}

/// Responds with a page instead of a redirect, because only this response contains the secret.
pub(super) async fn add(
    mut ok: Authorized<AddAuthenticator>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    authn.check_set_up_rate_limit(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let secret = authn.new_totp(&mut tx, ok.who()).await?;
    tx.commit().await?;
    let picture = Picture::of(&secret.uri)?;
    Ok(Page(SetupPage::page(ok.who(), &layout, Some((secret, picture)), Input::<CodeForm>::default().view()))
        .into_response())
}

pub(super) async fn confirm(
    mut ok: Authorized<ConfirmAuthenticator>,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<CodeForm>>,
) -> Result<Response> {
    let CodeForm { code } = input.read(|form| SetupPage::page(ok.who(), &layout, None, form))?;
    authn.check_set_up_rate_limit(ok.who()).await?;
    let mut tx = ok.begin().await?;
    if let Some(confirmed) = authn.confirm_totp(&mut tx, ok.who(), &code).await? {
        tx.commit().await?;
        let cookie = authn.step_up_by_new_totp(ok.who(), &headers, confirmed).await?;
        return Ok((cookie, see_other(AUTHENTICATOR_PATH, "Your authenticator app is ready to use.")).into_response());
    }
    tx.commit().await?;
    let wrong = "That code isn’t valid. Wait for the next one, and check the clock on your device.";
    Err(input.refuse(CodeForm::FIELD.code, wrong, |form| SetupPage::page(ok.who(), &layout, None, form)))
}

#[derive(Template)]
#[template(path = "authenticator/remove.html")]
struct RemovalPage {
    shell: Shell,
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemoveAuthenticator>>, layout: Layout) -> impl IntoResponse {
    Page(RemovalPage { shell: layout.account(ok.who()) })
}

pub(super) async fn remove(
    mut ok: Authorized<RemoveAuthenticator>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    authn.remove_totp(&mut tx, ok.who()).await?;
    tx.commit().await?;
    Ok(see_other(AUTHENTICATOR_PATH, "The authenticator app was removed, and your other sessions have ended."))
}
