//! The account of the signed-in person, and their current session.

mod email;

use askama::Template;
use authn::SignedIn;
use authz::{Authorized, Routes};
use axum::response::{IntoResponse, Response};
use web::{DisplayEmail, Page, Shell, filters};

use crate::base::{Account, Feature, FrameLink, Layout, ViewAccount, policies};
use crate::features::sessions;

authz::actions! {
    /// Verify the email address that the identity provider gave.
    VerifyEmail: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account", show)
        .get("/account/email", email::show)
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
struct AccountPage<'a> {
    shell: Shell,
    who: &'a SignedIn,
    email: DisplayEmail,
    proved_with: String,
}

async fn show(ok: Authorized<ViewAccount>, layout: Layout) -> Response {
    let who = ok.who();
    Page(AccountPage {
        shell: layout.account(who),
        who,
        email: DisplayEmail::of_person(&who.email, who.email_verified),
        proved_with: sessions::proved_with(&who.methods, who.passkey_at.is_some(), who.totp_at.is_some()),
    })
    .into_response()
}
