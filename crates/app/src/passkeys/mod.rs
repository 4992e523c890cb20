//! A person's passkeys: making, naming and removing them.

mod pages;
mod passkey;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::account::Account;

use passkey::Passkey;

authz::actions! {
    /// See the own passkeys.
    ListPasskeys: Read on Account;
    /// Get a challenge to make a passkey with.
    EnrolPasskey: Write on Account;
    /// Keep the passkey that was made with one.
    StorePasskey: Write on Account;
    /// Give a passkey another name.
    RenamePasskey: Write on Passkey;
    /// Remove a passkey. The last one stays.
    RemovePasskey: Write on Passkey;
}

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("", pages::list)
        .post("", pages::enrol)
        .get("/new", pages::new)
        .post("/options", pages::options)
        .get("/{passkey}/rename", pages::edit_name)
        .post("/{passkey}/rename", pages::rename)
        .get("/{passkey}/remove", pages::confirm_removal)
        .post("/{passkey}/remove", pages::remove)
        .under("/account/passkeys");
    let policies = PolicySource {
        name: "passkeys",
        schema: include_str!("../../../../policies/passkeys.cedarschema"),
        policies: include_str!("../../../../policies/passkeys.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature { routes, policies: Some(policies), ..Feature::default() }
}
