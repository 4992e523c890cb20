//! Forms of signing out.

use crate::harness::changes::{Change, Turn, changes};

changes!(
    Turn::SignOut,
    [
        Change::new("/sign-out", &[], &["session.signed_out"]),
        // Takes a signed message of a provider and no form; see `sign_out`.
        Change::not_walked("/sign-in/{provider}/back-channel-logout", &[("logout_token", "a.b.c")]),
    ]
);
