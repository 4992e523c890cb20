//! The description of the API: it is of the routes there are, and what it says of their answers is so.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encryption::{Column, EncryptionContext};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ALL, ApiClient, call, contacts, program};
use crate::harness::{Answer, World, parameters, registry};

async fn document(world: &World) -> Value {
    let answer = world.stranger().program().get("/api/v1/openapi.json").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "public, max-age=300"));
    answer.json()
}

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let one = |(path, methods)| {
        let methods: &Value = methods;
        methods.as_object().unwrap().iter().map(move |(method, operation)| (method.to_uppercase(), path, operation))
    };
    paths.iter().map(|(path, methods)| (&**path, methods)).flat_map(one).collect()
}

/// What `$ref` points to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    value["$ref"].as_str().map_or(value, |reference| {
        document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("nothing is at {reference}"))
    })
}

/// Whether the value is as the schema says (JSON Schema 2020-12, as far as we use it). A keyword that is not known here would
/// prove nothing.
fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(document, schema);
    let wrong = |what: &str| Err(format!("{what}: {value} against {schema}"));
    for (keyword, said) in schema.as_object().ok_or("no schema")? {
        match &**keyword {
            "type" => {
                let kinds = said.as_array().cloned().unwrap_or_else(|| vec![said.clone()]);
                let fits = kinds.iter().any(|kind| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("{other} is no type that is used"),
                });
                if !fits {
                    return wrong("type");
                }
            }
            "enum" if !said.as_array().unwrap().contains(value) => return wrong("enum"),
            "format" if value.is_null() => {}
            "format" => {
                let text = value.as_str().unwrap_or_default();
                let fits = match said.as_str().unwrap() {
                    "uuid" => text.parse::<Uuid>().is_ok(),
                    "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
                    "int64" => value.is_i64(),
                    other => panic!("{other} is no format that is used"),
                };
                if !fits {
                    return wrong("format");
                }
            }
            "minLength" | "maxLength" => {
                let count = value.as_str().unwrap_or_default().chars().count() as u64;
                let fits = if keyword == "minLength" {
                    count >= said.as_u64().unwrap()
                } else {
                    count <= said.as_u64().unwrap()
                };
                if !fits {
                    return wrong(keyword);
                }
            }
            "required" => {
                for name in said.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return wrong("required");
                    }
                }
            }
            "properties" => {
                for (name, property) in said.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        fits(document, property, value)?;
                    }
                }
            }
            // Clients are told of every member that an answer has, whether the schema closes the object or not.
            "additionalProperties" => assert_eq!(said, false),
            "items" => value.as_array().unwrap().iter().try_for_each(|item| fits(document, said, item))?,
            "anyOf" => {
                if !said.as_array().unwrap().iter().any(|one| fits(document, one, value).is_ok()) {
                    return wrong("anyOf");
                }
            }
            "enum" | "description" | "default" => {}
            other => panic!("{other} is no keyword that is used: {schema}"),
        }
    }
    let known = schema["properties"].as_object();
    let unknown =
        value.as_object().into_iter().flatten().find(|(name, _)| known.is_some_and(|all| !all.contains_key(*name)));
    unknown.map_or(Ok(()), |(name, _)| wrong(&format!("{name} is not described")))
}

/// The answer is one that the operation can give, with that body.
fn assert_described(document: &Value, operation: &Value, answer: &Answer) {
    let id = &operation["operationId"];
    let responses = &operation["responses"];
    let response = responses.get(answer.status.to_string());
    let response = response.unwrap_or_else(|| panic!("{id} does not say that it answers {}", answer.status));
    let response = resolved(document, response);
    let kind = answer.header("content-type");
    match response["content"].as_object() {
        None => assert_eq!(answer.body, "", "{id}"),
        Some(content) => {
            let schema = content.get(kind).unwrap_or_else(|| panic!("{id} does not say that it answers {kind}"));
            fits(document, &schema["schema"], &answer.json()).unwrap_or_else(|wrong| panic!("{id}: {wrong}"));
        }
    }
    for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        // A refusal for want of a role has no challenge.
        assert!(answer.status == 403 || answer.headers.contains_key(name.to_lowercase()), "{id}: {name}");
    }
}

