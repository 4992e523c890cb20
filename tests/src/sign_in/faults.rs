//! The table of everything a hostile provider can do, one deviation at a time, and what has to come of it.

use devkit::idp::{Alg, Fault};

use super::{assert_is_a_plain_page, try_to_sign_in};
use crate::harness::{Answer, Database, Traces, World, log};

/// Each sign-in fetches the metadata again, also after a failure.
const ALWAYS_ASK: [(&str, &str); 1] = [("AUTHN__PROVIDERS__DEV__METADATA_SECONDS", "0")];
const ACR: &str = "[authn.providers.dev]\nacr_values = [\"urn:holdfast:strong\", \"urn:holdfast:pwd\"]\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The response is not valid.
    Refused,
    /// The response is not one of a provider.
    ProviderDown,
    /// The response is not for the sign-in in progress, which continues to wait.
    NoFlow,
    /// The response is unusual but valid.
    SignedIn,
    /// Like `ProviderDown`, after a timeout. `provider.rs` waits for these.
    GivesUp,
}

/// There is no wildcard, so every new fault needs an outcome here.
pub(crate) fn expected(fault: Fault) -> Outcome {
    match fault {
        Fault::None | Fault::HugeName | Fault::ControlCharsInName | Fault::LongEmailNoName => Outcome::SignedIn,
        Fault::WrongState => Outcome::NoFlow,
        Fault::DiscoverySlow | Fault::TokenSlow => Outcome::GivesUp,
        Fault::DiscoveryWrongIssuer
        | Fault::DiscoveryWithoutS256
        | Fault::DiscoveryRedirect
        | Fault::DiscoveryNotJson
        | Fault::DiscoveryHuge
        | Fault::DiscoveryDown
        | Fault::JwksDown
        | Fault::TokenDown
        | Fault::TokenRedirect
        | Fault::TokenNotJson
        | Fault::TokenHuge => Outcome::ProviderDown,
        Fault::WrongIssuer
        | Fault::TrailingSlashIssuer
        | Fault::WrongAudience
        | Fault::MissingAudience
        | Fault::ExtraAudience
        | Fault::WrongAzp
        | Fault::WrongNonce
        | Fault::MissingNonce
        | Fault::BadSignature
        | Fault::AlgNone
        | Fault::Hs256WithClientSecret
        | Fault::Hs256WithPublicKey
        | Fault::Expired
        | Fault::MissingExp
        | Fault::MissingIat
        | Fault::MissingSub
        | Fault::OldIat
        | Fault::FutureIat
        | Fault::NotYetValid
        | Fault::EmptySub
        | Fault::MissingAuthTime
        | Fault::OldAuthTime
        | Fault::FutureAuthTime
        | Fault::WrongAcr
        | Fault::MissingAcr
        | Fault::WrongAtHash
        | Fault::UnknownKid
        | Fault::KeySwapped
        | Fault::NoKidSeveralKeys
        | Fault::LogoutTokenInstead
        | Fault::MixedUpIssuer
        | Fault::MissingCallbackIss
        | Fault::DuplicateCallbackIss
        | Fault::CodeSwapped
        | Fault::JwksEmpty
        | Fault::TokenWithoutIdToken
        | Fault::TokenError
        | Fault::ControlCharsInSid
        | Fault::LongSubject => Outcome::Refused,
    }
}

fn assert_refused(fault: Fault, answer: &Answer, outcome: Outcome) {
    let (status, words) = match outcome {
        Outcome::Refused => (403, "This sign-in could not be verified"),
        Outcome::ProviderDown => (502, "Your sign-in provider does not answer as it should"),
        Outcome::NoFlow => (400, "This sign-in is not under way"),
        Outcome::SignedIn | Outcome::GivesUp => unreachable!("{outcome:?} is no refusal"),
    };
    assert_eq!(answer.status, status, "{fault:?}: {}", answer.text());
    assert!(answer.body.contains(words), "{fault:?}: {}", answer.text());
    assert!(answer.body.contains(answer.header("x-request-id")), "{fault:?}: with a reference");
    assert_eq!(answer.sets("session"), None, "{fault:?}");
    assert_is_a_plain_page(answer);
}

