//! Where a person is signed in, and ending it.

mod pages;
mod session;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::account::Account;

use session::Session;

authz::actions! {
    /// See where one is signed in.
    ListSessions: Read on Account;
    /// End one of the own sessions.
    EndSession: Write on Session;
    /// End all of them but the one that asks.
    EndOtherSessions: Write on Account;
}

/// How a session began and what was proved in it, as people read it. The other methods of a session are a provider's own
/// words.
pub(crate) fn proved_with(methods: &[String], passkey: bool, totp: bool) -> String {
    let began = match methods.first().map(String::as_str) {
        Some("mail") => "a link by email",
        Some("passkey") => "a passkey",
        _ => "a provider",
    };
    let mut with = began.to_owned();
    if passkey && began != "a passkey" {
        with.push_str(" and a passkey");
    }
    if totp {
        with.push_str(" and an authenticator app");
    }
    with
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("/end-others", pages::end_others)
        .post("/{session}/end", pages::end)
        .under("/account/sessions");
    let policies = PolicySource {
        name: "sessions",
        schema: include_str!("../../../../policies/sessions.cedarschema"),
        policies: include_str!("../../../../policies/sessions.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature { routes, policies: Some(policies), ..Feature::default() }
}
