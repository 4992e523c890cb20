//! Accounts to test with.

use cedar_policy::Entity;

use crate::harness::changes::{Change, Turn, changes};
use crate::policies::{entities, owned};

entities!("Account", accounts);

changes!(
    Turn::Usual,
    [
        // Need an address that nobody vouches for; see `account::email`.
        Change::not_walked("/account/email", &[]).replaces(),
        Change::not_walked("/account/email/confirm", &[("code", "12345678")]).works_once(),
    ]
);

fn accounts(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", owned("Account::\"mine\"", "User::\"me\"")),
        ("somebody's", owned("Account::\"theirs\"", "User::\"other\"")),
    ]
}
