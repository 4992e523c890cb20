//! An authenticator app: the second factor for who has no passkey at hand, and no proof for what takes a fresh one.

mod pages;
mod picture;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::account::Account;

authz::actions! {
    /// See whether there is one.
    ViewAuthenticator: Read on Account;
    /// Make the secret of a new one. Shows it, this once.
    AddAuthenticator: Write on Account;
    /// Send the first code of it.
    ConfirmAuthenticator: Write on Account;
    /// Take it away.
    RemoveAuthenticator: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account/authenticator", pages::show)
        .post("/account/authenticator", pages::add)
        .post("/account/authenticator/confirm", pages::confirm)
        .get("/account/authenticator/remove", pages::confirm_removal)
        .post("/account/authenticator/remove", pages::remove);
    let policies = PolicySource {
        name: "authenticator",
        schema: include_str!("../../../../policies/authenticator.cedarschema"),
        policies: include_str!("../../../../policies/authenticator.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature { routes, policies: Some(policies), ..Feature::default() }
}
