//! A person's passkeys: adding, renaming and removing them.

mod pages;
mod passkey;

use authz::Routes;

use crate::base::{Account, Feature, policies};

use passkey::Passkey;

authz::actions! {
    /// See the person's own passkeys.
    ListPasskeys: Read on Account;
    /// Get a challenge to create a passkey.
    EnrolPasskey: Write on Account;
    /// Store the created passkey.
    StorePasskey: Write on Account;
    /// Rename a passkey.
    RenamePasskey: Write on Passkey;
    /// Remove a passkey. The last one cannot be removed.
    RemovePasskey: Write on Passkey;
}

/// The page where people create a passkey if their action needs one. It takes `return_to`.
pub(crate) const NEW_PASSKEY_PATH: &str = "/account/passkeys/new";

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
    Feature::new("passkeys")
        .policies(policies!("passkeys", ACTIONS))
        .routes(routes)
        .account_tab("Passkeys", "/account/passkeys")
}
