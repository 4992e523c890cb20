//! Requests that a client signs with its secret (RFC 9421).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{ALL, ApiClient, contacts};
use crate::harness::{Answer, World};

/// A request, and what is signed of it.
#[derive(Clone)]
struct Signed {
    method: Method,
    path: String,
    query: Option<&'static str>,
    body: Option<&'static str>,
    covered: Vec<&'static str>,
    authority: String,
    created: i64,
    nonce: String,
    keyid: String,
    alg: &'static str,
    more: &'static str,
    secret: String,
}

impl Signed {
    fn of(world: &World, client: &ApiClient, method: Method, body: Option<&'static str>) -> Self {
        let mut covered = vec!["@method", "@authority", "@path"];
        covered.extend(body.map(|_| "content-digest"));
        Self {
            method,
            path: contacts(world),
            query: None,
            body,
            covered,
            authority: format!("localhost:{}", world.address.port()),
            created: world.clock.now().timestamp(),
            nonce: Uuid::now_v7().to_string(),
            keyid: client.id.to_string(),
            alg: "hmac-sha256",
            more: "",
            secret: client.secret.clone(),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(self.body.unwrap_or_default())));
        let names: Vec<_> = self.covered.iter().map(|name| format!("\"{name}\"")).collect();
        let Self { created, nonce, keyid, alg, more, .. } = self;
        let names = names.join(" ");
        let params = format!("({names});created={created};nonce=\"{nonce}\";keyid=\"{keyid}\";alg=\"{alg}\"{more}");
        let mut base = String::new();
        for name in &self.covered {
            let value = match *name {
                "@method" => self.method.to_string(),
                "@authority" => self.authority.clone(),
                "@path" => self.path.clone(),
                "@query" => format!("?{}", self.query.unwrap_or_default()),
                _ => digest.clone(),
            };
            base += &format!("\"{name}\": {value}\n");
        }
        base += &format!("\"@signature-params\": {params}");
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap().chain_update(base);
        let signature = format!("sig=:{}:", STANDARD.encode(mac.finalize().into_bytes()));
        let mut headers = vec![("signature-input", format!("sig={params}")), ("signature", signature)];
        if self.body.is_some() {
            headers.extend([("content-digest", digest), ("content-type", "application/json".to_owned())]);
        }
        headers
    }
}

