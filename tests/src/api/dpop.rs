//! Tokens that are bound to a key of the client (RFC 9449).

use ed25519_dalek::SigningKey;
use p256::ecdsa::signature::Signer as _;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::access::{encode, signed};
use super::{ALL, ApiClient, contacts, program};
use crate::harness::{Answer, World};

/// A key of a client.
enum Key {
    Ed25519(SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl Key {
    fn jwk(&self) -> Value {
        match self {
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes()) })
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap()) })
            }
        }
    }

    fn header(&self) -> Value {
        let alg = if matches!(self, Self::Ed25519(_)) { "EdDSA" } else { "ES256" };
        json!({ "typ": "dpop+jwt", "alg": alg, "jwk": self.jwk() })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        match self {
            Self::Ed25519(key) => signed(key, &header.to_string(), &claims.to_string()),
            Self::P256(key) => {
                let text = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
                let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
                format!("{text}.{}", encode(signature.to_bytes()))
            }
        }
    }
}

fn keys() -> [Key; 2] {
    [Key::Ed25519(SigningKey::from_bytes(&[3; 32])), Key::P256(p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap())]
}

fn claims(world: &World, method: &str, path: &str, token: Option<&str>) -> Value {
    let mut claims = json!({
        "jti": Uuid::now_v7(), "htm": method, "htu": world.url(path), "iat": world.clock.now().timestamp(),
    });
    if let Some(token) = token {
        claims["ath"] = json!(encode(Sha256::digest(token)));
    }
    claims
}

async fn get_token(world: &World, client: &ApiClient, proof: Option<&str>) -> Answer {
    let id = client.id.to_string();
    let form = [("grant_type", "client_credentials"), ("client_id", &*id), ("client_secret", &client.secret)];
    let headers: Vec<_> = proof.iter().map(|proof| ("dpop", *proof)).collect();
    program(world, Method::POST, "/api/oauth/token", &headers, Some(&form)).await
}