// control: API-02
#[tokio::test]
async fn the_description_is_of_every_route_of_the_api_with_the_scope_it_asks_for() {
    let world = World::start().await;
    let document = document(&world).await;
    let described: BTreeSet<(String, &str)> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let registry = registry();
    let table = registry.table();
    let rows: Vec<_> = table.iter().filter(|row| row.path.starts_with("/api/")).collect();
    let routed: BTreeSet<(String, &str)> = rows.iter().map(|row| (row.method.to_owned(), &*row.path)).collect();
    assert_eq!(described, routed);
    assert!(table.iter().filter(|row| row.api).all(|row| row.path.starts_with("/api/v1/")));
    for row in rows {
        let operation = &document["paths"][&row.path][row.method.to_lowercase()];
        let path: BTreeSet<&str> = parameters(&row.path).collect();
        let said = operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "path");
        assert_eq!(said.map(|one| one["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), path, "{row:?}");
        let security = operation["security"].as_array().unwrap();
        if row.api {
            assert_eq!(operation["operationId"], row.guard);
            assert!(
                security.len() == 3
                    && security
                        .iter()
                        .all(|one| { one.as_object().unwrap().values().all(|scopes| *scopes == json!([row.guard])) }),
                "{row:?}: {security:?}"
            );
        } else {
            assert!(security.iter().all(|one| one == &json!({}) || one == &json!({ "client": [] })), "{row:?}");
        }
    }
    let offered = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"].clone();
    let offered: BTreeSet<&str> =
        offered.as_object().unwrap().keys().map(|name| ALL.into_iter().find(|one| one == name).unwrap()).collect();
    assert_eq!(offered, ALL.into_iter().collect());
}

// control: API-02
#[tokio::test]
async fn the_description_is_openapi_3_1() {
    let world = World::start().await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"], json!([{ "url": world.url("") }]));
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes["oauth2"]["flows"]["clientCredentials"]["tokenUrl"], world.url("/api/oauth/token"));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
        assert_eq!(operation.get("requestBody").is_some(), ["POST", "PUT"].contains(&&*method), "{method} {path}");
        for parameter in operation["parameters"].as_array().unwrap() {
            let (place, required) = (parameter["in"].as_str().unwrap(), &parameter["required"]);
            assert!(place == "query" || place == "path" && *required == true, "{id}: {parameter}");
            assert!(parameter["schema"]["type"].is_string(), "{id}: {parameter}");
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{id}: {parameter}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')) && responses.contains_key("default"), "{id}");
        for (status, response) in responses {
            let response = resolved(&document, response);
            assert!(!response["description"].as_str().unwrap().is_empty(), "{id} {status}");
            for content in response["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
                assert!(resolved(&document, &content["schema"])["type"].is_string(), "{id} {status}: {content}");
            }
        }
        for scheme in operation["security"].as_array().unwrap().iter().flat_map(|one| one.as_object().unwrap().keys()) {
            assert!(schemes.contains_key(scheme), "{id}: {scheme}");
        }
    }
    // References of the description are its own, and names of our types are nobody's business.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(reference.starts_with("#/components/") && document.pointer(&reference[1..]).is_some(), "{reference}");
    }
    assert_eq!(text.matches("\"title\":\"").count(), 1, "that of the whole");
}

