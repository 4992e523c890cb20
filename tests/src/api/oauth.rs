//! The token endpoint and the challenges as clients of others speak: `oauth4webapi`, `openid-client`, Authlib,
//! `requests-oauthlib`, Spring.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ALL, ApiClient, call, contacts, parts, program};
use crate::harness::{Answer, World};

const TOKEN: &str = "/api/oauth/token";
const FORM: &str = "application/x-www-form-urlencoded";

/// As RFC 6749, appendix B encodes: `oauth4webapi` besides turns `-`, `_`, `.`, `!`, `~`, `*`, `'`, `(` and `)` into bytes.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| match byte {
        byte if byte.is_ascii_alphanumeric() => text + &char::from(byte).to_string(),
        byte => text + &format!("%{byte:02X}"),
    })
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn ask(world: &World, path: &str, authorization: &str, form: &[(&str, &str)]) -> Answer {
    program(world, Method::POST, path, &[("authorization", authorization)], Some(form)).await
}

/// RFC 6749, section 5.2.
fn assert_oauth(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["error"], code, "{body}");
    let text = body["error_description"].as_str().unwrap();
    assert!(text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)), "{text}");
}

// control: IDN-16
#[tokio::test]
async fn a_client_authenticates_with_both_halves_encoded_or_not() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let (id, secret) = (client.id.to_string(), &*client.secret);
    let grant = [("grant_type", "client_credentials")];
    for (shape, authorization) in [
        ("as curl sends it", basic(&id, secret)),
        ("as oauth4webapi sends it", basic(&encoded(&id), &encoded(secret))),
        ("in small letters", basic(&encoded(&id).to_lowercase(), secret)),
        ("with the scheme in small letters", basic(&id, secret).replace("Basic", "basic")),
    ] {
        let answer = ask(&world, TOKEN, &authorization, &grant).await;
        assert_eq!(answer.status, 200, "{shape}: {}", answer.body);
    }
    // requests-oauthlib says the id in the body as well; an empty secret is none (RFC 6749, section 2.3.1).
    for more in [("client_id", &*id), ("client_secret", "")] {
        let answer = ask(&world, TOKEN, &basic(&id, secret), &[grant[0], more]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(world.events("api_token.refused").await.len(), 0, "nobody is told of a wrong secret");
    world.wait(60);

    for (what, authorization) in [
        ("a secret that is encoded twice", basic(&id, &encoded(&encoded("a-b")))),
        ("another secret", basic(&encoded(&id), &encoded("wrong"))),
        ("two fields in one half", basic(&id, &format!("{secret}&a=b"))),
        ("a name in one half", basic(&id, &format!("{secret}=b"))),
        ("no colon", format!("Basic {}", STANDARD.encode(&id))),
        ("no Base64", format!("Basic {id}:{secret}")),
        ("a token", format!("Bearer {secret}")),
    ] {
        let answer = ask(&world, TOKEN, &authorization, &grant).await;
        assert_oauth(&answer, 401, "invalid_client");
        assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{what}");
    }
    let twice =
        ask(&world, TOKEN, &basic(&id, secret), &[grant[0], ("client_id", &id), ("client_secret", secret)]).await;
    assert_oauth(&twice, 400, "invalid_request");
    let nobody = program(&world, Method::POST, TOKEN, &[], Some(&grant)).await;
    assert_oauth(&nobody, 401, "invalid_client");
    assert!(nobody.body.contains("does not say which client"), "{}", nobody.body);
}

// control: API-02
#[tokio::test]
async fn parameters_that_mean_nothing_here_are_ignored_and_known_ones_are_there_once() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let (id, secret) = (client.id.to_string(), &*client.secret);
    let by = basic(&id, secret);
    let mut refresh = Value::Null;
    for more in [
        &[("audience", "https://api.example")][..],
        &[("resource", "https://a.example"), ("resource", "https://b.example")],
        &[("client_assertion", ""), ("username", ""), ("organization", "x")],
        &[("refresh_token", ""), ("token", "")],
        &[("scope", "")],
        &[("scope", "ListContacts  ListContacts")],
        &[("token_type_hint", "x"), ("token", "of another address")],
    ] {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(more);
        let answer = ask(&world, TOKEN, &by, &form).await;
        assert_eq!(answer.status, 200, "{more:?}: {}", answer.body);
        refresh = answer.json();
        world.wait(3);
    }
    assert_eq!(refresh["scope"].as_str().unwrap().split(' ').count(), ALL.len());
    for twice in [
        [("grant_type", "client_credentials"), ("grant_type", "client_credentials")],
        [("grant_type", "client_credentials"), ("grant_type", "")],
    ] {
        assert_oauth(&ask(&world, TOKEN, &by, &twice).await, 400, "invalid_request");
    }
    for name in ["scope", "client_id", "refresh_token", "client_secret"] {
        let form = [("grant_type", "client_credentials"), (name, ""), (name, "")];
        assert_oauth(&ask(&world, TOKEN, &by, &form).await, 400, "invalid_request");
    }
    let token = refresh["refresh_token"].as_str().unwrap();
    let form =
        [("token", token), ("token_type_hint", "anything"), ("resource", "https://a.example"), ("audience", "x")];
    assert_eq!(ask(&world, "/api/oauth/revoke", &by, &form).await.status, 200);
    assert_eq!(world.events("api_token.revoked").await.len(), 1);
    assert_oauth(&ask(&world, "/api/oauth/revoke", &by, &[("token", "")]).await, 400, "invalid_request");
    assert_oauth(
        &ask(&world, "/api/oauth/revoke", &by, &[("token", "a"), ("token", "a")]).await,
        400,
        "invalid_request",
    );
}