async fn send(world: &World, what: &Signed, headers: &[(&'static str, String)]) -> Answer {
    let path = what.query.map_or(what.path.clone(), |query| format!("{}?{query}", what.path));
    let mut client = world.stranger();
    let mut request = client.request(what.method.clone(), &path);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    if let Some(body) = what.body {
        request = request.body(body);
    }
    client.send(request).await
}

/// Lists contacts with a signature of its own.
pub(super) async fn list(world: &World, client: &ApiClient) -> Answer {
    let get = Signed::of(world, client, Method::GET, None);
    send(world, &get, &get.headers()).await
}

// control: API-03
#[tokio::test]
async fn a_signed_request_is_taken_once_and_for_a_minute() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "olivia", "editor", "signatures", &ALL).await;
    let post = Signed::of(&world, &client, Method::POST, Some("{\"name\":\"Signed\"}"));
    let headers = post.headers();
    let made = send(&world, &post, &headers).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let again = send(&world, &post, &headers).await;
    assert_eq!(again.status, 401);
    assert!(again.header("www-authenticate").starts_with("Signature realm=\"api\", error=\"invalid_signature\""));
    assert_eq!(world.events("contact.created").await[0]["context"]["client"], client.id.to_string());
    for (skew, status) in [(-61, 401), (-60, 200), (0, 200), (60, 200), (61, 401)] {
        let get = Signed::of(&world, &client, Method::GET, None);
        let get = Signed { created: get.created + skew, ..get };
        assert_eq!(send(&world, &get, &get.headers()).await.status, status, "{skew} s");
    }
    // Of many at once, one.
    let post = Signed::of(&world, &client, Method::POST, Some("{\"name\":\"Once\"}"));
    let headers = post.headers();
    let all = futures_util::future::join_all((0..6).map(|_| send(&world, &post, &headers))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(world.database.count("select count(*) from tenant.contacts where name = 'Once'").await, 1);
    // Too early by a minute, it is still known when it is seen again at the end.
    let early = Signed::of(&world, &client, Method::GET, None);
    let early = Signed { created: early.created + 60, ..early };
    let headers = early.headers();
    assert_eq!(send(&world, &early, &headers).await.status, 200);
    world.wait(120);
    let sweeps = Signed::of(&world, &client, Method::GET, None);
    assert_eq!(send(&world, &sweeps, &sweeps.headers()).await.status, 200);
    assert_eq!(send(&world, &early, &headers).await.status, 401);
}

// control: API-03
#[tokio::test]
async fn a_signature_covers_what_is_asked_and_nothing_less() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "olivia", "editor", "signatures", &ALL).await;
    let tokens = ApiClient::editor(&world).await;
    let before = world.database.count("select count(*) from tenant.contacts").await;
    let post = || Signed::of(&world, &client, Method::POST, Some("{\"name\":\"Forged\"}"));
    let get = || Signed::of(&world, &client, Method::GET, None);
    let query = Signed { query: Some("q=a"), covered: vec!["@query", "@path", "@authority", "@method"], ..get() };
    assert_eq!(send(&world, &query, &query.headers()).await.status, 200);

    // Signed otherwise than it is sent.
    let (a_get, a_post) = (get(), post());
    let other = |change: fn(&mut Signed)| {
        let mut sent = post();
        let headers = sent.headers();
        change(&mut sent);
        (sent, headers)
    };
    let contact = format!("{}/{}", contacts(&world), world.contact(world.acme).await);
    let mut deleted = get();
    let as_get = deleted.headers();
    (deleted.method, deleted.path) = (Method::PUT, contact);
    let mut cases = vec![
        ("another body", other(|sent| sent.body = Some("{\"name\":\"Other\"}"))),
        ("a query more", other(|sent| sent.query = Some("q=a"))),
        ("another method and path", (deleted, as_get)),
    ];
    // Signed, but not as we want it.
    for (what, sent) in [
        ("the path alone", Signed { covered: vec!["@path"], ..get() }),
        ("no method", Signed { covered: vec!["@authority", "@path", "content-digest"], ..post() }),
        ("no digest", Signed { covered: vec!["@method", "@authority", "@path"], ..post() }),
        ("no authority", Signed { covered: vec!["@method", "@path"], ..get() }),
        ("another authority", Signed { authority: "staging.example".to_owned(), ..get() }),
        ("another port", Signed { authority: "localhost".to_owned(), ..get() }),
        ("twice the same", Signed { covered: vec!["@method", "@authority", "@authority"], ..get() }),
        ("no query", Signed { query: Some("q=a"), ..get() }),
        ("another algorithm", Signed { alg: "hmac-sha512", ..get() }),
        ("none", Signed { alg: "none", ..get() }),
        ("another secret", Signed { secret: "x".repeat(43), ..get() }),
        ("another client", Signed { keyid: Uuid::now_v7().to_string(), ..get() }),
        (
            "a client that does not sign",
            Signed { keyid: tokens.id.to_string(), secret: tokens.secret.clone(), ..get() },
        ),
        ("a client that is none", Signed { keyid: "x' or '1'='1".to_owned(), ..get() }),
        ("a short nonce", Signed { nonce: "short".to_owned(), ..get() }),
        ("an end of its own", Signed { more: ";expires=9999999999", ..get() }),
        ("two times", Signed { more: ";created=1", ..get() }),
        ("before all time", Signed { created: i64::MIN, ..get() }),
        ("after all time", Signed { created: i64::MAX, ..get() }),
    ] {
        let headers = sent.headers();
        cases.push((what, (sent, headers)));
    }
    // Headers that are there twice, or not at all, or not readable.
    let mut twice = a_get.headers();
    twice.extend(a_get.headers());
    cases.push(("everything twice", (a_get.clone(), twice)));
    cases.push(("no signature", (a_get.clone(), a_get.headers().into_iter().take(1).collect())));
    cases.push((
        "no digest sent",
        (a_post.clone(), a_post.headers().into_iter().filter(|(name, _)| *name != "content-digest").collect()),
    ));
    let mut two = a_get.headers();
    two[1].1 = two[1].1.replace("sig=", "other=");
    cases.push(("another label", (a_get.clone(), two)));
    let mut cut = a_get.headers();
    cut[1].1.truncate(20);
    cases.push(("half a signature", (a_get.clone(), cut)));
    for (what, (sent, headers)) in cases {
        let answer = send(&world, &sent, &headers).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert!(
            answer.header("www-authenticate").starts_with("Signature"),
            "{what}: {}",
            answer.header("www-authenticate")
        );
    }
    assert_eq!(send(&world, &a_get, &a_get.headers()).await.status, 200, "as it is, it is taken");
    assert_eq!(world.database.count("select count(*) from tenant.contacts").await, before);
    // Nor does a client that signs get tokens, or its secret grow old.
    assert_eq!(client.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
    world.wait(90 * 86_400);
    let late = get();
    assert_eq!(send(&world, &late, &late.headers()).await.status, 401, "older than 90 days");
}