// control: API-02
#[tokio::test]
async fn every_route_answers_as_the_description_says() {
    let world = World::start().await;
    let document = document(&world).await;
    let client = ApiClient::editor(&world).await;
    let few = ApiClient::made(&world, "olivia", "viewer", "tokens", &["ViewMember"]).await.token(&world).await;
    let token = client.token(&world).await;
    let samples = world.samples().await;
    let mut answered = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        if operation["tags"] == json!(["service"]) {
            continue; // below
        }
        let (verb, here) = (method.parse::<Method>().unwrap(), samples.path(path));
        let body = (operation.get("requestBody").is_some()).then(|| {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            // Everything it may hold, as its schema says.
            let all = schema["properties"].as_object().unwrap().keys();
            let value = |name: &str| match name {
                "version" => json!(1),
                "email" => json!(format!("{}@example.org", Uuid::now_v7())),
                _ => json!("As described"),
            };
            let body: Value = all.map(|name| (name.clone(), value(name))).collect::<serde_json::Map<_, _>>().into();
            fits(&document, schema, &body).unwrap();
            body
        });
        let good = call(&world, verb.clone(), &here, &token, body.as_ref()).await;
        assert!((200..300).contains(&good.status), "{id}: {} {}", good.status, good.body);
        let mut all = vec![good];
        all.push(program(&world, verb.clone(), &here, &[], None).await);
        if id != "ViewMember" {
            all.push(call(&world, verb.clone(), &here, &few, body.as_ref()).await);
        }
        if path.contains('{') {
            let name = parameters(path).last().unwrap();
            let nowhere = samples.path(&path.replace(&format!("{{{name}}}"), &Uuid::now_v7().to_string()));
            all.push(call(&world, verb.clone(), &nowhere, &token, body.as_ref()).await);
        }
        if operation["parameters"].as_array().unwrap().iter().any(|one| one["in"] == "query") {
            all.push(call(&world, verb.clone(), &format!("{here}?unknown=1"), &token, None).await);
            for one in operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "query") {
                let value = if one["schema"]["format"] == "uuid" { Uuid::now_v7().to_string() } else { "a".to_owned() };
                let known = format!("{here}?{}={value}", one["name"].as_str().unwrap());
                assert_eq!(call(&world, verb.clone(), &known, &token, None).await.status, 200, "{id}: {known}");
            }
        }
        if let Some(body) = &body {
            // The same again: another contact has the address, or the version has gone.
            all.push(call(&world, verb.clone(), &here, &token, Some(body)).await);
            all.push(call(&world, verb.clone(), &here, &token, Some(&json!({ "unknown": 1 }))).await);
            for (kind, text) in
                [("application/json", "{"), ("text/plain", "{}"), ("application/json", &*" ".repeat(70_000))]
            {
                let mut sender = world.stranger();
                let request = sender.request(verb.clone(), &here).header("authorization", format!("Bearer {token}"));
                all.push(sender.send(request.header("content-type", kind).body(text.to_owned())).await);
            }
        }
        for answer in all {
            assert_described(&document, operation, &answer);
            answered.insert(answer.status);
        }
    }
    assert_eq!(answered, BTreeSet::from([200, 201, 204, 400, 401, 403, 404, 409, 413, 415, 422]));

    let (id, secret) = (client.id.to_string(), &*client.secret);
    let who = [("client_id", &*id), ("client_secret", secret)];
    let wrong = [("client_id", &*id), ("client_secret", "wrong")];
    for (path, first) in
        [("/api/oauth/token", ("grant_type", "client_credentials")), ("/api/oauth/revoke", ("token", "x"))]
    {
        for form in [vec![first, who[0], who[1]], vec![first, wrong[0], wrong[1]], vec![who[0], who[1]]] {
            let answer = program(&world, Method::POST, path, &[], Some(&form)).await;
            assert_described(&document, &document["paths"][path]["post"], &answer);
        }
    }
}

