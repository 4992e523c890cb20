//! The scopes of clients, and the rights of the member they act as.

use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ALL, ApiClient, call, contacts};
use crate::harness::{World, registry};

/// A request for each route of the API, which the policies are asked about by the action of its guard.
async fn requests(world: &World) -> Vec<(Method, String, &'static str, Option<Value>)> {
    let mut all = Vec::new();
    for row in registry().table().iter().filter(|row| row.api) {
        let path = world.samples().await.path(&row.path);
        let body = match row.method {
            "POST" => Some(json!({ "name": Uuid::now_v7().to_string() })),
            "PUT" => Some(json!({ "name": "Changed", "version": 99 })),
            _ => None,
        };
        all.push((row.method.parse().unwrap(), path, row.guard, body));
    }
    all
}

// control: IDN-18
// control: POL-02
#[tokio::test]
async fn each_action_takes_the_scope_of_its_name() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let requests = requests(&world).await;
    let mut text = format!("{:16}", "");
    for scope in ALL {
        write!(text, " {scope:20}").unwrap();
    }
    for (method, path, guard, body) in requests {
        write!(text, "\n{:16}", guard).unwrap();
        for scope in ALL {
            let form = [("grant_type", "client_credentials"), ("scope", scope)];
            let token = client.ask(&world, &form).await.json()["access_token"].as_str().unwrap().to_owned();
            let answer = call(&world, method.clone(), &path, &token, body.as_ref()).await;
            write!(text, " {:20}", answer.status).unwrap();
            assert_eq!(answer.status == 403, scope != guard, "{guard} with {scope}: {}", answer.body);
            world.wait(3); // As often as a client may ask.
        }
    }
    let text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("scope_x_route", text);
}

// control: IDN-18
#[tokio::test]
async fn parts_of_a_page_take_their_own_scope() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let path = format!("{}/{}", contacts(&world), world.contact(world.acme).await);
    for (scope, sees) in [("ViewContact", false), ("ViewContact ViewRestrictedFields", true)] {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let token = client.ask(&world, &form).await.json()["access_token"].as_str().unwrap().to_owned();
        let contact = call(&world, Method::GET, &path, &token, None).await.json();
        assert_eq!(contact.get("tax_id").is_some(), sees, "{scope}: {contact}");
    }
}

// control: IDN-18
#[tokio::test]
async fn no_client_gets_a_scope_that_is_not_offered_or_is_a_wildcard() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let url = format!("{}/clients", world.acme.url());
    for scopes in [&["*"][..], &["RemoveMember"], &["CreateClient"], &["List*"], &["ListContacts", "ListContacts"], &[]]
    {
        let mut form = vec![("name", "x"), ("acts_as", "viewer"), ("kind", "tokens"), ("reason", "No reason")];
        form.extend(scopes.iter().map(|scope| ("scope", *scope)));
        assert_eq!(olivia.post(&url, &form).await.status, 422, "{scopes:?}");
    }
    for role in ["owner", "admin", "finance", "billing_admin", "*", ""] {
        let form =
            [("name", "x"), ("acts_as", role), ("kind", "tokens"), ("scope", "ListContacts"), ("reason", "No reason")];
        assert_eq!(olivia.post(&url, &form).await.status, 422, "{role:?}");
    }
    // Nor does the database hold any such.
    for (column, value) in
        [("scopes", "'{*}'"), ("scopes", "'{}'"), ("scopes", "'{List*}'"), ("role", "'owner'"), ("role", "null")]
    {
        world.new_client(world.acme).await;
        let sql = sqlx::AssertSqlSafe(format!("update tenant.api_clients set {column} = {value}"));
        assert!(sqlx::query(sql).execute(&mut world.database.owner().await).await.is_err(), "{column} = {value}");
    }
}
