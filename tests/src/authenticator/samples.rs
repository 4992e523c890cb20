//! Forms of authenticator apps.

use crate::harness::changes::{Change, Turn, changes};

changes!(
    Turn::Usual,
    [
        Change::new("/account/authenticator", &[], &[]).replaces(),
        // Need an authenticator app; see `authenticator`.
        Change::not_walked("/account/authenticator/confirm", &[("code", "123456")]).works_once(),
        Change::not_walked("/account/authenticator/remove", &[]).ends_or_changes(),
        Change::not_walked("/step-up/code", &[("code", "123456")]).works_once(),
    ]
);
