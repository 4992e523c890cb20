use askama::Template;
use authn::{AccountNotification, Authn, Challenge, PasskeyFailure, SignedIn};
use authz::{Action, Authorized, Decision, FormFor};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use web::{
    FieldErrors, Form, FormView, Input, Link, LocalPath, NoFields, Page, Query, Result, Shell, filters, see_other,
};

use super::passkey::{self, Name, Passkey};
use super::{EnrolPasskey, ListPasskeys, RemovePasskey, RenamePasskey, StorePasskey};
use crate::base::{ADDRESSES, FormPage, Layout};

const PASSKEYS_PATH: &str = "/account/passkeys";

#[derive(Template)]
#[template(path = "passkeys/list.html")]
struct PasskeysPage {
    shell: Shell,
    passkeys: Vec<PasskeyRow>,
    /// Whether there are usable passkeys, but none that can sign in without a provider.
    none_alone: bool,
    links: Vec<Link>,
}

struct PasskeyRow {
    passkey: Passkey,
    rename_url: String,
    remove_url: Option<String>,
}

pub(super) async fn list(mut ok: Authorized<ListPasskeys>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let passkeys = passkey::all(&mut tx).await?;
    let usable = passkeys.iter().filter(|passkey| passkey.disabled_reason.is_none()).count();
    let alone = passkeys.iter().any(|passkey| passkey.disabled_reason.is_none() && passkey.discoverable != Some(false));
    let row = |passkey: Passkey| PasskeyRow {
        remove_url: (usable > 1 || passkey.disabled_reason.is_some())
            .then(|| format!("{PASSKEYS_PATH}/{}/remove", passkey.id)),
        rename_url: format!("{PASSKEYS_PATH}/{}/rename", passkey.id),
        passkey,
    };
    let passkeys = passkeys.into_iter().map(row).collect();
    let (shell, links) = (layout.account(ok.who()), layout.account_links(PASSKEYS_PATH));
    Ok(Page(PasskeysPage { shell, passkeys, none_alone: usable > 0 && !alone, links }))
}

#[derive(Template)]
#[template(path = "passkeys/new.html")]
struct EnrolmentPage {
    shell: Shell,
    first: bool,
    form: FormView,
    return_to: String,
    passkeys_url: &'static str,
}

web::form! {
    pub(super) struct EnrolForm {
        name: Name { label: "Name", noun: "a name", hint: "So that you can tell your passkeys apart." },
        credential: String { single_use: true },
        return_to: String {},
    }
}

impl EnrolForm {
    fn check(&self, errors: &mut FieldErrors) {
        if self.credential.is_empty() {
            errors.add(
                Self::FIELD.credential,
                "No passkey was created. You need a browser that supports passkeys, with JavaScript turned on.",
            );
        }
    }
}

