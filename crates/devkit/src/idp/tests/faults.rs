use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::idp::keys::Claims;

/// The claims of a token, made comparable: times in hours from now, chance replaced by whether it is right.
fn comparable(token: &str, access_token: &str, now: i64) -> Claims {
    let mut claims = part(token, 1).as_object().unwrap().clone();
    for (name, value) in &mut claims {
        match name.as_str() {
            "iat" | "exp" | "nbf" | "auth_time" => {
                *value = json!((value.as_i64().unwrap() - now + 1800).div_euclid(3600));
            }
            "at_hash" => *value = json!(value.as_str().unwrap() == Alg::Es256.at_hash(access_token)),
            "sid" | "jti" => {
                *value = json!(value.as_str().is_some_and(|text| text.len() < 64 && !text.contains(char::is_control)));
            }
            _ => {}
        }
    }
    claims
}

fn changed<'a>(before: &'a Claims, after: &'a Claims) -> BTreeSet<&'a str> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).map(String::as_str).collect()
}

/// What a client gets under this fault: the ID token, and its comparable claims.
async fn signed_in(idp: &Idp, fault: Fault) -> (String, Claims) {
    idp.set_fault(fault);
    let tokens = json(&redeem(idp, &code(idp).await, &[]).await.body);
    let token = tokens["id_token"].as_str().unwrap().to_owned();
    let claims = comparable(&token, tokens["access_token"].as_str().unwrap(), idp.now());
    (token, claims)
}

#[tokio::test]
async fn a_wrong_claim_is_the_only_wrong_claim() {
    let idp = provider().await;
    idp.set_key(Alg::Es256);
    let (_, honest) = signed_in(&idp, Fault::None).await;
    for (fault, claim) in [
        (Fault::WrongIssuer, "iss"),
        (Fault::TrailingSlashIssuer, "iss"),
        (Fault::WrongAudience, "aud"),
        (Fault::MissingAudience, "aud"),
        (Fault::ExtraAudience, "aud"),
        (Fault::WrongAzp, "azp"),
        (Fault::WrongNonce, "nonce"),
        (Fault::MissingNonce, "nonce"),
        (Fault::CodeSwapped, "nonce"),
        (Fault::Expired, "exp"),
        (Fault::MissingExp, "exp"),
        (Fault::MissingIat, "iat"),
        (Fault::OldIat, "iat"),
        (Fault::FutureIat, "iat"),
        (Fault::NotYetValid, "nbf"),
        (Fault::MissingSub, "sub"),
        (Fault::EmptySub, "sub"),
        (Fault::LongSubject, "sub"),
        (Fault::MissingAuthTime, "auth_time"),
        (Fault::OldAuthTime, "auth_time"),
        (Fault::FutureAuthTime, "auth_time"),
        (Fault::WrongAcr, "acr"),
        (Fault::MissingAcr, "acr"),
        (Fault::WrongAtHash, "at_hash"),
        (Fault::ControlCharsInSid, "sid"),
        (Fault::HugeName, "name"),
        (Fault::ControlCharsInName, "name"),
    ] {
        let (token, claims) = signed_in(&idp, fault).await;
        assert_eq!(changed(&honest, &claims), BTreeSet::from([claim]), "{fault:?}");
        assert!(verified(&idp, &token).await, "{fault:?}");
    }
}

#[tokio::test]
async fn a_wrong_seal_closes_correct_claims() {
    let idp = provider().await;
    idp.set_key(Alg::Es256);
    let (_, honest) = signed_in(&idp, Fault::None).await;
    for (fault, alg, kid_is_published) in [
        (Fault::BadSignature, "ES256", true),
        (Fault::AlgNone, "none", false),
        (Fault::Hs256WithClientSecret, "HS256", true),
        (Fault::Hs256WithPublicKey, "HS256", true),
        (Fault::UnknownKid, "ES256", false),
        (Fault::KeySwapped, "ES256", true),
        (Fault::NoKidSeveralKeys, "ES256", false),
    ] {
        let (token, claims) = signed_in(&idp, fault).await;
        assert_eq!(changed(&honest, &claims), BTreeSet::new(), "{fault:?}");
        assert_eq!(part(&token, 0)["alg"], alg, "{fault:?}");
        let keys = get(&idp, "/jwks.json").await.body;
        let kid = part(&token, 0)["kid"].as_str().unwrap_or("none").to_owned();
        assert_eq!(keys.contains(&kid), kid_is_published, "{fault:?}");
        let several = matches!(fault, Fault::KeySwapped | Fault::NoKidSeveralKeys);
        assert_eq!(keys.matches("ES256").count(), if several { 2 } else { 1 }, "{fault:?}");
        assert!(alg != "ES256" || !verified(&idp, &token).await, "{fault:?}");
    }
    idp.set_fault(Fault::LogoutTokenInstead);
    assert_eq!(part(&id_token(&idp).await, 0)["typ"], "logout+jwt");
}

