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

/// The methods of a session as people read them, the one it began with first. What a provider says it did itself is left out:
/// those are its own words.
pub(crate) fn proved_with(methods: &[String]) -> String {
    let in_words = |method: &String| match method.as_str() {
        "oidc" => Some("a provider"),
        "mail" => Some("a link by e-mail"),
        "passkey" => Some("a passkey"),
        "totp" => Some("an authenticator app"),
        _ => None,
    };
    methods.iter().filter_map(in_words).collect::<Vec<_>>().join(" and ")
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
    };
    Feature { routes, policies: Some(policies), events: &[] }
}