async fn bound(world: &World, client: &ApiClient, key: &Key) -> String {
    let proof = key.sign(&key.header(), &claims(world, "POST", "/api/oauth/token", None));
    let answer = get_token(world, client, Some(&proof)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["token_type"], "DPoP");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

// control: IDN-17
#[tokio::test]
async fn a_bound_token_takes_a_proof_of_its_key_for_this_request_once() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "olivia", "editor", "bound", &ALL).await;
    let path = contacts(&world);
    for key in keys() {
        let token = bound(&world, &client, &key).await;
        let dpop = format!("DPoP {token}");
        let good = claims(&world, "GET", &path, Some(&token));
        let ask = async |scheme: &str, proof: &str| {
            let headers = [("authorization", scheme), ("dpop", proof)];
            program(&world, Method::GET, &format!("{path}?q=a"), &headers, None).await
        };
        let proof = key.sign(&key.header(), &good);
        assert_eq!(ask(&dpop, &proof).await.status, 200);
        let again = ask(&dpop, &proof).await;
        assert_eq!(again.status, 401, "{}", again.body);
        assert!(again.header("www-authenticate").starts_with("DPoP realm=\"api\", error=\"invalid_dpop_proof\""));

        let now = world.clock.now().timestamp();
        let other = Key::Ed25519(SigningKey::from_bytes(&[8; 32]));
        let fresh = |name: &str, value: Value| {
            let mut claims = claims(&world, "GET", &path, Some(&token));
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value;
            }
            claims
        };
        let header = |name: &str, value: Value| {
            let mut header = key.header();
            header[name] = value;
            header
        };
        let elsewhere = world.url(&path).replace("://", "://x@");
        let mut private = key.jwk();
        private["d"] = json!(encode([3; 32]));
        let bad = [
            ("another method", key.sign(&key.header(), &fresh("htm", json!("POST")))),
            ("another path", key.sign(&key.header(), &fresh("htu", json!(world.url("/api/v1/x"))))),
            ("another host", key.sign(&key.header(), &fresh("htu", json!(format!("https://evil.example{path}"))))),
            ("too old", key.sign(&key.header(), &fresh("iat", json!(now - 61)))),
            ("too new", key.sign(&key.header(), &fresh("iat", json!(now + 61)))),
            ("no time", key.sign(&key.header(), &fresh("iat", Value::Null))),
            ("no id", key.sign(&key.header(), &fresh("jti", Value::Null))),
            ("no token", key.sign(&key.header(), &fresh("ath", Value::Null))),
            ("another token", key.sign(&key.header(), &fresh("ath", json!(encode(Sha256::digest("x")))))),
            ("another key", other.sign(&other.header(), &fresh("htm", json!("GET")))),
            ("another key under this name", other.sign(&key.header(), &fresh("htm", json!("GET")))),
            ("a private key", key.sign(&header("jwk", private), &fresh("htm", json!("GET")))),
            ("another type", key.sign(&header("typ", json!("at+jwt")), &fresh("htm", json!("GET")))),
            ("no algorithm", key.sign(&header("alg", json!("none")), &fresh("htm", json!("GET")))),
            ("a shared secret", key.sign(&header("alg", json!("HS256")), &fresh("htm", json!("GET")))),
            ("a kid instead", key.sign(&header("jwk", Value::Null), &fresh("htm", json!("GET")))),
            ("what must be understood", key.sign(&header("crit", json!(["exp"])), &fresh("htm", json!("GET")))),
            ("somebody before the host", key.sign(&key.header(), &fresh("htu", json!(elsewhere)))),
            ("nothing", String::new()),
        ];
        for (what, proof) in bad {
            let answer = ask(&dpop, &proof).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.body);
            assert!(answer.header("www-authenticate").starts_with("DPoP realm=\"api\", error="), "{what}");
        }
        let proof = |claims: &Value| key.sign(&key.header(), claims);
        assert_eq!(ask(&format!("Bearer {token}"), &proof(&fresh("htm", json!("GET")))).await.status, 401);
        let without = program(&world, Method::GET, &path, &[("authorization", &dpop)], None).await;
        assert_eq!(without.status, 401, "{}", without.body);
        let (one, two) = (proof(&fresh("htm", json!("GET"))), proof(&fresh("htm", json!("GET"))));
        let twice = [("authorization", &*dpop), ("dpop", &one), ("dpop", &two)];
        assert_eq!(program(&world, Method::GET, &path, &twice, None).await.status, 401, "two proofs");
        assert_eq!(ask(&dpop, &proof(&fresh("htu", json!(world.url(&format!("{path}?q=b#c")))))).await.status, 200);
        // Of many at once, one.
        let proof = proof(&fresh("htm", json!("GET")));
        let all = futures_util::future::join_all((0..6).map(|_| ask(&dpop, &proof))).await;
        assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1);
    }
}

