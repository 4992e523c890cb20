//! Keys that sign access tokens: each is known before it signs, and until its last token has ended.

use reqwest::Method;
use serde_json::json;

use super::access::Insider;
use super::{ApiClient, call, contacts, parts, program};
use crate::harness::World;

const DAY: i64 = 86_400;

async fn published(world: &World) -> Vec<String> {
    world.wait(10); // A list is kept for so long.
    let answer = program(world, Method::GET, "/.well-known/jwks.json", &[], None).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "public, max-age=300"));
    let keys = answer.json();
    let keys = keys["keys"].as_array().unwrap();
    for key in keys {
        assert_eq!(key.as_object().unwrap().len(), 6, "nothing private: {key}");
        assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    }
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    parts(token).0["kid"].as_str().unwrap().to_owned()
}

// control: IDN-19
#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_its_last_token_has_ended() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let first = kid(&client.token(&world).await);
    assert_eq!(published(&world).await, [&*first]);
    world.wait(29 * DAY - 30);
    assert_eq!(kid(&client.token(&world).await), first);
    assert_eq!(published(&world).await.len(), 1);
    world.wait(30);
    assert_eq!(kid(&client.token(&world).await), first, "the next one is published, and does not sign yet");
    let both = published(&world).await;
    assert_eq!(both.len(), 2);
    world.wait(DAY - 60);
    let last = client.token(&world).await;
    assert_eq!(kid(&last), first);
    world.wait(60);
    let next = client.token(&world).await;
    assert!(kid(&next) != first && both.contains(&kid(&next)), "the one that was published a day ago");
    for token in [&last, &next] {
        assert_eq!(call(&world, Method::GET, &contacts(&world), token, None).await.status, 200);
    }
    assert_eq!(published(&world).await.len(), 2);
    world.wait(660);
    assert_eq!(published(&world).await, [kid(&next)], "nothing that the first one signed is good any more");
}

// control: IDN-19
#[tokio::test]
async fn a_signing_key_that_cannot_be_decrypted_is_replaced() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let first = kid(&client.token(&world).await);
    world.change("update identity.signing_keys set private = sha256('x') || sha256('y')").await;
    let token = client.token(&world).await;
    assert_ne!(kid(&token), first);
    world.wait(10);
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
}

// control: IDN-19
#[tokio::test]
async fn the_list_of_keys_is_read_again_for_an_unknown_one_but_not_for_each() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let token = client.token(&world).await;
    let url = contacts(&world);
    let status = async |token: &str| call(&world, Method::GET, &url, token, None).await.status;
    assert_eq!(status(&token).await, 200);
    let insider = Insider::of(&world).await;
    let other = insider.sign(&insider.header().to_string(), &parts(&token).1.to_string());
    assert_eq!(status(&other).await, 401, "the list was just read");
    world.wait(9);
    assert_eq!(status(&other).await, 401);
    world.wait(1);
    assert_eq!(status(&other).await, 200);
    // A key that is taken out is gone within a minute.
    world.change("delete from identity.signing_keys").await;
    world.wait(59);
    assert_eq!(status(&token).await, 200);
    world.wait(1);
    assert_eq!(status(&token).await, 401);
}

// control: IDN-19
#[tokio::test]
async fn of_many_that_need_the_first_key_one_makes_it() {
    let world = World::start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(ApiClient::editor(&world).await); // Tokens of one client wait for each other anyway.
    }
    let tokens = futures_util::future::join_all(clients.iter().map(|client| client.token(&world))).await;
    assert!(tokens.iter().all(|token| kid(token) == kid(&tokens[0])));
    assert_eq!(world.database.count("select count(*) from identity.signing_keys").await, 1);
}
