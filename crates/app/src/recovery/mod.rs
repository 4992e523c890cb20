//! Getting back in after losing every passkey: codes made beforehand, and using one.

mod codes;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::account::Account;

authz::actions! {
    /// See how many codes are left, and whether a recovery waits.
    ViewRecovery: Read on Account;
    /// Make new codes; the old ones end.
    MakeRecoveryCodes: Write on Account;
    /// Stop a recovery that waits.
    CancelRecovery: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account/recovery", codes::show)
        .post("/account/recovery/codes", codes::make)
        .post("/account/recovery/cancel", codes::cancel)
        .get("/recovery", pages::ask)
        .post("/recovery", pages::take)
        .post("/recovery/continue", pages::go_on);
    let policies = PolicySource {
        name: "recovery",
        schema: include_str!("../../../../policies/recovery.cedarschema"),
        policies: include_str!("../../../../policies/recovery.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature { routes, policies: Some(policies), ..Feature::default() }
}
