//! The whole application with one connection to the database: no request asks for a second one while it holds one.

use reqwest::Method;

use crate::api::{ALL, ApiClient};
use crate::harness::changes::all_changes;
use crate::harness::{World, browser_routes, registry};

// control: API-05
#[tokio::test]
async fn every_route_does_with_one_connection() {
    let world = World::start_with(&[("DATABASE__MAX_CONNECTIONS", "1")]).await;
    let client = ApiClient::made(&world, "olivia", "editor", "tokens", &ALL).await;
    let mut olivia = world.sign_in("olivia").await;
    let samples = world.samples().await;
    for row in browser_routes() {
        let (mut nobody, path) = (world.stranger(), samples.path(&row.path));
        let answer = if row.method == "GET" { nobody.get(&path).await } else { nobody.post(&path, &[]).await };
        assert!(answer.status < 500, "{row:?}: {}", answer.text());
        if row.method == "GET" {
            let answer = olivia.get(&path).await;
            assert!(answer.status < 500, "{row:?}: {}", answer.text());
        }
    }
    let token = client.token(&world).await;
    for row in registry().table().iter().filter(|row| row.api) {
        let mut program = world.stranger();
        let request = program.request(row.method.parse::<Method>().unwrap(), &samples.path(&row.path));
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = program.send(request.header("content-type", "application/json").body("{}")).await;
        assert!(answer.status < 500, "{row:?}: {}", answer.body);
    }
    assert_eq!(client.revoke(&world, &token).await.status, 200);
    let samples = world.samples().await;
    for change in all_changes() {
        let answer = change.make(&world, &mut olivia, &samples).await;
        assert!(answer.status < 400, "{}: {}", change.path, answer.text());
    }
}