// control: IDN-18
#[tokio::test]
async fn a_refresh_may_name_its_scopes_and_takes_no_more_than_there_were() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let form = [("grant_type", "client_credentials"), ("scope", "ViewContact ListContacts")];
    let mut tokens = client.ask(&world, &form).await.json();
    let refresh = async |tokens: &Value, scope: &str| {
        let token = tokens["refresh_token"].as_str().unwrap();
        client.ask(&world, &[("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]).await
    };
    for (scope, got) in [
        // Authlib says what it was given; nothing is all of it; fewer are for this access token alone.
        ("ViewContact ListContacts", 2),
        ("ListContacts ViewContact", 2),
        ("", 2),
        ("ListContacts", 1),
        ("ListContacts ViewContact", 2),
    ] {
        let answer = refresh(&tokens, scope).await;
        assert_eq!(answer.status, 200, "{scope}: {}", answer.body);
        tokens = answer.json();
        assert_eq!(tokens["scope"].as_str().unwrap().split(' ').count(), got, "{scope}");
        let said = parts(tokens["access_token"].as_str().unwrap()).1["scope"].clone();
        assert_eq!(said, tokens["scope"], "{scope}");
        world.wait(3);
    }
    for more in ["ListContacts ViewContact DeleteContact", "DeleteContact", "offline_access", "*"] {
        assert_oauth(&refresh(&tokens, more).await, 400, "invalid_scope");
        world.wait(3);
    }
    assert_eq!(refresh(&tokens, "").await.status, 200, "what was refused used nothing up");
}

// control: API-02
#[tokio::test]
async fn what_cannot_be_read_or_granted_is_told_as_rfc_6749_does() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let by = basic(&client.id.to_string(), &client.secret);
    for grant in ["password", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "x"] {
        let form = [("grant_type", grant), ("username", "u"), ("password", "p"), ("code", "c"), ("redirect_uri", "r")];
        assert_oauth(&ask(&world, TOKEN, &by, &form).await, 400, "unsupported_grant_type");
    }
    assert_oauth(&ask(&world, TOKEN, &by, &[("scope", "x")]).await, 400, "invalid_request");
    assert_oauth(&ask(&world, TOKEN, &by, &[("grant_type", "refresh_token")]).await, 400, "invalid_request");
    let large = format!("grant_type={}", "x".repeat(70_000));
    for (path, kind, body, status) in [
        (TOKEN, "application/json", "{\"grant_type\":\"client_credentials\"}", 400),
        (TOKEN, "", "", 400),
        (TOKEN, FORM, "", 400),
        (TOKEN, FORM, "grant_type=%ff", 400),
        (TOKEN, FORM, "grant_type=client_credentials%00", 400),
        (TOKEN, FORM, &large, 413),
        ("/api/oauth/token?grant_type=client_credentials", FORM, "scope=x", 400),
        ("/api/oauth/revoke", "application/json", "{\"token\":\"x\"}", 400),
        ("/api/oauth/revoke", "", "", 400),
        ("/api/oauth/revoke", FORM, "", 400),
    ] {
        let mut sender = world.stranger().program();
        let mut request = sender.request(Method::POST, path).header("authorization", &by).body(body.to_owned());
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        assert_oauth(&sender.send(request).await, status, "invalid_request");
    }
}

// control: IDN-18
// control: POL-02
#[tokio::test]
async fn a_client_without_the_scope_is_told_which_and_learns_nothing_else() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let little = ApiClient::made(&world, "olivia", "editor", "tokens", &["ListMembers"]).await.token(&world).await;
    let narrow = client.ask(&world, &[("grant_type", "client_credentials"), ("scope", "ListMembers")]).await.json();
    let narrow = narrow["access_token"].as_str().unwrap();
    let metadata = world.url("/.well-known/oauth-protected-resource/api/v1");
    let challenge = |scope: &str| {
        format!(
            "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"{scope}\", resource_metadata=\"{metadata}\""
        )
    };
    let (there, nowhere) = (world.contact(world.acme).await, uuid::Uuid::now_v7());
    let globex = world.contact(world.globex).await;
    for (method, path, scope) in [
        (Method::GET, contacts(&world), "ListContacts"),
        (Method::GET, format!("{}/{there}", contacts(&world)), "ViewContact"),
        (Method::GET, format!("{}/{nowhere}", contacts(&world)), "ViewContact"),
        (Method::PUT, format!("{}/{there}", contacts(&world)), "EditContact"),
        (Method::PUT, format!("{}/{nowhere}", contacts(&world)), "EditContact"),
        (Method::GET, format!("/api/v1{}/{globex}", world.globex.contacts()), "ViewContact"),
        (Method::GET, format!("/api/v1/o/{nowhere}/w/{nowhere}/contacts"), "ListContacts"),
    ] {
        for (token, whose) in [(narrow, "access token"), (&*little, "client")] {
            let answer = call(&world, method.clone(), &path, token, None).await;
            let whose = if whose == "client" { "client" } else { "access token" };
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
            assert_eq!(answer.header("www-authenticate"), challenge(scope), "{method} {path}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert_eq!(detail, format!("This needs the scope {scope}, which the {whose} does not have."));
        }
    }
    // Another cause, another sentence, and nothing that a token could change.
    let viewer = ApiClient::made(&world, "olivia", "viewer", "tokens", &ALL).await.token(&world).await;
    let refused = call(&world, Method::POST, &contacts(&world), &viewer, Some(&json!({ "name": "x" }))).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, ""));
    assert!(refused.body.contains("The role that this client acts in does not allow this."), "{}", refused.body);
    // What takes a passkey no scope gives.
    let form = [("grant_type", "client_credentials"), ("scope", "ViewContact EditContact")];
    let editing = client.ask(&world, &form).await.json()["access_token"].as_str().unwrap().to_owned();
    let path = format!("{}/{there}", contacts(&world));
    let change = json!({ "name": "x", "version": 1, "tax_id": "1", "bank_account": "1" });
    let refused = call(&world, Method::PUT, &path, &editing, Some(&change)).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, ""));
}

