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
