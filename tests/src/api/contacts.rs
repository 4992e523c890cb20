//! Contacts and members: the same rules as on the pages.

use reqwest::Method;
use serde_json::json;

use super::{ApiClient, call, contacts, program};
use crate::harness::World;

// control: API-02
#[tokio::test]
async fn contacts_are_made_found_and_changed() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let token = client.token(&world).await;
    let url = contacts(&world);
    let made =
        call(&world, Method::POST, &url, &token, Some(&json!({ "name": "Ada", "email": "ada@x.example" }))).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = made.header("location").to_owned();
    let shown = call(&world, Method::GET, &path, &token, None).await;
    let contact = shown.json();
    assert_eq!((shown.status, &contact["name"], &contact["version"]), (200, &json!("Ada"), &json!(1)), "{contact}");
    assert_eq!(contact["created_by"], client.id.to_string());
    assert_eq!(contact["tax_id"], "", "an editor sees restricted fields");
    let found = call(&world, Method::GET, &format!("{url}?q=ada%40"), &token, None).await.json();
    assert_eq!(found["contacts"][0]["name"], "Ada");
    assert!(found["next"].is_null());

    let change = json!({ "name": "Ada L", "version": 1 });
    assert_eq!(call(&world, Method::PUT, &path, &token, Some(&change)).await.status, 204);
    let late = call(&world, Method::PUT, &path, &token, Some(&change)).await;
    assert_eq!((late.status, late.header("content-type")), (409, "application/problem+json"));
    let restricted = json!({ "name": "Ada", "tax_id": "1", "bank_account": "2", "version": 2 });
    assert_eq!(call(&world, Method::PUT, &path, &token, Some(&restricted)).await.status, 403, "it takes a passkey");
    assert_eq!(call(&world, Method::DELETE, &path, &token, None).await.status, 405, "as a deletion does");
    assert_eq!(call(&world, Method::GET, &path, &token, None).await.status, 200);

    // Who did it, in the record and on the page of the record.
    for kind in ["contact.created", "contact.changed"] {
        let events = world.events(kind).await;
        assert_eq!(events.len(), 1, "{kind}");
        assert_eq!(
            (&events[0]["actor"], &events[0]["context"]["client"]),
            (&json!(null), &json!(client.id.to_string()))
        );
    }
    let mut olivia = world.sign_in("olivia").await;
    let activity = olivia.get(&format!("{}/activity?action=contact.created", world.acme.url())).await;
    let name: String = sqlx::query_scalar("select name from tenant.api_clients")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    assert!(activity.body.contains(&name), "{}", activity.text());
}

// control: API-02
#[tokio::test]
async fn a_document_that_is_not_the_one_expected_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let token = ApiClient::editor(&world).await.token(&world).await;
    let (url, before) = (contacts(&world), world.state().await);
    let bearer = format!("Bearer {token}");
    for (status, kind, body) in [
        (422, "application/json", "{\"name\":\"x\",\"unknown\":1}"),
        (422, "application/json", "{\"name\":\"x\",\"tenant_id\":\"1\"}"),
        (422, "application/json", "{\"name\":\"x\",\"name\":\"y\"}"),
        (422, "application/json", "{\"email\":\"a@b.example\"}"),
        (422, "application/json", "{\"name\":1}"),
        (422, "application/json", "{\"name\":\"\"}"),
        (422, "application/json", "{\"name\":\"a\\u0000b\"}"),
        (422, "application/json", "{\"name\":\"a\\u202eb\"}"),
        (422, "application/json", "{\"name\":\"x\",\"version\":1}"),
        (422, "application/json", "[]"),
        (400, "application/json", ""),
        (400, "application/json", "{\"name\":\"x\"} {}"),
        (400, "application/json", "{\"name\":\"x\""),
        (400, "application/json", "{'name':'x'}"),
        (400, "application/json", "name=x"),
        (415, "application/x-www-form-urlencoded", "name=x"),
        (415, "text/plain", "{\"name\":\"x\"}"),
        (403, "application/json", "{\"name\":\"x\",\"tax_id\":\"1\",\"bank_account\":\"2\"}"),
    ] {
        let mut client = world.stranger();
        let request = client.request(Method::POST, &url).header("authorization", &bearer).header("content-type", kind);
        let answer = client.send(request.body(body)).await;
        assert_eq!(answer.status, status, "{kind} {body}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "also for clients that accept HTML");
    }
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let mut client = world.stranger();
    let request =
        client.request(Method::POST, &url).header("authorization", &bearer).header("content-type", "application/json");
    assert_eq!(client.send(request.body(large)).await.status, 413);
    assert_eq!(call(&world, Method::GET, &format!("{url}?unknown=1"), &token, None).await.status, 422);
    assert_eq!(world.state().await, before);
}

