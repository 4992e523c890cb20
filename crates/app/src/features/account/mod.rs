//! What is known about the person who is signed in, and about this session.

mod email;

use askama::Template;
use authz::{Authorized, Routes};
use axum::response::IntoResponse;
use web::{DisplayEmail, Page, Shell, format_datetime};

use crate::base::{Account, Feature, FrameLink, Layout, ViewAccount, policies};

authz::actions! {
    /// Show that the address which the provider gave is one's own.
    VerifyEmail: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account", show)
        .get("/account/email", email::ask)
        .post("/account/email", email::send)
        .post("/account/email/confirm", email::confirm);
    Feature::new("account")
        .policies(policies!("account", ACTIONS))
        .routes(routes)
        .account_tab("Account", "/account")
        .frame_link(FrameLink::Account("/account"))
}

#[derive(Template)]
#[template(path = "account/show.html")]
struct Show {
    shell: Shell,
    name: String,
    email: DisplayEmail,
    issuer: String,
    subject: String,
    vouched: bool,
    signed_in_at: String,
    proved_with: String,
    session_expires: String,
    device: String,
    network: String,
}

async fn show(ok: Authorized<ViewAccount>, layout: Layout) -> impl IntoResponse {
    let who = ok.who();
    Page(Show {
        shell: layout.account(who),
        name: who.name.clone(),
        email: DisplayEmail::of_person(&who.email, who.email_verified),
        issuer: who.issuer.clone().unwrap_or_default(),
        subject: who.subject.clone().unwrap_or_default(),
        vouched: who.issuer.is_some(),
        signed_in_at: format_datetime(who.auth_time),
        proved_with: crate::features::sessions::proved_with(
            &who.methods,
            who.passkey_at.is_some(),
            who.totp_at.is_some(),
        ),
        session_expires: format_datetime(who.expires_at),
        device: who.device.clone(),
        network: who.network.clone(),
    })
}
