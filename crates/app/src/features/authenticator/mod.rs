//! An authenticator app: a second factor for people without a passkey at hand. It does not replace a fresh passkey.

mod pages;
mod picture;

use authz::Routes;

use crate::base::{Account, Feature, policies};

authz::actions! {
    /// See whether the person has an authenticator app.
    ViewAuthenticator: Read on Account;
    /// Create the secret of a new app. Only this response shows it.
    AddAuthenticator: Write on Account;
    /// Confirm the new app with its first code.
    ConfirmAuthenticator: Write on Account;
    /// Remove the app.
    RemoveAuthenticator: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account/authenticator", pages::show)
        .post("/account/authenticator", pages::add)
        .post("/account/authenticator/confirm", pages::confirm)
        .get("/account/authenticator/remove", pages::confirm_removal)
        .post("/account/authenticator/remove", pages::remove);
    Feature::new("authenticator")
        .policies(policies!("authenticator", ACTIONS))
        .routes(routes)
        .account_tab("Authenticator", "/account/authenticator")
}