// control: API-02
#[tokio::test]
async fn what_is_wrong_with_a_request_to_the_api_is_said_in_one_sentence() {
    let world = World::start().await;
    let token = ApiClient::editor(&world).await.token(&world).await;
    let bearer = format!("Bearer {token}");
    let dpop = format!("DPoP {token}");
    let path = contacts(&world);
    for (headers, text) in [
        (vec![], "has no access token and no signature"),
        (vec![("authorization", "Bearer x")], "The access token is not valid"),
        (vec![("authorization", &*dpop)], "bound to no key. Send it as Bearer"),
        (vec![("signature-input", "sig=()")], "The signature is not valid"),
    ] {
        let answer = program(&world, Method::GET, &path, &headers, None).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(text), "{}", answer.body);
    }
    let headers = [("authorization", &*bearer)];
    let form = program(&world, Method::POST, &path, &headers, Some(&[("name", "x")])).await;
    assert_eq!(form.status, 415);
    assert_eq!(form.json()["detail"], "This address takes JSON (application/json).");
    let mut olivia = world.sign_in("olivia").await.program();
    let json = olivia.post_body(&world.acme.contacts(), "application/json", "{}".to_owned()).await;
    assert_eq!(json.status, 415);
    assert!(json.body.contains("form fields"), "{}", json.body);
    // The role of a person, and another site, are two causes.
    let mut vera = world.sign_in("vera").await.program();
    let role = vera.get(&format!("{}/new", world.acme.contacts())).await;
    assert_eq!((role.status, &*role.json()["detail"].to_string()), (403, "\"Your role does not allow this.\""));
    let request = vera.request(Method::POST, "/sign-out").header("sec-fetch-site", "cross-site").body("");
    let site = vera.send(request).await;
    assert_eq!((site.status, &*site.json()["detail"].to_string()), (403, "\"The request came from another site.\""));
}

#[tokio::test]
async fn the_api_describes_itself_where_its_challenges_say() {
    let world = World::start().await;
    let get = async |path: &str| {
        let answer = program(&world, Method::GET, path, &[], None).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{path}");
        answer.json()
    };
    let issuer = world.url("");
    for (path, resource) in [("", issuer.clone()), ("/api/v1", world.url("/api/v1"))] {
        let document = get(&format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(document["resource"], resource, "RFC 9728, section 3.3");
        assert_eq!(document["authorization_servers"], json!([issuer]));
        assert_eq!(document["scopes_supported"], json!(ALL));
    }
    let server = get("/.well-known/oauth-authorization-server").await;
    assert_eq!(server["issuer"], issuer, "RFC 8414, section 3.3");
    assert_eq!(server["protected_resources"], json!([world.url("/api/v1")]));
    let keys = server["jwks_uri"].as_str().unwrap().strip_prefix(&issuer).unwrap().to_owned();
    assert!(get(&keys).await["keys"].is_array());
}
