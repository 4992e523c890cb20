//! Account recovery after losing every passkey: generating recovery codes, and using one.

mod codes;
mod pages;

use authz::Routes;

use crate::base::{Account, Feature, policies};

authz::actions! {
    /// See how many codes are left, and whether a recovery is pending.
    ViewRecovery: Read on Account;
    /// Generate new codes. The old ones stop working.
    GenerateRecoveryCodes: Write on Account;
    /// Stop a pending recovery.
    CancelRecovery: Write on Account;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/account/recovery", codes::show)
        .post("/account/recovery/codes", codes::generate)
        .post("/account/recovery/cancel", codes::cancel)
        .get("/recovery", pages::show)
        .post("/recovery", pages::use_code)
        .post("/recovery/continue", pages::continue_recovery);
    Feature::new("recovery")
        .policies(policies!("recovery", ACTIONS))
        .routes(routes)
        .account_tab("Recovery", "/account/recovery")
        .account_link("/account/passkeys", "generate recovery codes", "/account/recovery")
        .account_link("/step-up", "Use a recovery code", "/recovery")
}
