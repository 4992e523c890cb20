//! Refresh tokens: each works once, and reuse of a stolen one ends its family.

use reqwest::Method;
use serde_json::Value;

use super::{ApiClient, call, contacts, program};
use crate::harness::World;

async fn works(world: &World, tokens: &Value) -> bool {
    let token = tokens["access_token"].as_str().unwrap();
    call(world, Method::GET, &contacts(world), token, None).await.status == 200
}

// control: IDN-06
#[tokio::test]
async fn a_refresh_token_works_once_and_the_next_one_after_it() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let mut tokens = client.tokens(&world).await;
    for _ in 0..3 {
        world.wait(600);
        let next = client.refresh(&world, &tokens["refresh_token"]).await;
        assert_eq!(next.status, 200, "{}", next.body);
        assert_ne!(next.json()["refresh_token"], tokens["refresh_token"]);
        tokens = next.json();
        assert!(works(&world, &tokens).await);
    }
    world.wait(86_399);
    let tokens = client.refresh(&world, &tokens["refresh_token"]).await.json();
    world.wait(86_400);
    let late = client.refresh(&world, &tokens["refresh_token"]).await;
    assert_eq!((late.status, late.json()["error"].as_str()), (400, Some("invalid_grant")), "after 24 hours");
}

// control: IDN-06
#[tokio::test]
async fn a_refresh_token_that_two_have_ends_its_family() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let other = client.tokens(&world).await;
    let first = client.tokens(&world).await;
    let second = client.refresh(&world, &first["refresh_token"]).await.json();
    let third = client.refresh(&world, &second["refresh_token"]).await.json();
    assert!(works(&world, &third).await);
    let reused = client.refresh(&world, &first["refresh_token"]).await;
    assert_eq!((reused.status, reused.json()["error"].as_str()), (400, Some("invalid_grant")));
    for tokens in [&first, &second, &third] {
        assert!(!works(&world, tokens).await, "its access tokens have ended with it");
    }
    assert_eq!(client.refresh(&world, &third["refresh_token"]).await.status, 400);
    assert!(works(&world, &other).await, "the tokens of another use of the secret still work");
    let events = world.events("api_client.token_reused").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["context"]["client"], client.id.to_string());
    assert_eq!(events[0]["tenant_id"], world.acme.organization.to_string());
}

// control: IDN-06
#[tokio::test]
async fn a_lost_response_allows_one_reuse_if_its_token_was_never_used() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let first = client.tokens(&world).await;
    let lost = client.refresh(&world, &first["refresh_token"]).await.json();
    let again = client.refresh(&world, &first["refresh_token"]).await;
    assert_eq!(again.status, 200, "{}", again.body);
    let again = again.json();
    // Once: the second time is one too many.
    let client2 = ApiClient::editor(&world).await;
    let start = client2.tokens(&world).await;
    for expected in [200, 200, 400] {
        assert_eq!(client2.refresh(&world, &start["refresh_token"]).await.status, expected);
    }
    // The answer that was lost has somebody after all: then there are two.
    assert!(works(&world, &again).await);
    assert_eq!(client.refresh(&world, &lost["refresh_token"]).await.status, 400);
    assert!(!works(&world, &again).await);
    assert_eq!(world.events("api_client.token_reused").await.len(), 2);
}

// control: IDN-06
#[tokio::test]
async fn an_answer_is_lost_for_a_minute_and_not_for_a_day() {
    let world = World::start().await;
    for (seconds, status) in [(60, 200), (61, 400), (23 * 3_600, 400)] {
        let client = ApiClient::editor(&world).await;
        let first = client.tokens(&world).await;
        let second = client.refresh(&world, &first["refresh_token"]).await.json();
        world.wait(seconds);
        let again = client.refresh(&world, &first["refresh_token"]).await;
        assert_eq!(again.status, status, "{seconds} s: {}", again.body);
        if status == 400 {
            assert_eq!(client.refresh(&world, &second["refresh_token"]).await.status, 400, "its family has ended");
        }
    }
    assert_eq!(world.events("api_client.token_reused").await.len(), 2);
}

// control: IDN-06
#[tokio::test]
async fn of_parallel_uses_one_refresh_token_is_left_or_none() {
    let world = World::start().await;
    for (uses, live) in [(2, 1), (5, 0)] {
        let client = ApiClient::editor(&world).await;
        let tokens = client.tokens(&world).await;
        let tries = (0..uses).map(|_| client.refresh(&world, &tokens["refresh_token"]));
        let answers = futures_util::future::join_all(tries).await;
        let good = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(good, 2, "the first, and one whose answer could have been lost");
        let left: i64 = sqlx::query_scalar(
            "select count(*) from identity.refresh_tokens t join identity.token_families f on f.id = t.family_id
              where f.client_id = $1 and f.revoked_at is null and t.used_at is null",
        )
        .bind(client.id)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
        assert_eq!(left, live, "{uses} at once");
    }
}

// control: IDN-06
// control: IDN-16
#[tokio::test]
async fn a_token_is_taken_back_by_its_client_alone() {
    let world = World::start().await;
    let (client, other) = (ApiClient::editor(&world).await, ApiClient::editor(&world).await);
    let tokens = client.tokens(&world).await;
    let revoke = |by: ApiClient, token: Value| {
        let world = &world;
        async move {
            let id = by.id.to_string();
            let form = [("token", token.as_str().unwrap()), ("client_id", &id), ("client_secret", &by.secret)];
            program(world, Method::POST, "/api/oauth/revoke", &[], Some(&form)).await.status
        }
    };
    let second = client.refresh(&world, &tokens["refresh_token"]).await.json();
    for token in [&tokens["access_token"], &second["refresh_token"]] {
        assert_eq!(revoke(other.clone(), token.clone()).await, 200, "it is told nothing");
    }
    assert!(works(&world, &tokens).await && works(&world, &second).await);
    assert_eq!(world.events("api_token.revoked").await.len(), 0);

    assert_eq!(revoke(client.clone(), tokens["access_token"].clone()).await, 200);
    assert!(!works(&world, &tokens).await && works(&world, &second).await, "this one alone");
    assert_eq!(revoke(client.clone(), tokens["access_token"].clone()).await, 200);
    assert_eq!(revoke(client.clone(), second["refresh_token"].clone()).await, 200);
    assert!(!works(&world, &second).await, "all that came of it");
    assert_eq!(client.refresh(&world, &second["refresh_token"]).await.status, 400);
    assert_eq!(revoke(client.clone(), "nonsense".into()).await, 200);
    assert_eq!(world.events("api_token.revoked").await.len(), 2);
    assert_eq!(other.refresh(&world, &second["refresh_token"]).await.status, 400, "nor does another use it");
}