// control: IDN-17
#[tokio::test]
async fn a_client_that_must_prove_a_key_gets_no_token_without() {
    let world = World::start().await;
    let must = ApiClient::made(&world, "olivia", "editor", "bound", &ALL).await;
    let may = ApiClient::editor(&world).await;
    let [key, other] = keys();
    assert_eq!(get_token(&world, &must, None).await.json()["error"], "invalid_dpop_proof");
    let proof = key.sign(&key.header(), &claims(&world, "POST", "/api/oauth/token", None));
    let tokens = get_token(&world, &must, Some(&proof)).await.json();
    assert_eq!(get_token(&world, &must, Some(&proof)).await.json()["error"], "invalid_dpop_proof", "a second time");
    let elsewhere = key.sign(&key.header(), &claims(&world, "POST", "/api/oauth/revoke", None));
    assert_eq!(get_token(&world, &must, Some(&elsewhere)).await.json()["error"], "invalid_dpop_proof");
    // A refresh token of a bound family wants the same key.
    let refresh = async |key: &Key| {
        let proof = key.sign(&key.header(), &claims(&world, "POST", "/api/oauth/token", None));
        let id = must.id.to_string();
        let token = tokens["refresh_token"].as_str().unwrap();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", &*id),
            ("client_secret", &must.secret),
        ];
        program(&world, Method::POST, "/api/oauth/token", &[("dpop", &proof)], Some(&form)).await.status
    };
    assert_eq!((refresh(&other).await, refresh(&key).await), (400, 200));
    // A client that need not use DPoP may use it. Then the token needs a proof, and otherwise it needs none.
    let token = bound(&world, &may, &key).await;
    let bearer = format!("Bearer {token}");
    assert_eq!(program(&world, Method::GET, &contacts(&world), &[("authorization", &bearer)], None).await.status, 401);
    let plain = may.token(&world).await;
    let proof = key.sign(&key.header(), &claims(&world, "GET", &contacts(&world), Some(&plain)));
    let headers = [("authorization", &*format!("DPoP {plain}")), ("dpop", &proof)];
    assert_eq!(program(&world, Method::GET, &contacts(&world), &headers, None).await.status, 401);
    // A client of which it is asked later is not served with what it got before.
    world.change("update tenant.api_clients set dpop = true").await;
    let bearer = format!("Bearer {plain}");
    assert_eq!(program(&world, Method::GET, &contacts(&world), &[("authorization", &bearer)], None).await.status, 401);
}

// control: IDN-17
#[tokio::test]
async fn a_proof_is_taken_as_the_clients_of_others_make_it() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "olivia", "editor", "bound", &ALL).await;
    let path = contacts(&world);
    for key in keys() {
        let token = bound(&world, &client, &key).await;
        let dpop = format!("DPoP {token}");
        let ask = async |header: &Value, claims: &Value| {
            let proof = key.sign(header, claims);
            let headers = [("authorization", &*dpop), ("dpop", &proof)];
            program(&world, Method::GET, &path, &headers, None).await
        };
        let fresh = || claims(&world, "GET", &path, Some(&token));
        let jwk = |name: &str, value: Value| {
            let mut header = key.header();
            header["jwk"][name] = value;
            header
        };
        let mut webcrypto = jwk("ext", json!(true));
        webcrypto["jwk"]["key_ops"] = json!(["verify"]);
        let mut named = key.header();
        named["kid"] = json!("a-key");
        named["x"] = json!({ "y": [1] });
        let mut fully_specified = key.header();
        if matches!(key, Key::Ed25519(_)) {
            fully_specified["alg"] = json!("Ed25519");
        }
        for (what, header) in [
            ("as WebCrypto exports it", webcrypto),
            ("with more in the header", named),
            ("with the name of RFC 9864", fully_specified),
            ("with what nobody knows", jwk("x5t#S256", json!("x"))),
            ("with its own algorithm", jwk("alg", json!("Ed25519"))),
        ] {
            let answer = ask(&header, &fresh()).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        }
        let url = world.url(&path);
        for (what, name, value) in [
            ("a fraction of a second", "iat", json!(world.clock.now().timestamp().to_string() + ".25").to_string()),
            ("the host in capitals", "htu", json!(url.replace("http://localhost", "HTTP://LOCALHOST")).to_string()),
            ("more than is asked", "nonce", "\"x\"".to_owned()),
        ] {
            let mut claims = fresh();
            claims[name] = serde_json::from_str(if name == "iat" { value.trim_matches('"') } else { &value }).unwrap();
            let answer = ask(&key.header(), &claims).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        }
        for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            for value in [json!("AA"), json!(""), Value::Null, json!([1])] {
                let answer = ask(&jwk(member, value.clone()), &fresh()).await;
                assert_eq!(answer.status, 401, "{member} {value}: {}", answer.body);
            }
        }
    }
}
