//! Responses do not reveal whether an account, a passkey or a code exists.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::passkey::{Authenticator, enrol, options};
use crate::harness::{Answer, Client, World};
use crate::passkeys::tampered;
use crate::recovery::{lost, try_code};

/// All that somebody outside can compare, but the time. Where there is no such code, Argon2id runs all the same.
fn seen(answer: &Answer) -> (u16, BTreeSet<String>, String) {
    (answer.status, answer.headers.keys().map(ToString::to_string).collect(), answer.masked())
}

// control: IDN-13
#[tokio::test]
async fn a_sign_in_with_a_passkey_asks_everybody_the_same() {
    let world = World::start().await;
    let known = world.sign_in("olivia").await;
    let ask = async |client: &Client| {
        let answer = client.clone().program().post("/sign-in/passkey/options", &[]).await;
        let mut options: Value = serde_json::from_str(&answer.body).unwrap();
        assert_ne!(options["challenge"].take(), Value::Null);
        (seen(&answer).0, seen(&answer).1, options)
    };
    let asked = ask(&world.stranger()).await;
    assert_eq!(asked.2["allowCredentials"], serde_json::json!([]));
    assert_eq!(ask(&known).await, asked);
}

// control: IDN-13
#[tokio::test]
async fn a_passkey_that_is_not_known_is_refused_like_one_that_is() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    let mut devices = [Authenticator::new(&world), Authenticator::new(&world), Authenticator::new(&world)];
    for (device, name) in devices.iter_mut().zip(["Known", "Unknown", "Disabled"]) {
        assert_eq!(enrol(&mut vera, device, name).await.status, 303);
    }
    assert_eq!(world.change("delete from identity.passkeys where name = 'Unknown'").await, 1);
    let disable =
        "update identity.passkeys set disabled_at = now(), disabled_reason = 'a test' where name = 'Disabled'";
    assert_eq!(world.change(disable).await, 1);
    let mut answers = Vec::new();
    for (device, bad_signature) in devices.iter_mut().zip([true, false, false]) {
        let mut client = world.stranger();
        let mut answer = device.get(&options(&mut client, "/sign-in/passkey/options").await);
        if bad_signature {
            answer = tampered(&answer, "signature", |bytes| bytes[20] ^= 1);
        }
        let form = [("credential", &*answer.to_string()), ("return_to", "/account")];
        answers.push(seen(&client.post("/sign-in/passkey", &form).await));
    }
    assert_eq!(answers[0].0, 403);
    assert_eq!(answers[1], answers[0], "unknown");
    assert_eq!(answers[2], answers[0], "disabled");
}

// control: IDN-13
#[tokio::test]
async fn a_recovery_code_that_is_none_is_refused_like_one_that_is_nearly_right() {
    let world = World::start().await;
    let mut without = world.sign_in_at_provider("erin").await;
    let refused = seen(&try_code(&mut without, "0000-0000-0000-0000").await);
    assert_eq!(refused.0, 422);
    let (codes, mut erin) = lost(&world, "erin").await;
    let nearly = format!("{}0", &codes[0][..codes[0].len() - 1]);
    assert_eq!(try_code(&mut erin.clone(), &codes[1]).await.status, 200, "it waits");
    for (code, what) in [("0000-0000-0000-0000", "no code"), (&nearly, "nearly right"), (&codes[1], "used")] {
        assert_eq!(seen(&try_code(&mut erin, code).await), refused, "{what}");
    }
    for _ in 0..3 {
        try_code(&mut erin, &nearly).await;
    }
    let locked = seen(&try_code(&mut erin, &nearly).await);
    assert_eq!(locked.0, 429);
    assert_eq!(seen(&try_code(&mut erin, &codes[2]).await), locked, "a right one while locked");
}
