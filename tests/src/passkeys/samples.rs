//! The passkeys of the seed's people.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{Change, Credential, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::policies::{entities, owned};

sample!("passkey", passkey);
entities!("Passkey", passkeys);

changes!(
    Turn::Factors,
    [
        Change::new("/account/passkeys/options", &[], &[]).expires(),
        Change::new("/account/passkeys", &[("name", "Another device")], &["passkey.enrolled"])
            .credential(Credential::Made)
            .works_once(),
        Change::new("/account/passkeys/{passkey}/rename", &[("name", "Old telephone")], &["passkey.renamed"])
            .ends_or_changes(),
        Change::new("/step-up", &[("return_to", "/account")], &["session.stepped_up"])
            .credential(Credential::Proved)
            .works_once(),
        Change::new("/account/passkeys/{passkey}/remove", &[], &["passkey.removed"]).ends_or_changes(),
        // These prepare a sign-in or a step-up and change nothing that lasts. The result is recorded later.
        Change::not_walked("/sign-in/passkey/options", &[]),
        Change::not_walked("/step-up/options", &[]).expires(),
        // Begin a session, and so cannot be sent in one; see `passkeys` and `sign_in::link`.
        Change::not_walked("/sign-in/passkey", &[("return_to", "/account")]).credential(Credential::Proved),
    ]
);

async fn passkey(world: &World, place: Place) -> Uuid {
    world.passkey(world.owner_of(place)).await
}

fn passkeys(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", owned("Passkey::\"mine\"", "User::\"me\"")),
        ("somebody's", owned("Passkey::\"theirs\"", "User::\"other\"")),
    ]
}