#[tokio::test]
async fn a_callback_is_wrong_in_one_parameter() {
    let idp = provider().await;
    for (fault, issuers, state_is_right) in [
        (Fault::None, vec![idp.issuer()], true),
        (Fault::MixedUpIssuer, vec![OTHER_ISSUER.to_owned()], true),
        (Fault::MissingCallbackIss, vec![], true),
        (Fault::DuplicateCallbackIss, vec![idp.issuer(), idp.issuer()], true),
        (Fault::WrongState, vec![idp.issuer()], false),
    ] {
        idp.set_fault(fault);
        let callback = idp.sign_in(&authorize_url(&idp, &[]), "ann").await.unwrap();
        assert_eq!(parameter(&callback, "iss"), issuers, "{fault:?}");
        assert_eq!(parameter(&callback, "state") == ["the state"], state_is_right, "{fault:?}");
        assert_eq!(parameter(&callback, "code").len(), 1);
    }
}

#[tokio::test]
async fn an_endpoint_fails_in_its_own_way() {
    let idp = provider().await;
    let metadata = "/.well-known/openid-configuration";
    let honest = json(&get(&idp, metadata).await.body);
    for (fault, member) in [
        (Fault::DiscoveryWrongIssuer, "issuer"),
        (Fault::DiscoveryWithoutS256, "code_challenge_methods_supported"),
        (Fault::DiscoveryHuge, "padding"),
    ] {
        idp.set_fault(fault);
        let changes = json(&get(&idp, metadata).await.body);
        assert_eq!(changed(honest.as_object().unwrap(), changes.as_object().unwrap()), BTreeSet::from([member]));
    }
    for (fault, path, status) in [
        (Fault::DiscoveryDown, metadata, 500),
        (Fault::DiscoveryNotJson, metadata, 200),
        (Fault::DiscoveryRedirect, metadata, 302),
        (Fault::JwksDown, "/jwks.json", 500),
    ] {
        idp.set_fault(fault);
        let answer = get(&idp, path).await;
        assert_eq!((answer.status, serde_json::from_str::<Value>(&answer.body).is_err()), (status, true), "{fault:?}");
        if let Some(elsewhere) = answer.header("location") {
            assert_eq!(json(&send("GET", elsewhere, "", "").await.unwrap().body), honest);
        }
    }
    idp.set_fault(Fault::JwksEmpty);
    assert_eq!(json(&get(&idp, "/jwks.json").await.body), json!({ "keys": [] }));
    for (fault, status, length) in [
        (Fault::TokenDown, 500, 0..10),
        (Fault::TokenNotJson, 200, 10..100),
        (Fault::TokenRedirect, 307, 0..10),
        (Fault::TokenError, 400, 50..200),
        (Fault::TokenWithoutIdToken, 200, 80..150),
        (Fault::TokenHuge, 200, (8 << 20)..(9 << 20)),
    ] {
        let code = code(&idp).await;
        idp.set_fault(fault);
        let answer = redeem(&idp, &code, &[]).await;
        assert!(answer.status == status && length.contains(&answer.body.len()), "{fault:?} {}", answer.body);
        let elsewhere = format!("{}/elsewhere/token", idp.issuer());
        assert!(fault != Fault::TokenRedirect || answer.header("location") == Some(&elsewhere));
    }
}

#[tokio::test]
async fn a_logout_token_is_wrong_in_one_way() {
    let idp = provider().await;
    idp.set_key(Alg::Es256);
    let honest = idp.logout_token("app", Some("ann"), Some("sid-1"), LogoutFault::None);
    assert_eq!(LogoutFault::ALL.len(), 17);
    for &fault in LogoutFault::ALL {
        let token = idp.logout_token("app", Some("ann"), Some("sid-1"), fault);
        let now = idp.now();
        let claims: &[&str] = match fault {
            LogoutFault::NoEvent | LogoutFault::WrongEvent => &["events"],
            LogoutFault::WithNonce => &["nonce"],
            LogoutFault::WrongAudience => &["aud"],
            LogoutFault::WrongIssuer => &["iss"],
            LogoutFault::Expired => &["exp"],
            LogoutFault::OldIat | LogoutFault::FutureIat => &["iat"],
            LogoutFault::MissingJti | LogoutFault::LongJti => &["jti"],
            LogoutFault::ControlCharsInSid => &["sid"],
            LogoutFault::NoSubNoSid => &["sid", "sub"],
            LogoutFault::IdTokenInstead => &["events", "jti", "auth_time", "nonce"],
            _ => &[],
        };
        let now_different = comparable(&token, "", now);
        let expected = claims.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(changed(&comparable(&honest, "", now), &now_different), expected, "{fault:?}");
        let untyped = matches!(fault, LogoutFault::WrongTyp | LogoutFault::IdTokenInstead);
        assert_eq!(part(&token, 0)["typ"] == "JWT", untyped, "{fault:?}");
    }
}
