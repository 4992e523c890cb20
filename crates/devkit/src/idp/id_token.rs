//! ID tokens, correct or with one deviation (OpenID Connect Core 2).

use std::sync::Arc;

use serde_json::json;

use super::keys::{Claims, Seal, base64url, jws, token};
use super::{Client, Fault, Grant, Idp, LogoutFault, OTHER_CLIENT, OTHER_ISSUER, claims};

const HOUR: i64 = 3600;

pub(super) fn id_token(idp: &Idp, client: &Client, grant: &Grant, access_token: &str) -> String {
    let fault = idp.fault();
    if fault == Fault::LogoutTokenInstead {
        return idp.logout_token(&client.id, Some(&grant.person.subject), Some(&grant.sid), LogoutFault::None);
    }
    let mut claims = claims(idp, grant, access_token);
    distort(&mut claims, fault, idp.now());
    seal(idp, client, &claims, fault)
}

fn claims(idp: &Idp, grant: &Grant, access_token: &str) -> Claims {
    let (now, person) = (idp.now(), &grant.person);
    let alg = idp.lock().alg;
    let mut claims = Claims::new();
    let mut set = |name: &str, value| claims.insert(name.to_owned(), value);
    set("iss", json!(idp.issuer()));
    set("sub", json!(person.subject));
    set("aud", json!(grant.client_id));
    set("exp", json!(now + 300));
    set("iat", json!(now));
    set("auth_time", json!(grant.auth_time));
    set("sid", json!(grant.sid));
    set("at_hash", json!(alg.at_hash(access_token)));
    set("acr", json!(grant.acr));
    set("amr", json!(["pwd"]));
    if let Some(nonce) = &grant.nonce {
        set("nonce", json!(nonce));
    }
    let quirks = idp.quirks();
    if !quirks.claims_at_userinfo {
        claims.extend(claims::profile(person, &grant.scope));
    }
    claims::change(&mut claims, &quirks.claims);
    claims
}

pub(super) fn distort(claims: &mut Claims, fault: Fault, now: i64) {
    let (name, value) = match fault {
        Fault::WrongIssuer => ("iss", json!(OTHER_ISSUER)),
        Fault::TrailingSlashIssuer => ("iss", json!(format!("{}/", text(claims, "iss")))),
        Fault::WrongAudience => ("aud", json!(OTHER_CLIENT)),
        Fault::MissingAudience => return drop(claims.remove("aud")),
        Fault::ExtraAudience => ("aud", json!([text(claims, "aud"), OTHER_CLIENT])),
        Fault::WrongAzp => ("azp", json!(OTHER_CLIENT)),
        Fault::WrongNonce => ("nonce", json!(token())),
        Fault::MissingNonce => return drop(claims.remove("nonce")),
        Fault::Expired => ("exp", json!(now - HOUR)),
        Fault::MissingExp => return drop(claims.remove("exp")),
        Fault::MissingIat => return drop(claims.remove("iat")),
        Fault::OldIat => ("iat", json!(now - HOUR)),
        Fault::FutureIat => ("iat", json!(now + HOUR)),
        Fault::NotYetValid => ("nbf", json!(now + HOUR)),
        Fault::MissingSub => return drop(claims.remove("sub")),
        Fault::EmptySub => ("sub", json!("")),
        Fault::MissingAuthTime => return drop(claims.remove("auth_time")),
        Fault::OldAuthTime => ("auth_time", json!(now - 48 * HOUR)),
        Fault::FutureAuthTime => ("auth_time", json!(now + HOUR)),
        Fault::WrongAcr => ("acr", json!("urn:holdfast:nobody-asked")),
        Fault::MissingAcr => return drop(claims.remove("acr")),
        Fault::WrongAtHash => ("at_hash", json!(base64url(&[7; 16]))),
        Fault::LongSubject => ("sub", json!("s".repeat(300))),
        Fault::ControlCharsInSid => ("sid", json!("a\u{0}b\r\nc")),
        Fault::LongEmailNoName => {
            claims.remove("name");
            ("email", json!(format!("{}@example.com", "e".repeat(250))))
        }
        Fault::HugeName => ("name", json!("N".repeat(100_000))),
        Fault::ControlCharsInName => ("name", json!("Ann\u{0}\r\nSet-Cookie: a=b\u{1b}[31m\u{202e}nnA")),
        _ => return,
    };
    claims.insert(name.to_owned(), value);
}

fn text<'a>(claims: &'a Claims, name: &str) -> &'a str {
    claims.get(name).and_then(|value| value.as_str()).unwrap_or_default()
}

fn seal(idp: &Idp, client: &Client, claims: &Claims, fault: Fault) -> String {
    let (key, spare) = {
        let state = idp.lock();
        let key = state.signing_key();
        let spare = state.spare.clone().unwrap_or_else(|| Arc::clone(&key));
        (key, spare)
    };
    let pem = key.public_pem();
    let seal = match fault {
        Fault::BadSignature => Seal::Broken(&key),
        Fault::AlgNone => Seal::Unsigned,
        Fault::Hs256WithClientSecret => Seal::Hmac(client.secret.as_bytes(), &key),
        Fault::Hs256WithPublicKey => Seal::Hmac(pem.as_bytes(), &key),
        Fault::UnknownKid => Seal::Signed(&spare, Some(spare.kid())),
        Fault::KeySwapped => Seal::Signed(&key, Some(spare.kid())),
        Fault::NoKidSeveralKeys => Seal::Signed(&spare, None),
        _ => Seal::Signed(&key, Some(key.kid())),
    };
    jws("JWT", claims, &seal)
}
