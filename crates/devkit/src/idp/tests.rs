#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

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

#[tokio::test]
async fn a_click_leads_to_an_id_token() {
    let idp = provider().await;
    let metadata = json(&get(&idp, "/.well-known/openid-configuration").await.body);
    assert_eq!(metadata["issuer"], idp.issuer());
    let page = send("GET", &authorize_url(&idp, &[("login_hint", "bob@acme.test")]), "", "").await.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self' http://127.0.0.1:1"));
    assert!(page.body.contains("Development sign-in: not for production"));
    assert!(page.body.contains("owner of &lt;Acme&gt;") && page.body.contains("Ann &quot;A&quot; Arbor"));
    assert!(page.body.find("data-person=\"bob\"").unwrap() < page.body.find("data-person=\"ann\"").unwrap());

    let callback = idp.sign_in(&authorize_url(&idp, &[("acr_values", "urn:x:mfa urn:x:pwd")]), "ann").await.unwrap();
    assert!(callback.starts_with(CALLBACK), "{callback}");
    assert_eq!(parameter(&callback, "state"), ["the state"]);
    assert_eq!(parameter(&callback, "iss"), [idp.issuer()]);

    let basic = format!(
        "Authorization: Basic {}\r\n",
        base64::engine::general_purpose::STANDARD.encode("app:s%26cret%3A+%3D%25")
    );
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &parameter(&callback, "code")[0]),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = send("POST", &format!("{}/token", idp.issuer()), &basic, &form(&fields)).await.unwrap();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.body);
    let tokens = json(&answer.body);
    let token = tokens["id_token"].as_str().unwrap();
    assert!(verified(&idp, token).await);
    let claims = part(token, 1);
    assert_eq!(claims["iss"], idp.issuer());
    assert_eq!((&claims["sub"], &claims["aud"], &claims["nonce"]), (&"ann".into(), &"app".into(), &"the-nonce".into()));
    assert_eq!((&claims["acr"], &claims["email"]), (&"urn:x:mfa".into(), &"ann@acme.test".into()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
    let hash = Sha256::digest(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["at_hash"], keys::base64url(&hash[..16]));
    assert_eq!(idp.sign_ins()[0].sid, claims["sid"].as_str().unwrap());
    let counts = idp.counts();
    assert_eq!((counts.discovery, counts.jwks, counts.authorize, counts.token), (1, 1, 2, 1));
}

#[tokio::test]
async fn a_wrong_request_never_leaves_the_provider() {
    let idp = provider().await;
    let longer = format!("{CALLBACK}&more");
    for changes in [("redirect_uri", longer.as_str()), ("redirect_uri", ""), ("client_id", "other"), ("client_id", "")]
    {
        let url = authorize_url(&idp, &[changes]);
        let posted = send("POST", &url, "", "person=ann").await.unwrap();
        for answer in [send("GET", &url, "", "").await.unwrap(), posted] {
            assert_eq!((answer.status, answer.header("location")), (400, None), "{changes:?}");
        }
    }
    let twice = format!("{}&state=again", authorize_url(&idp, &[]));
    assert_eq!(send("GET", &twice, "", "").await.unwrap().status, 400);
    let from_elsewhere = send("POST", &authorize_url(&idp, &[]), "Sec-Fetch-Site: cross-site\r\n", "person=ann").await;
    assert_eq!(from_elsewhere.unwrap().status, 403);
    let renamed = send("GET", &format!("{}/jwks.json", idp.issuer()), "Host: evil.test\r\n", "").await;
    assert_eq!(renamed.unwrap().status, 421);
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_client() {
    let idp = provider().await;
    for (change, expected) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("scope", "profile"), "invalid_scope"),
        (("state", ""), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
        (("prompt", "none"), "login_required"),
    ] {
        let answer = send("GET", &authorize_url(&idp, &[change]), "", "").await.unwrap();
        let target = answer.header("location").unwrap();
        assert_eq!((answer.status, parameter(target, "error")), (303, vec![expected.to_owned()]), "{change:?}");
        assert_eq!(parameter(target, "iss"), [idp.issuer()]);
    }
    let answer = send("POST", &authorize_url(&idp, &[]), "", "cancel=1").await.unwrap();
    let target = answer.header("location").unwrap();
    assert_eq!(
        (parameter(target, "error"), parameter(target, "state")),
        (vec!["access_denied".into()], vec!["the state".into()])
    );
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_verifier_and_minute() {
    let idp = provider().await;
    let used = code(&idp).await;
    assert_eq!(redeem(&idp, &used, &[]).await.status, 200);
    assert_eq!(error(&redeem(&idp, &used, &[]).await), (400, "invalid_grant".into()));
    let other_verifier = "another-horse-battery-staple-0123456789-abcdefg";
    for (change, expected) in [
        (("code_verifier", other_verifier), (400, "invalid_grant")),
        (("code_verifier", ""), (400, "invalid_request")),
        (("redirect_uri", "http://127.0.0.1:1/callback"), (400, "invalid_grant")),
        (("client_secret", "wrong"), (401, "invalid_client")),
        (("client_secret", ""), (401, "invalid_client")),
        (("grant_type", "password"), (400, "unsupported_grant_type")),
    ] {
        let (status, name) = error(&redeem(&idp, &code(&idp).await, &[change]).await);
        assert_eq!((status, name.as_str()), expected, "{change:?}");
    }
    let late = code(&idp).await;
    idp.set_clock_offset(61);
    assert_eq!(error(&redeem(&idp, &late, &[]).await), (400, "invalid_grant".into()));
}

#[tokio::test]
async fn every_algorithm_verifies_and_rotation_keeps_or_drops() {
    let idp = provider().await;
    for (alg, name) in [(Alg::Rs256, "RS256"), (Alg::Es256, "ES256"), (Alg::EdDsa, "EdDSA")] {
        idp.set_key(alg);
        let old = id_token(&idp).await;
        assert_eq!(part(&old, 0)["alg"], name);
        assert!(verified(&idp, &old).await, "{name}");
        idp.rotate_keys();
        let new = id_token(&idp).await;
        assert_ne!(part(&old, 0)["kid"], part(&new, 0)["kid"]);
        assert!(verified(&idp, &old).await && verified(&idp, &new).await);
        idp.rotate_keys_and_drop_old();
        assert!(!verified(&idp, &old).await && !verified(&idp, &new).await);
        assert!(verified(&idp, &id_token(&idp).await).await);
    }
}

#[tokio::test]
async fn a_fault_is_one_deviation() {
    let idp = provider().await;
    idp.set_key(Alg::Es256);
    for (fault, claim, present) in [
        (Fault::MissingAudience, "aud", false),
        (Fault::MissingNonce, "nonce", false),
        (Fault::MissingExp, "exp", false),
        (Fault::MissingIat, "iat", false),
        (Fault::MissingSub, "sub", false),
        (Fault::MissingAuthTime, "auth_time", false),
        (Fault::MissingAcr, "acr", false),
        (Fault::WrongAzp, "azp", true),
        (Fault::NotYetValid, "nbf", true),
        (Fault::LogoutTokenInstead, "events", true),
    ] {
        idp.set_fault(fault);
        let token = id_token(&idp).await;
        assert_eq!(part(&token, 1).get(claim).is_some(), present, "{fault:?}");
        assert!(verified(&idp, &token).await, "{fault:?}");
    }
    for fault in [Fault::BadSignature, Fault::AlgNone, Fault::UnknownKid, Fault::NoKidSeveralKeys, Fault::KeySwapped] {
        idp.set_fault(fault);
        let token = id_token(&idp).await;
        assert!(fault == Fault::AlgNone && token.ends_with('.') || !verified(&idp, &token).await, "{fault:?}");
    }
    for (fault, issuers) in [
        (Fault::MixedUpIssuer, vec![OTHER_ISSUER.to_owned()]),
        (Fault::MissingCallbackIss, vec![]),
        (Fault::DuplicateCallbackIss, vec![idp.issuer(), idp.issuer()]),
    ] {
        idp.set_fault(fault);
        let callback = idp.sign_in(&authorize_url(&idp, &[]), "ann").await.unwrap();
        assert_eq!(parameter(&callback, "iss"), issuers);
    }
    idp.set_fault(Fault::CodeSwapped);
    assert_ne!(part(&id_token(&idp).await, 1)["nonce"], "the-nonce");
    idp.set_fault(Fault::DiscoveryHuge);
    assert!(get(&idp, "/.well-known/openid-configuration").await.body.len() > 8 << 20);
    idp.set_fault(Fault::DiscoveryRedirect);
    let redirect = get(&idp, "/.well-known/openid-configuration").await;
    let elsewhere = send("GET", redirect.header("location").unwrap(), "", "").await.unwrap();
    assert_eq!((redirect.status, &json(&elsewhere.body)["issuer"]), (302, &idp.issuer().into()));
    assert!(!Fault::ALL.contains(&Fault::None) && Fault::ALL.len() > 50);
}

#[tokio::test]
async fn sign_out_returns_only_to_a_registered_address() {
    let idp = provider().await;
    let bye = form(&[("client_id", "app"), ("post_logout_redirect_uri", "http://127.0.0.1:1/bye"), ("state", "s 1")]);
    for (query, target) in [
        (bye.as_str(), Some("http://127.0.0.1:1/bye?state=s+1")),
        ("post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fother", None),
        ("", None),
    ] {
        let page = get(&idp, &format!("/end-session?{query}")).await;
        assert!(page.status == 200 && page.body.contains("Sign out of the development provider?"));
        let url = format!("{}/end-session?{query}", idp.issuer());
        let answer = send("POST", &url, "", "confirm=1").await.unwrap();
        assert_eq!(answer.header("location"), target);
        assert_eq!(answer.status, if target.is_some() { 303 } else { 200 });
    }
    let posted = send("POST", &format!("{}/end-session", idp.issuer()), "", &bye).await.unwrap();
    assert!(posted.status == 200 && posted.body.contains("state=s+1"));
}

#[tokio::test]
async fn a_logout_token_reaches_the_client() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let idp = provider().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel", app.local_addr().unwrap());
    let mut client = idp.client("app").unwrap();
    client.backchannel_logout_uri = Some(uri);
    idp.register(client);
    let (status, body) =
        tokio::join!(idp.send_backchannel_logout("app", Some("ann"), Some("sid-1"), LogoutFault::None), async {
            let (mut stream, _) = app.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
    assert_eq!(status.unwrap(), 204);
    let token = body.split_once("logout_token=").unwrap().1;
    assert_eq!(part(token, 0)["typ"], "logout+jwt");
    assert!(verified(&idp, token).await);
    let claims = part(token, 1);
    assert_eq!((&claims["sub"], &claims["sid"]), (&"ann".into(), &"sid-1".into()));
    assert!(claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
    assert!(claims.get("nonce").is_none());
    for &fault in LogoutFault::ALL {
        assert_eq!(idp.logout_token("app", Some("ann"), Some("sid-1"), fault).split('.').count(), 3);
    }
}
