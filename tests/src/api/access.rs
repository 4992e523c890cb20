//! Access tokens: what they say, and that nothing that is not exactly one of ours is taken.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{ApiClient, call, contacts, parts, program};
use crate::harness::{World, registry};

/// A key in the list whose private part a test has.
pub(super) struct Insider {
    kid: Uuid,
    key: SigningKey,
}

impl Insider {
    pub(super) async fn of(world: &World) -> Self {
        let (kid, key) = (Uuid::now_v7(), SigningKey::from_bytes(&[7; 32]));
        sqlx::query(
            "insert into identity.signing_keys (id, public, private, signs_from, signs_until, published_until)
             values ($1, $2, $3, $4 + interval '2 days', $4 + interval '30 days', $4 + interval '31 days')",
        )
        .bind(kid)
        .bind(key.verifying_key().to_bytes())
        .bind([0_u8; 80])
        .bind(world.clock.now())
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
        Self { kid, key }
    }

    pub(super) fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": "EdDSA", "kid": self.kid })
    }

    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        signed(&self.key, header, claims)
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature = encode(key.sign(text.as_bytes()).to_bytes());
    format!("{text}.{signature}")
}

fn with(value: &Value, name: &str, other: Value) -> String {
    let mut value = value.clone();
    if other.is_null() {
        value.as_object_mut().unwrap().remove(name);
    } else {
        value[name] = other;
    }
    value.to_string()
}

// control: IDN-16
#[tokio::test]
async fn a_token_names_its_subject_and_lifetime() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let answer = client.tokens(&world).await;
    assert_eq!((&answer["token_type"], answer["expires_in"].as_i64()), (&json!("Bearer"), Some(600)));
    let (header, claims) = parts(answer["access_token"].as_str().unwrap());
    let now = world.clock.now().timestamp();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("EdDSA")));
    assert_eq!(header.as_object().unwrap().len(), 3, "{header}");
    let id = client.id.to_string();
    assert_eq!(claims["iss"], world.url(""));
    assert_eq!(claims["aud"], world.url("/api/v1"));
    assert_eq!((&claims["client_id"], &claims["sub"]), (&json!(id), &json!(id)));
    assert_eq!(claims["tenant"], world.acme.organization.to_string());
    for (name, wanted) in [("iat", now), ("nbf", now), ("exp", now + 600)] {
        assert_eq!(claims[name], wanted, "{name}");
    }
    assert!(claims["jti"].as_str().unwrap().parse::<Uuid>().is_ok());
    let token = answer["access_token"].as_str().unwrap();
    let list = call(&world, Method::GET, &contacts(&world), token, None).await;
    assert_eq!(list.status, 200, "{}", list.body);
    // It ends by itself.
    world.wait(599);
    assert_eq!(call(&world, Method::GET, &contacts(&world), token, None).await.status, 200);
    world.wait(1);
    let ended = call(&world, Method::GET, &contacts(&world), token, None).await;
    assert_eq!(ended.status, 401);
    assert!(
        ended
            .header("www-authenticate")
            .starts_with("Bearer realm=\"api\", error=\"invalid_token\", resource_metadata=")
    );
}

