//! A provider that is slow or down, has a wrong clock, or changes its keys.

use devkit::idp::{Alg, Fault};

use super::{assert_is_a_plain_page, try_to_sign_in};
use crate::harness::{Database, Traces, World};

const ALWAYS_ASK: (&str, &str) = ("AUTHN__PROVIDERS__DEV__METADATA_SECONDS", "0");

/// The provider answers after 45 seconds and a request may take 30: the application gives up on it before, and says so
/// itself.
#[tokio::test]
async fn a_slow_provider_is_given_up_on_with_a_page_of_ours() {
    let discovery = async {
        let world = World::start_with(&[ALWAYS_ASK]).await;
        world.idp.set_fault(Fault::DiscoverySlow);
        let before = world.traces().await;
        let mut client = world.stranger();
        let answer = client.post("/sign-in/dev", &[("return_to", "/")]).await;
        (answer, world.traces().await, before)
    };
    let token = async {
        let world = World::start().await;
        let mut client = world.stranger();
        let callback = world.click_at_provider(&mut client, "nora").await;
        world.idp.set_fault(Fault::TokenSlow);
        let before = world.traces().await;
        let answer = client.get_from_elsewhere(&callback).await;
        (answer, world.traces().await, Traces { logins: 0, ..before })
    };
    let (discovery, token) = tokio::join!(discovery, token);
    for (answer, after, before) in [discovery, token] {
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.body.contains("Your sign-in provider does not answer as it should"), "{}", answer.text());
        assert_is_a_plain_page(&answer);
        assert_eq!(after, Traces { failures: before.failures + 1, ..before });
    }
}

/// A slow provider holds a few requests, and not all there can be.
#[tokio::test]
async fn few_wait_for_a_slow_provider_and_nobody_after_it_was_given_up_on() {
    let world = World::start_with(&[ALWAYS_ASK, ("AUTHN__PROVIDERS__DEV__RETRY_SECONDS", "10")]).await;
    world.idp.set_fault(Fault::DiscoverySlow);
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let mut client = world.stranger();
            tokio::spawn(async move { client.post("/sign-in/dev", &[("return_to", "/")]).await.status })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap(), 502);
    }
    let reasons: Vec<_> =
        world.events("sign_in.failed").await.iter().map(|e| e["details"]["reason"].to_string()).collect();
    let because = |text: &str| reasons.iter().filter(|reason| reason.contains(text)).count();
    assert_eq!(because("many requests wait"), 8, "{reasons:?}");
    assert_eq!(because("it failed a moment ago"), 31, "those that waited");
    assert_eq!((because("discovery: "), world.idp.counts().discovery), (1, 1), "one asked");
}

#[tokio::test]
async fn a_provider_that_is_down_is_not_asked_again_at_once() {
    let world = World::start_with(&[ALWAYS_ASK, ("AUTHN__PROVIDERS__DEV__RETRY_SECONDS", "10")]).await;
    world.idp.set_fault(Fault::DiscoveryDown);
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let mut client = world.stranger();
        tasks.push(tokio::spawn(async move { client.post("/sign-in/dev", &[("return_to", "/")]).await.status }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 502);
    }
    assert_eq!(world.idp.counts().discovery, 1, "six people, one question");
    world.idp.set_fault(Fault::None);
    world.wait(9);
    assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 502);
    world.wait(1);
    assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 200);
}

// control: IDN-03
#[tokio::test]
async fn a_clock_may_be_off_by_a_minute_and_no_more() {
    let world = World::start().await;
    for (offset, status) in [(-3600, 403), (-90, 403), (-30, 200), (30, 200), (90, 403), (3600, 403)] {
        world.idp.set_clock_offset(offset);
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, status, "{offset}: {}", answer.text());
    }
    assert_eq!(world.traces().await.sessions, 2);
}

// control: IDN-03
#[tokio::test]
async fn keys_rotate_without_anybody_noticing() {
    let world = World::start().await;
    for alg in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        world.idp.set_key(alg);
        for rotate in [devkit::idp::Idp::rotate_keys, devkit::idp::Idp::rotate_keys_and_drop_old] {
            rotate(&world.idp);
            world.wait(0);
            let before = world.idp.counts();
            assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 200, "{alg:?}");
            assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 200, "{alg:?}");
            let after = world.idp.counts();
            assert_eq!(after.discovery - before.discovery, u64::from(before.discovery == 0), "{alg:?}: kept");
            assert_eq!(after.jwks - before.jwks, 1, "{alg:?}: asked once for the new key");
        }
    }
}

// control: IDN-03
#[tokio::test]
async fn a_key_that_left_the_key_set_signs_nobody_in() {
    let world = World::start().await;
    let mut client = world.stranger();
    world.idp.set_key(Alg::Es256);
    assert_eq!(try_to_sign_in(&world, &mut client, "nora").await.status, 200);
    world.idp.set_fault(Fault::JwksEmpty);
    world.wait(3601);
    let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
    assert_eq!(answer.status, 403, "metadata and keys are kept for an hour: {}", answer.text());
}

// control: IDN-03
#[tokio::test]
async fn invented_keys_cause_no_storm_on_the_key_set() {
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__RETRY_SECONDS", "10")]).await;
    world.idp.set_key(Alg::Es256);
    assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 200);
    assert_eq!(world.idp.counts().jwks, 1);
    world.idp.set_fault(Fault::UnknownKid);
    for _ in 0..4 {
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert!(matches!(answer.status, 403 | 502), "{}", answer.text());
    }
    assert_eq!(world.idp.counts().jwks, 2, "four unknown keys, one more question");
    world.wait(10);
    try_to_sign_in(&world, &mut world.stranger(), "nora").await;
    assert_eq!(world.idp.counts().jwks, 3);
    assert_eq!(world.traces().await.sessions, 1);
}

// control: IDN-03
#[tokio::test]
async fn a_configured_authentication_context_is_asked_for_and_demanded() {
    let strong = "[authn.providers.dev]\nacr_values = [\"urn:holdfast:strong\", \"urn:holdfast:stronger\"]\n";
    let world = World::start_on(Database::create().await, strong, &[]).await;
    let mut client = world.stranger();
    let url = client.post("/sign-in/dev", &[("return_to", "/")]).await.moves_on_to();
    assert_eq!(super::parameter(&url, "acr_values"), "urn:holdfast:strong urn:holdfast:stronger");
    for (fault, status) in [(Fault::None, 200), (Fault::WrongAcr, 403), (Fault::MissingAcr, 403)] {
        world.idp.set_fault(fault);
        let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
        assert_eq!(answer.status, status, "{fault:?}: {}", answer.text());
    }
    world.idp.set_fault(Fault::None);
    let plain = World::start().await;
    let url = plain.stranger().post("/sign-in/dev", &[("return_to", "/")]).await.moves_on_to();
    assert!(!url.contains("acr_values"), "{url}");
    for fault in [Fault::WrongAcr, Fault::MissingAcr] {
        plain.idp.set_fault(fault);
        assert_eq!(try_to_sign_in(&plain, &mut plain.stranger(), "nora").await.status, 200, "{fault:?}: not asked for");
    }
}