impl EnrolmentPage {
    fn page(who: &SignedIn, layout: &Layout, return_to: &LocalPath, form: FormView) -> Self {
        Self {
            shell: layout.account(who),
            first: !who.enrolled().passkey,
            form,
            return_to: return_to.to_string(),
            passkeys_url: web::passkeys_url(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnrolmentQuery {
    #[serde(default = "to_list")]
    return_to: String,
}

fn to_list() -> String {
    PASSKEYS_PATH.to_owned()
}

#[derive(Template)]
#[template(path = "passkeys/sign_in_first.html")]
struct SignInFirstPage {
    shell: Shell,
    sign_in_url: String,
}

pub(super) async fn new(ok: Authorized<ListPasskeys>, layout: Layout, Query(then): Query<EnrolmentQuery>) -> Response {
    let (who, return_to) = (ok.who(), LocalPath::or_home(&then.return_to));
    let here = format!("{PASSKEYS_PATH}/new?return_to={}", return_to.encoded());
    match ok.decision::<EnrolPasskey>(ok.on()) {
        Decision::Allow => {
            let form = Input::<EnrolForm>::default().with(EnrolForm::FIELD.name, &*who.context().client.device);
            Page(EnrolmentPage::page(who, &layout, &return_to, form.view())).into_response()
        }
        Decision::StepUp(factor) => Redirect::to(&factor.url(&here)).into_response(),
        Decision::Deny => {
            let (sign_in, here) = (ADDRESSES.sign_in, LocalPath::or_home(&here).encoded());
            let sign_in_url = format!("{sign_in}?reauthenticate=yes&return_to={here}");
            Page(SignInFirstPage { shell: layout.account(who), sign_in_url }).into_response()
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

pub(super) async fn enrol(
    mut ok: Authorized<StorePasskey>,
    layout: Layout,
    State(authn): State<Authn>,
    headers: HeaderMap,
    Form(input): Form<Input<EnrolForm>>,
) -> Result<Response> {
    let return_to = LocalPath::or_home(
        input.text(EnrolForm::FIELD.return_to).filter(|path| !path.is_empty()).unwrap_or(PASSKEYS_PATH),
    );
    let EnrolForm { name, credential, .. } =
        input.read_with(EnrolForm::check, |form| EnrolmentPage::page(ok.who(), &layout, &return_to, form))?;
    authn.check_response_rate_limit(ok.who()).await?;
    let mut tx = ok.begin().await?;
    let outcome = authn.finish_enrolment(&mut tx, ok.who(), &headers, &name, &credential).await?;
    tx.commit().await?;
    match outcome {
        Ok(enrolled) => {
            let text = success_text(&name, enrolled.discoverable());
            let cookie = authn.step_up_by_enrolment(ok.who(), &headers, enrolled).await?;
            Ok((cookie, see_other(return_to.as_str(), &text)).into_response())
        }
        Err(failure) => Err(input.refuse(EnrolForm::FIELD.credential, refusal_text(failure), |form| {
            EnrolmentPage::page(ok.who(), &layout, &return_to, form)
        })),
    }
}

fn success_text(name: &Name, discoverable: Option<bool>) -> String {
    if discoverable == Some(false) {
        format!(
            "{name} is ready to use as a second factor. It can't sign you in alone: sign in with your provider, then use it."
        )
    } else {
        format!("{name} is ready to use.")
    }
}

fn refusal_text(failure: PasskeyFailure) -> &'static str {
    match failure {
        PasskeyFailure::NoChallenge => "This took too long, or was sent twice. Please try again.",
        PasskeyFailure::AlreadyRegistered => "This passkey is registered already.",
        PasskeyFailure::TooMany => "You have as many passkeys as an account can have. Remove one first.",
        PasskeyFailure::Refused | PasskeyFailure::Cloned => {
            "What the device sent could not be verified, so no passkey was added. Please try again."
        }
    }
}

web::form! {
    pub(super) struct NameForm {
        name: Name { label: "Name", noun: "a name" },
    }
}

fn rename_page<A: Action<On = Passkey>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    FormPage {
        shell: layout.account(ok.who()),
        heading: "Rename a passkey".to_owned(),
        lead: "".into(),
        form,
        button: "Rename",
        removes: false,
        once: false,
        action_url: format!("{PASSKEYS_PATH}/{}/rename", ok.on().id),
        cancel_url: PASSKEYS_PATH.to_owned(),
    }
}

pub(super) async fn edit_name(ok: Authorized<FormFor<RenamePasskey>>, layout: Layout) -> impl IntoResponse {
    let form = Input::<NameForm>::default().with(NameForm::FIELD.name, &*ok.on().name);
    Page(rename_page(&ok, &layout, form.view()))
}

pub(super) async fn rename(
    mut ok: Authorized<RenamePasskey>,
    layout: Layout,
    Form(input): Form<Input<NameForm>>,
) -> Result<Response> {
    let NameForm { name } = input.read(|form| rename_page(&ok, &layout, form))?;
    let mut tx = ok.begin().await?;
    passkey::rename(&mut tx, ok.on(), &name, &ok.who().actor()).await?;
    tx.commit().await?;
    Ok(see_other(PASSKEYS_PATH, &format!("Renamed to {name}.")))
}

#[derive(Template)]
#[template(path = "passkeys/remove.html")]
struct RemovalPage {
    shell: Shell,
    name: String,
    second_factor_only: bool,
    action_url: String,
    cancel_url: &'static str,
}

pub(super) async fn confirm_removal(ok: Authorized<FormFor<RemovePasskey>>, layout: Layout) -> impl IntoResponse {
    Page(RemovalPage {
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
    let notice = AccountNotification::PasskeyRemoved { name: ok.on().name.clone() };
    authn.notify(&mut tx, ok.who().user, &notice, ok.who().context()).await?;
    tx.commit().await?;
    Ok(see_other(PASSKEYS_PATH, &format!("{} was removed, and your other sessions have ended.", ok.on().name)))
}
