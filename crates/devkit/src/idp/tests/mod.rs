#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod faults;
mod flow;
mod signing;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::signature::Verifier as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use url::Url;

use super::http::{Answer, send};
use super::{Alg, Client, Fault, Idp, LogoutFault, OTHER_ISSUER, Person, keys};

const CALLBACK: &str = "http://127.0.0.1:1/callback?tenant=a";
const VERIFIER: &str = "correct-horse-battery-staple-0123456789-abcdefg";

async fn provider() -> Idp {
    let person = |subject: &str, name: &str| Person {
        subject: subject.to_owned(),
        name: name.to_owned(),
        email: format!("{subject}@acme.test"),
        email_verified: true,
        about: "owner of <Acme>".to_owned(),
    };
    let people = vec![person("ann", "Ann \"A\" Arbor"), person("bob", "Bob Builder")];
    let idp = Idp::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), people).await.unwrap();
    idp.register(Client {
        id: "app".to_owned(),
        secret: "s&cret: =%".to_owned(),
        redirect_uris: vec![CALLBACK.to_owned()],
        post_logout_redirect_uris: vec!["http://127.0.0.1:1/bye".to_owned()],
        backchannel_logout_uri: None,
    });
    idp
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// A correct authorization request, with these parameters replaced, or left out where empty.
fn authorize_url(idp: &Idp, changes: &[(&str, &str)]) -> String {
    let challenge = keys::base64url(&Sha256::digest(VERIFIER));
    let mut fields = vec![
        ("client_id", "app"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("state", "the state"),
        ("nonce", "the-nonce"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    fields.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    format!("{}/authorize?{}", idp.issuer(), form(&fields))
}

fn parameter(url: &str, name: &str) -> Vec<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect()
}

async fn code(idp: &Idp) -> String {
    let callback = idp.sign_in(&authorize_url(idp, &[]), "ann").await.unwrap();
    parameter(&callback, "code").remove(0)
}

async fn redeem(idp: &Idp, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("client_id", "app"),
        ("client_secret", "s&cret: =%"),
    ];
    fields.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    send("POST", &format!("{}/token", idp.issuer()), "", &form(&fields)).await.unwrap()
}

async fn get(idp: &Idp, path: &str) -> Answer {
    send("GET", &format!("{}{path}", idp.issuer()), "", "").await.unwrap()
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, json(&answer.body)["error"].as_str().unwrap().to_owned())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// One part of a token: 0 is the header, 1 the claims.
fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&bytes(token.split('.').nth(index).unwrap())).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

async fn id_token(idp: &Idp) -> String {
    let answer = redeem(idp, &code(idp).await, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    json(&answer.body)["id_token"].as_str().unwrap().to_owned()
}

/// Whether the key set vouches for the token, by its `kid`.
async fn verified(idp: &Idp, token: &str) -> bool {
    let set = json(&get(idp, "/jwks.json").await.body);
    let Some(key) = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == part(token, 0)["kid"]).cloned()
    else {
        return false;
    };
    let member = |name: &str| bytes(key[name].as_str().unwrap());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (message, signature) = (message.as_bytes(), bytes(signature));
    match key["alg"].as_str().unwrap() {
        "RS256" => {
            let number = |name| rsa::BigUint::from_bytes_be(&member(name));
            let public = rsa::RsaPublicKey::new(number("n"), number("e")).unwrap();
            let signature = rsa::pkcs1v15::Signature::try_from(signature.as_slice()).unwrap();
            rsa::pkcs1v15::VerifyingKey::<Sha256>::new(public).verify(message, &signature).is_ok()
        }
        "ES256" => {
            use p256::ecdsa::signature::Verifier as _;
            let point = [vec![4], member("x"), member("y")].concat();
            let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
            p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).unwrap().verify(message, &signature).is_ok()
        }
        _ => {
            let public: [u8; 32] = member("x").try_into().unwrap();
            let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
            ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap().verify_strict(message, &signature).is_ok()
        }
    }
}
