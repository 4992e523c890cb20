use askama::Template;
use authn::{AccountNotification, Authn, Challenge, PasskeyFailure, SignedIn};
use authz::{Action, Authorized, Decision, FormFor};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{Field, FieldErrors, Form, LocalPath, NoFields, Page, Query, Result, Shell, format_datetime, see_other};

use super::passkey::{self, Name, Passkey};
use super::{EnrolPasskey, ListPasskeys, RemovePasskey, RenamePasskey, StorePasskey};
use crate::base::Layout;

const PASSKEYS_PATH: &str = "/account/passkeys";

#[derive(Template)]
#[template(path = "passkeys/list.html")]
struct List {
    shell: Shell,
    passkeys: Vec<ListRow>,
    /// There are usable passkeys, but none that may sign in alone.
    none_alone: bool,
}

struct ListRow {
    name: String,
    discoverable: Option<bool>,
    added: String,
    used: String,
    disabled_reason: Option<String>,
    rename_url: String,
    remove_url: Option<String>,
}

pub(super) async fn list(mut ok: Authorized<ListPasskeys>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let passkeys = passkey::all(&mut tx).await?;
    let usable = passkeys.iter().filter(|passkey| passkey.disabled_reason.is_none()).count();
    let alone = passkeys.iter().any(|passkey| passkey.disabled_reason.is_none() && passkey.discoverable != Some(false));
    let row = |passkey: Passkey| ListRow {
        discoverable: passkey.discoverable,
        remove_url: (usable > 1 || passkey.disabled_reason.is_some())
            .then(|| format!("{PASSKEYS_PATH}/{}/remove", passkey.id)),
        added: format_datetime(passkey.created_at),
        used: passkey.last_used_at.map_or_else(|| "Not yet".to_owned(), format_datetime),
        disabled_reason: passkey.disabled_reason,
        rename_url: format!("{PASSKEYS_PATH}/{}/rename", passkey.id),
        name: passkey.name,
    };
    let passkeys = passkeys.into_iter().map(row).collect();
    Ok(Page(List { shell: layout.account(ok.who()), passkeys, none_alone: usable > 0 && !alone }))
}

#[derive(Template)]
#[template(path = "passkeys/new.html")]
struct New {
    shell: Shell,
    first: bool,
    form: EnrolForm,
    return_to: String,
    passkeys_url: &'static str,
}

struct EnrolForm {
    name: Field,
    credential: Field,
}