/// The fault begins while the person is at the provider, so that it shows in the answer, the token, or the keys.
// control: IDN-02
// control: IDN-03
#[tokio::test]
async fn a_fault_of_a_provider_after_the_start_signs_nobody_in_and_is_recorded() {
    let world = World::start_on(Database::create().await, ACR, &ALWAYS_ASK).await;
    world.idp.set_key(Alg::Es256);
    for &fault in Fault::ALL.iter().filter(|fault| expected(**fault) != Outcome::GivesUp) {
        world.wait(0);
        world.change("delete from identity.login_flows").await;
        let before = world.traces().await;
        let tokens = world.idp.counts().token;
        let mut client = world.stranger();
        let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
        world.idp.set_fault(fault);
        let location = world.idp.sign_in(&started.moves_on_to(), "nora").await.unwrap();
        let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
        world.idp.set_fault(Fault::None);
        let outcome = expected(fault);
        if outcome == Outcome::SignedIn {
            assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text());
            assert_eq!(client.get("/account").await.status, 200, "{fault:?}");
            continue;
        }
        assert_refused(fault, &answer, outcome);
        assert_eq!(client.cookie("session"), None, "{fault:?}");
        if outcome == Outcome::NoFlow {
            // Anybody can send any number of answers to nothing, so they are only in the log, and end nothing.
            assert_eq!(
                world.traces().await,
                Traces { logins: 1, ..before },
                "{fault:?}: no user, no session, no event"
            );
            let lines = log::lines_of(answer.request_id());
            assert!(lines.iter().any(|line| line["message"] == "sign-in failed: no flow for this browser and state"));
            continue;
        }
        let noted = Traces { failures: before.failures + 1, logins: 0, ..before };
        assert_eq!(world.traces().await, noted, "{fault:?}: no user, no session, one event");
        let event = world.events("sign_in.failed").await.pop().unwrap();
        let reason = event["details"]["reason"].as_str().unwrap();
        assert!((10..=300).contains(&reason.len()) && !reason.contains("eyJ"), "{fault:?}: {reason}");
        assert_eq!(event["request_id"], answer.header("x-request-id"), "{fault:?}");
        if matches!(fault, Fault::MixedUpIssuer | Fault::MissingCallbackIss | Fault::DuplicateCallbackIss) {
            assert_eq!(world.idp.counts().token, tokens, "{fault:?}: a code of one provider never reaches another");
        }
    }
}

#[tokio::test]
async fn a_fault_of_a_provider_before_the_start_begins_no_sign_in_and_is_logged() {
    let world = World::start_with(&ALWAYS_ASK).await;
    for fault in [
        Fault::DiscoveryWrongIssuer,
        Fault::DiscoveryWithoutS256,
        Fault::DiscoveryRedirect,
        Fault::DiscoveryNotJson,
        Fault::DiscoveryHuge,
        Fault::DiscoveryDown,
        Fault::JwksDown,
    ] {
        let before = world.traces().await;
        world.idp.set_fault(fault);
        let mut client = world.stranger();
        let answer = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
        assert_refused(fault, &answer, Outcome::ProviderDown);
        assert_eq!(answer.sets("login"), None, "{fault:?}");
        assert_eq!(world.traces().await, Traces { failures: before.failures + 1, ..before }, "{fault:?}");
    }
    world.idp.set_fault(Fault::None);
    assert_eq!(try_to_sign_in(&world, &mut world.stranger(), "nora").await.status, 200, "and it recovers by itself");
}

// control: IDN-03
#[tokio::test]
async fn a_wrong_seal_is_refused_whichever_algorithm_the_provider_uses() {
    let world = World::start_with(&ALWAYS_ASK).await;
    for alg in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        world.idp.set_key(alg);
        for fault in [
            Fault::BadSignature,
            Fault::AlgNone,
            Fault::Hs256WithClientSecret,
            Fault::Hs256WithPublicKey,
            Fault::UnknownKid,
            Fault::KeySwapped,
            Fault::NoKidSeveralKeys,
        ] {
            world.idp.set_fault(fault);
            world.wait(0);
            let answer = try_to_sign_in(&world, &mut world.stranger(), "nora").await;
            assert_refused(fault, &answer, Outcome::Refused);
            // Pinned: it is the algorithm that is refused, before any key is tried with it.
            let pinned = matches!(fault, Fault::Hs256WithClientSecret | Fault::Hs256WithPublicKey);
            let event = world.events("sign_in.failed").await.pop().unwrap();
            let reason = event["details"]["reason"].as_str().unwrap();
            assert_eq!(
                reason.contains("signature algorithm HS256 is not accepted"),
                pinned,
                "{alg:?} {fault:?}: {reason}"
            );
        }
        world.idp.set_fault(Fault::None);
    }
    assert_eq!(world.traces().await.sessions, 0);
}

#[tokio::test]
async fn a_strange_name_is_shown_cut_and_without_what_cannot_be_seen() {
    let world = World::start().await;
    for (fault, shown) in [
        (Fault::HugeName, "N".repeat(120)),
        (Fault::ControlCharsInName, "AnnSet-Cookie: a=b[31mnnA".to_owned()),
        (Fault::LongEmailNoName, "e".repeat(120)),
    ] {
        world.idp.set_fault(fault);
        let mut nora = world.sign_in("nora").await;
        let name: String = sqlx::query_scalar("select display_name from identity.users where id = $1")
            .bind(world.user("nora").await)
            .fetch_one(&mut world.database.owner().await)
            .await
            .unwrap();
        assert_eq!(name, shown, "{fault:?}");
        let page = nora.get("/account").await;
        assert!(page.status == 200 && page.body.contains(&format!(">{shown}<")), "{fault:?}: {}", page.text());
        assert_eq!(page.headers.get_all("set-cookie").iter().count(), 0, "{fault:?}");
    }
}