// control: API-02
// control: TEN-05
#[tokio::test]
async fn a_client_finds_the_ids_of_its_own_organization_and_of_no_other() {
    let world = World::start().await;
    let token = ApiClient::made(&world, "olivia", "viewer", "tokens", &["ListWorkspaces"]).await.token(&world).await;
    let list = "/api/v1/workspaces";
    let found = call(&world, Method::GET, list, &token, None).await.json();
    assert_eq!(found["organization"], json!({ "id": world.acme.organization, "name": "Acme" }));
    assert_eq!(found["workspaces"][0]["id"], world.acme.workspace.to_string());
    let (before, text) = (found["workspaces"].as_array().unwrap().len(), found.to_string());
    for theirs in [world.globex.organization, world.globex.workspace] {
        assert!(!text.contains(&theirs.to_string()), "{text}");
    }
    let more = "insert into tenant.workspaces (tenant_id, id, name, name_key)
                select $1, gen_random_uuid(), 'Éclair ' || n, sha256(n::text::bytea) from generate_series(1, 45) n";
    sqlx::query(more).bind(world.acme.organization).execute(&mut world.database.owner().await).await.unwrap();
    let (mut next, mut sizes, mut ids) = (Some(list.to_owned()), Vec::new(), BTreeSet::new());
    while let Some(address) = next.filter(|_| sizes.len() < 9) {
        let page = call(&world, Method::GET, &address, &token, None).await.json();
        let here = page["workspaces"].as_array().unwrap();
        sizes.push(here.len());
        ids.extend(here.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!((sizes, ids.len()), (vec![20, 20, 5 + before], 45 + before));
    let sought = call(&world, Method::GET, &format!("{list}?q=eclair"), &token, None).await.json();
    assert_eq!(sought["workspaces"].as_array().unwrap().len(), 20, "{sought}");
    let after =
        call(&world, Method::GET, &format!("{list}?after=z&after_id={}", world.globex.workspace), &token, None).await;
    assert_eq!(after.json()["workspaces"], json!([]));
    assert_eq!(call(&world, Method::GET, &format!("{list}?after_id=1"), &token, None).await.status, 422);
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(olivia.get(list).await.status, 401, "cookies open nothing here");
}

// control: TEN-05
#[tokio::test]
async fn an_organization_that_is_none_is_not_the_clients_own() {
    let world = World::start().await;
    let token = ApiClient::editor(&world).await.token(&world).await;
    let acme = world.acme.organization.to_string();
    for organization in [
        "x",
        "-",
        "null",
        &*acme.to_uppercase(),
        &acme.replace('-', ""),
        &Uuid::nil().to_string(),
        &world.globex.organization.to_string(),
    ] {
        for path in ["members".to_owned(), format!("w/{}/contacts", world.acme.workspace)] {
            let answer = call(&world, Method::GET, &format!("/api/v1/o/{organization}/{path}"), &token, None).await;
            assert_eq!(answer.status, 404, "{organization}/{path}: {}", answer.body);
        }
    }
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
}

/// The text of the element with this id.
fn text_of(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!("id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}"));
    let text = rest.split("</code>").next().unwrap();
    text.replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#38;", "&")
        .replace("&amp;", "&")
}

// control: API-03
#[tokio::test]
async fn the_example_of_the_page_about_the_api_is_a_request_that_is_taken() {
    let key = devkit::seed::encryption_key().unwrap();
    let world = World::start_with(&[("ENCRYPTION__KEY", &key)]).await;
    let page = world.stranger().get("/api").await;
    assert_eq!(page.status, 200);
    for scope in ALL {
        assert!(page.body.contains(&format!("<code>{scope}</code>")), "{scope}");
    }
    let (client, secret) = (text_of(&page.body, "example-client"), text_of(&page.body, "example-secret"));
    let request = text_of(&page.body, "example-request");
    let (first, body) = request.split_once("\n\n").unwrap();
    let (method, path) = first.split_once(' ').unwrap();
    // There is such an organization, with such a client.
    let ids: Vec<Uuid> = path.split('/').filter_map(|part| part.parse().ok()).collect();
    let id: Uuid = client.parse().unwrap();
    let place = EncryptionContext { column: Column::ApiClient, row: id };
    let sealed = encryption::KeyRing::new(&encryption::Config { key: key.into(), previous_key: None })
        .unwrap()
        .encrypt(place, secret.as_bytes())
        .unwrap();
    let mut owner = world.database.session().await;
    for sql in [
        "insert into tenant.organizations (tenant_id, name) select $1, 'Example' where $2 <> $3 and $4 is not null",
        "insert into tenant.workspaces (tenant_id, id, name, name_key)
         select $1, $2, 'Example', sha256('Example') where $3 <> $1 and $4 is not null",
        "insert into tenant.api_clients (tenant_id, id, name, name_key, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
         select $1, $3, 'Example', sha256('Example'), 'editor', '{CreateContact}', false, true, $4, now(), $2, now()",
    ] {
        sqlx::query(sql).bind(ids[0]).bind(ids[1]).bind(id).bind(&sealed).execute(&mut owner).await.unwrap();
    }
    let headers = text_of(&page.body, "example-headers");
    let send = async |body: &str| {
        let mut sender = world.stranger();
        let mut request = sender.request(method.parse().unwrap(), path).body(body.to_owned());
        for (name, value) in headers.lines().map(|line| line.split_once(": ").unwrap()) {
            request = request.header(name, value);
        }
        sender.send(request).await
    };
    let made = send(body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(send(body).await.status, 401, "once");
    // And what it says is signed is what was signed.
    use hmac::{Hmac, KeyInit, Mac};
    let base = text_of(&page.body, "example-base");
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&base).finalize();
    assert!(headers.contains(&format!("Signature: sig=:{}:", STANDARD.encode(mac.into_bytes()))), "{base}");
}