impl New {
    fn page(who: &SignedIn, layout: &Layout, name: &str, return_to: &LocalPath, errors: &FieldErrors) -> Self {
        Self {
            shell: layout.account(who),
            first: !who.enrolled.passkey,
            form: EnrolForm { name: errors.field("name", name), credential: errors.field("credential", "") },
            return_to: return_to.to_string(),
            passkeys_url: web::passkeys_url(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    #[serde(default = "to_list")]
    return_to: String,
}

fn to_list() -> String {
    PASSKEYS_PATH.to_owned()
}

#[derive(Template)]
#[template(path = "passkeys/sign_in_first.html")]
struct SignInFirst {
    shell: Shell,
    sign_in_url: String,
}

pub(super) async fn new(ok: Authorized<ListPasskeys>, layout: Layout, Query(then): Query<Then>) -> Response {
    let (who, return_to) = (ok.who(), LocalPath::or_home(&then.return_to));
    let here = format!("{PASSKEYS_PATH}/new?return_to={}", return_to.encoded());
    match ok.decision::<EnrolPasskey>(ok.on()) {
        Decision::Allow => {
            Page(New::page(who, &layout, &who.context().client.device, &return_to, &FieldErrors::default()))
                .into_response()
        }
        Decision::StepUp(factor) => Redirect::to(&factor.url(&here)).into_response(),
        Decision::Deny => {
            let sign_in_url = format!("/sign-in?reauthenticate=yes&return_to={}", LocalPath::or_home(&here).encoded());
            Page(SignInFirst { shell: layout.account(who), sign_in_url }).into_response()
        }
    }
}

pub(super) async fn options(
    mut ok: Authorized<EnrolPasskey>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Challenge> {
    let known = authn.known_credentials(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let challenge = authn.start_enrolment(&mut tx, ok.who(), known).await?;
    tx.commit().await?;
    Ok(challenge)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolInput {
    name: String,
    credential: String,
    #[serde(default = "to_list")]
    return_to: String,
}

pub(super) async fn enrol(
    mut ok: Authorized<StorePasskey>,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<EnrolInput>,
) -> Result<Response> {
    let return_to = LocalPath::or_home(&input.return_to);
    let mut errors = FieldErrors::default();
    let name = errors.parse::<Name>("name", &input.name);
    if input.credential.is_empty() {
        errors.add(
            "credential",
            "No passkey was created. You need a browser that supports passkeys, with JavaScript turned on.",
        );
    }
    let (Some(name), true) = (name, errors.is_empty()) else {
        let page = New::page(ok.who(), &layout, &input.name, &return_to, &errors);
        return Err(errors.on_page(page));
    };
    authn.check_answer_rate_limit(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let outcome = authn.finish_enrolment(&mut tx, ok.who(), &headers, &name, &input.credential).await?;
    tx.commit().await?;
    match outcome {
        Ok(enrolled) => {
            let text = ready(&name, enrolled.discoverable());
            let cookie = authn.step_up_by_enrolment(ok.who(), &headers, enrolled).await?;
            Ok((cookie, see_other(return_to.as_str(), &text)).into_response())
        }
        Err(failure) => {
            errors.add("credential", why_not(failure));
            let page = New::page(ok.who(), &layout, &input.name, &return_to, &errors);
            Err(errors.on_page(page))
        }
    }
}

fn ready(name: &Name, discoverable: Option<bool>) -> String {
    if discoverable == Some(false) {
        format!(
            "{name} is ready to use as a second factor. It can't sign you in alone: sign in with your provider, then use it."
        )
    } else {
        format!("{name} is ready to use.")
    }
}

fn why_not(failure: PasskeyFailure) -> &'static str {
    match failure {
        PasskeyFailure::NotUnderWay => "This took too long, or was sent twice. Please try again.",
        PasskeyFailure::Known => "This passkey is registered already.",
        PasskeyFailure::TooMany => "You have as many passkeys as an account can have. Remove one first.",
        PasskeyFailure::Refused | PasskeyFailure::Cloned => {
            "What the device sent could not be verified, so no passkey was added. Please try again."
        }
    }
}

#[derive(Template)]
#[template(path = "passkeys/rename.html")]
struct Rename {
    shell: Shell,
    form: NameForm,
    action_url: String,
    cancel_url: &'static str,
}

struct NameForm {
    name: Field,
}

impl Rename {
    fn page<A: Action<On = Passkey>>(ok: &Authorized<A>, layout: &Layout, name: &str, errors: &FieldErrors) -> Self {
        Self {
            shell: layout.account(ok.who()),
            form: NameForm { name: errors.field("name", name) },
            action_url: format!("{PASSKEYS_PATH}/{}/rename", ok.on().id),
            cancel_url: PASSKEYS_PATH,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameInput {
    name: String,
}

pub(super) async fn edit_name(ok: Authorized<FormFor<RenamePasskey>>, layout: Layout) -> impl IntoResponse {
    Page(Rename::page(&ok, &layout, &ok.on().name, &FieldErrors::default()))
}

pub(super) async fn rename(
    mut ok: Authorized<RenamePasskey>,
    layout: Layout,
    Form(input): Form<NameInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let Some(name) = errors.parse::<Name>("name", &input.name) else {
        let page = Rename::page(&ok, &layout, &input.name, &errors);
        return Err(errors.on_page(page));
    };
    let mut tx = ok.begin().await?;
    passkey::rename(&mut tx, ok.on(), &name, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(PASSKEYS_PATH, &format!("Renamed to {name}.")))
}

#[derive(Template)]
#[template(path = "passkeys/remove.html")]
struct Removal {
    shell: Shell,
    name: String,
    second_factor_only: bool,
    action_url: String,
    cancel_url: &'static str,
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemovePasskey>>, layout: Layout) -> impl IntoResponse {
    Page(Removal {
        shell: layout.account(ok.who()),
        name: ok.on().name.clone(),
        second_factor_only: ok.on().discoverable == Some(false),
        action_url: format!("{PASSKEYS_PATH}/{}/remove", ok.on().id),
        cancel_url: PASSKEYS_PATH,
    })
}

pub(super) async fn remove(
    mut ok: Authorized<RemovePasskey>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    let mut tx = ok.begin().await?;
    passkey::remove(&mut tx, ok.on(), authn.clock().now(), &ok.who().actor()).await?;
    let notice = AccountNotification::PasskeyRemoved(ok.on().name.clone());
    authn.notify(&mut tx, ok.who().user, &notice, ok.who().context()).await?;
    tx.commit().await?;
    Ok(see_other(PASSKEYS_PATH, &format!("{} was removed, and your other sessions have ended.", ok.on().name)))
}