// control: IDN-16
#[tokio::test]
async fn a_token_that_is_not_one_of_ours_for_us_and_for_now_is_nothing() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let good = client.token(&world).await;
    let (real_header, claims) = parts(&good);
    let insider = Insider::of(&world).await;
    let (header, plain, now) = (insider.header().to_string(), claims.to_string(), world.clock.now().timestamp());
    world.wait(11); // The list of keys is read again for one that is not in it.
    // Not vacuous: as it is, it is taken.
    let url = contacts(&world);
    let first = call(&world, Method::GET, &url, &insider.sign(&header, &plain), None).await;
    assert_eq!(first.status, 200, "{}", first.body);

    let mut forged: Vec<(&str, String)> = Vec::new();
    let stranger = SigningKey::from_bytes(&[9; 32]);
    forged.push(("another key", signed(&stranger, &header, &plain)));
    forged.push(("another key under the name of ours", signed(&stranger, &real_header.to_string(), &plain)));
    for (what, name, value) in [
        ("no algorithm", "alg", json!("none")),
        ("HS256", "alg", json!("HS256")),
        ("RS256", "alg", json!("RS256")),
        ("ES256", "alg", json!("ES256")),
        ("Ed25519", "alg", json!("Ed25519")),
        ("an algorithm less", "alg", Value::Null),
        ("an unknown kid", "kid", json!(Uuid::now_v7())),
        ("a kid that is none", "kid", json!("../../key")),
        ("a kid less", "kid", Value::Null),
        ("another type", "typ", json!("JWT")),
        ("an ID token", "typ", json!("id+jwt")),
        ("a proof", "typ", json!("dpop+jwt")),
        ("a type less", "typ", Value::Null),
        (
            "a key of its own",
            "jwk",
            json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(stranger.verifying_key().as_bytes()) }),
        ),
        ("a place for keys", "jku", json!("https://evil.example/jwks.json")),
        ("critical extensions", "crit", json!(["exp"])),
    ] {
        forged.push((what, insider.sign(&with(&insider.header(), name, value), &plain)));
    }
    for (what, name, value) in [
        ("another issuer", "iss", json!("https://evil.example")),
        ("an issuer with a slash", "iss", json!(world.url("/"))),
        ("another audience", "aud", json!(world.url("/api/v2"))),
        ("several audiences", "aud", json!([world.url("/api/v1")])),
        ("expired", "exp", json!(now + 11)),
        ("good for longer than any", "exp", json!(now + 100_000)),
        ("no end", "exp", Value::Null),
        ("an end that is no number", "exp", json!("9999999999")),
        ("not yet", "nbf", json!(now + 17)),
        ("no beginning", "nbf", Value::Null),
        ("made later", "iat", json!(now + 17)),
        ("no id", "jti", Value::Null),
        ("no tenant", "tenant", Value::Null),
        ("another tenant", "tenant", json!(world.globex.organization)),
        ("another client", "client_id", json!(Uuid::now_v7())),
        ("another family", "family", json!(Uuid::now_v7())),
        ("no family", "family", Value::Null),
        ("bound to a key", "cnf", json!({ "jkt": "x".repeat(43) })),
        ("more than we say", "role", json!("owner")),
    ] {
        forged.push((what, insider.sign(&header, &with(&claims, name, value))));
    }
    let twice = plain.replacen('{', &format!("{{\"tenant\":\"{}\",", world.globex.organization), 1);
    forged.push(("a claim twice", insider.sign(&header, &twice)));
    forged.push(("something after the claims", insider.sign(&header, &format!("{plain}{{}}"))));
    let text = format!("{}.{}", encode(with(&insider.header(), "alg", json!("HS256"))), encode(&plain));
    let mac = Hmac::<Sha256>::new_from_slice(insider.key.verifying_key().as_bytes()).unwrap().chain_update(&text);
    forged.push(("the public key as a secret", format!("{text}.{}", encode(mac.finalize().into_bytes()))));
    let none = encode(with(&insider.header(), "alg", json!("none")));
    forged.push(("no signature", format!("{none}.{}.", encode(&plain))));
    let (start, signature) = good.rsplit_once('.').unwrap();
    forged.push(("its signature less", format!("{start}.")));
    forged.push(("half of a signature", format!("{start}.{}", &signature[..43])));
    forged.push(("a signature of zeros", format!("{start}.{}", encode([0; 64]))));
    forged.push((
        "another last bit",
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { "Q" } else { "A" }),
    ));
    forged.push(("padding", format!("{good}==")));
    forged.push(("a part more", format!("{good}.e30")));
    forged.push(("nothing", String::new()));
    forged.push(("very long", "a.".repeat(5_000)));
    forged.push(("two tokens", format!("{good},{good}")));
    for (what, token) in forged {
        let answer = call(&world, Method::GET, &url, &token, None).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    }
    assert_eq!(call(&world, Method::GET, &url, &good, None).await.status, 200, "the real one still is");
}

// control: IDN-16
// control: POL-01
#[tokio::test]
async fn cookies_open_no_route_of_the_api_and_tokens_no_page() {
    let world = World::start().await;
    let token = ApiClient::editor(&world).await.token(&world).await;
    let mut olivia = world.sign_in("olivia").await;
    for row in registry().table().iter().filter(|row| row.api) {
        let path = world.samples().await.path(&row.path);
        let method: Method = row.method.parse().unwrap();
        for accept in ["application/json", "text/html"] {
            let request = olivia.request(method.clone(), &path).header("accept", accept);
            let answer = olivia.send(request).await;
            assert_eq!(answer.status, 401, "{row:?}: {}", answer.body);
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let metadata = world.url("/.well-known/oauth-protected-resource/api/v1");
            assert_eq!(
                answer.header("www-authenticate"),
                format!(
                    "Bearer realm=\"api\", resource_metadata=\"{metadata}\", \
                     DPoP realm=\"api\", algs=\"ES256 Ed25519 EdDSA\", resource_metadata=\"{metadata}\""
                )
            );
        }
    }
    let bearer = format!("Bearer {token}");
    let page = program(&world, Method::GET, &world.acme.contacts(), &[("authorization", &bearer)], None).await;
    assert_eq!((page.status, page.header("www-authenticate")), (401, "Session"));
    // Two of them, or one of another kind, are none.
    for headers in [
        vec![("authorization", &*bearer), ("authorization", &*bearer)],
        vec![("authorization", &*bearer), ("signature-input", "sig=()")],
        vec![("authorization", "Basic eDp4")],
        vec![("authorization", "Bearer")],
    ] {
        let answer = program(&world, Method::GET, &contacts(&world), &headers, None).await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
    assert_eq!(program(&world, Method::GET, &contacts(&world), &[("authorization", &bearer)], None).await.status, 200);
}

// control: IDN-16
// control: TEN-05
#[tokio::test]
async fn a_client_of_one_organization_finds_nothing_in_another() {
    let world = World::start().await;
    let token = ApiClient::editor(&world).await.token(&world).await;
    for path in [
        format!("/api/v1{}", world.globex.contacts()),
        format!("/api/v1{}/{}", world.globex.contacts(), world.contact(world.globex).await),
        format!("{}/{}", contacts(&world), world.contact(world.globex).await),
        format!("/api/v1/o/{}/w/{}/contacts", world.acme.organization, world.globex.workspace),
        format!("/api/v1{}/members", world.globex.url()),
        format!("/api/v1{}/members/{}", world.acme.url(), world.user("gus").await),
    ] {
        let answer = call(&world, Method::GET, &path, &token, None).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    let listed = call(&world, Method::GET, &format!("/api/v1{}/members", world.acme.url()), &token, None).await;
    assert_eq!(listed.status, 200, "{}", listed.body);
}
