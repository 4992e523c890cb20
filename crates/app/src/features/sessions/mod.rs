//! A person's sessions. They can sign out of each one.

mod pages;
mod session;

use authz::Routes;

use crate::base::{Account, Feature, policies};

use session::Session;

authz::actions! {
    /// See the person's own sessions.
    ListSessions: Read on Account;
    /// End one of the person's own sessions.
    EndSession: Write on Session;
    /// End all of the person's own sessions except the current one.
    EndOtherSessions: Write on Account;
}

/// Describes how a session began and which factors were verified in it. Other method names come from the provider and
/// are not shown.
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
    Feature::new("sessions")
        .policies(policies!("sessions", ACTIONS))
        .routes(routes)
        .account_tab("Sessions", "/account/sessions")
}