// control: API-02
#[tokio::test]
async fn the_token_endpoint_answers_as_rfc_6749_says() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let (id, secret) = (client.id.to_string(), &*client.secret);
    let grant = ("grant_type", "client_credentials");
    let who = [("client_id", &*id), ("client_secret", secret)];
    for (status, code, form) in [
        (400, "invalid_request", vec![who[0], who[1]]),
        (400, "invalid_request", vec![grant, grant, who[0], who[1]]),
        (400, "invalid_request", vec![grant, who[0], who[1], ("refresh_token", "x")]),
        (400, "unsupported_grant_type", vec![("grant_type", "password"), who[0], who[1]]),
        (400, "invalid_scope", vec![grant, who[0], who[1], ("scope", "*")]),
        (400, "invalid_scope", vec![grant, who[0], who[1], ("scope", " ")]),
        (400, "invalid_scope", vec![grant, who[0], who[1], ("scope", "RemoveMember")]),
        (401, "invalid_client", vec![grant]),
        (401, "invalid_client", vec![grant, who[0]]),
        (401, "invalid_client", vec![grant, who[0], ("client_secret", "wrong")]),
        (401, "invalid_client", vec![grant, ("client_id", "018f0000-0000-7000-8000-000000000000"), who[1]]),
        (401, "invalid_client", vec![grant, ("client_id", "x' or '1'='1"), who[1]]),
        (400, "invalid_grant", vec![("grant_type", "refresh_token"), ("refresh_token", "x"), who[0], who[1]]),
    ] {
        let answer = program(&world, Method::POST, "/api/oauth/token", &[], Some(&form)).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(code)), "{form:?}: {}", answer.body);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("www-authenticate").starts_with("Basic"), status == 401);
    }
    // The same by the header, but not both ways.
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    let basic = format!("Basic {basic}");
    let by_header =
        program(&world, Method::POST, "/api/oauth/token", &[("authorization", &basic)], Some(&[grant])).await;
    assert_eq!(by_header.status, 200, "{}", by_header.body);
    let form = [grant, who[0], who[1]];
    let both = program(&world, Method::POST, "/api/oauth/token", &[("authorization", &basic)], Some(&form)).await;
    assert_eq!(both.json()["error"], "invalid_request");
    let refused = world.events("api_token.refused").await;
    let wrong = refused.iter().filter(|event| event["details"]["reason"] == "wrong secret");
    assert_eq!(wrong.count(), 1, "a wrong secret of a client there is");
}

// control: API-02
#[tokio::test]
async fn members_come_a_page_at_a_time_and_everybody_once() {
    let world = World::start().await;
    let token = ApiClient::made(&world, "olivia", "viewer", "tokens", &["ListMembers"]).await.token(&world).await;
    world.new_members(world.acme, &["Bruno Keller"; 40]).await;
    let expected: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select user_id from tenant.memberships m join identity.users u on u.id = m.user_id
          where tenant_id = $1 order by lower(display_name), user_id",
    )
    .bind(world.acme.organization)
    .fetch_all(&mut world.database.owner().await)
    .await
    .unwrap();
    let list = format!("/api/v1{}/members", world.acme.url());
    let (mut next, mut all, mut sizes) = (Some(list.clone()), Vec::new(), Vec::new());
    while let Some(address) = next.filter(|_| sizes.len() < 9) {
        let page = call(&world, Method::GET, &address, &token, None).await.json();
        let here = page["members"].as_array().unwrap();
        sizes.push(here.len());
        all.extend(here.iter().map(|member| member["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(sizes, [20, 20, expected.len() - 40]);
    assert_eq!(all, expected);
    let found = call(&world, Method::GET, &format!("{list}?q=VERA"), &token, None).await.json();
    assert_eq!((found["members"].as_array().unwrap().len(), &found["next"]), (1, &json!(null)), "{found}");
    for (status, query) in [(422, "after_id=1"), (422, "after=%00"), (422, "page=2"), (200, "after=nobody")] {
        let answer = call(&world, Method::GET, &format!("{list}?{query}"), &token, None).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
    }
}
