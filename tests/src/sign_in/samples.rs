//! The identity provider of the tests.

use crate::harness::changes::{Change, Turn, changes};
use crate::harness::{Place, World, sample};

sample!("provider", provider);

changes!(
    Turn::Usual,
    [
        // These prepare a sign-in or a step-up and change nothing that lasts. The result is recorded later.
        Change::not_walked("/sign-in/{provider}", &[("return_to", "/account")]),
        Change::not_walked("/sign-in/link", &[("email", "smuggled@example.org")]),
        Change::not_walked("/sign-in/organization", &[("email", "smuggled@example.org")]),
        // Begin a session, and so cannot be sent in one; see `passkeys` and `sign_in::link`.
        Change::not_walked("/sign-in/link/confirm", &[("token", "smuggled")]),
    ]
);

async fn provider(_: &World, _: Place) -> &'static str {
    "dev"
}
