//! What stands written of clients: who made them, what they asked, and what was refused to them.

use reqwest::Method;

use super::{ALL, ApiClient, call, contacts, program};
use crate::harness::World;

async fn revoke(world: &World, client: &ApiClient, token: &str) -> u16 {
    let id = client.id.to_string();
    let form = [("client_id", &*id), ("client_secret", &*client.secret), ("token", token)];
    program(world, Method::POST, "/api/oauth/revoke", &[], Some(&form)).await.status
}

// control: OBS-02
#[tokio::test]
async fn a_decision_names_the_client_that_asked() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "erin", "self", "tokens", &["ListContacts", "CreateContact"]).await;
    let token = client.token(&world).await;
    let new = serde_json::json!({ "name": "One" });
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
    assert_eq!(call(&world, Method::POST, &contacts(&world), &token, Some(&new)).await.status, 201);
    let members = format!("/api/v1{}/members", world.acme.url());
    assert_eq!(call(&world, Method::GET, &members, &token, None).await.status, 403);
    world.settle_decisions().await;
    let asked = "select array_agg(distinct action || ' ' || allowed order by action || ' ' || allowed)
                   from audit.decisions where (context ->> 'client')::uuid = $1 and principal = 'Member::\"' || $2::text || '\"'";
    let asked: Vec<String> = sqlx::query_scalar(asked)
        .bind(client.id)
        .bind(world.user("erin").await)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    for decision in ["CreateContact true", "ListContacts true", "ListMembers false"] {
        assert!(asked.iter().any(|seen| seen == decision), "{decision}: {asked:?}");
    }
    let of_people = "select count(*) from audit.decisions where context ? 'client' and action = 'CreateClient'";
    assert_eq!(world.database.count(of_people).await, 0);
}

// control: OBS-02
#[tokio::test]
async fn what_a_client_did_bears_its_name_when_it_is_gone() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let token = client.token(&world).await;
    let new = serde_json::json!({ "name": "One" });
    assert_eq!(call(&world, Method::POST, &contacts(&world), &token, Some(&new)).await.status, 201);
    let mut olivia = world.sign_in("olivia").await;
    let (list, activity) = (format!("{}/clients", world.acme.url()), format!("{}/activity", world.acme.url()));
    let name = world.events("service_account.created").await[0]["details"]["name"].as_str().unwrap().to_owned();
    let seen = async |olivia: &mut crate::harness::Client| {
        let page = olivia.get(&format!("{activity}?action=contact.created")).await;
        page.body.contains(&name)
    };
    assert!(seen(&mut olivia).await);
    let gone = olivia.post(&format!("{list}/{}/revoke", client.id), &[("reason", "Not needed")]).await;
    assert_eq!(gone.status, 303, "{}", gone.text());
    assert!(seen(&mut olivia).await);
}

// control: IDN-16
#[tokio::test]
async fn a_person_who_gets_a_secret_is_notified_by_mail() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    let mails = world.mailbox.messages();
    let told: Vec<_> = mails.iter().filter(|mail| mail.text.contains("secret for the API client")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].to.contains(&"erin@example.com".to_owned()) && !told[0].text.contains(&client.secret));
    let mut erin = world.sign_in("erin").await;
    world.prove(&mut erin, "erin").await;
    let list = erin.get(&format!("{}/clients", world.acme.url())).await;
    assert!(list.text().contains("by Erin"), "{}", list.text());
}

// control: IDN-13
#[tokio::test]
async fn refusals_are_recorded_and_fill_no_trail() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let tokens = client.tokens(&world).await;
    let wrong = ApiClient { secret: "wrong".to_owned(), ..client.clone() };
    assert_eq!(
        client.ask(&world, &[("grant_type", "client_credentials"), ("scope", "CreateClient")]).await.status,
        400
    );
    assert_eq!(client.refresh(&world, &"nothing".into()).await.status, 400);
    for _ in 0..5 {
        assert_eq!(wrong.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
    }
    let reasons = async || {
        let events = world.events("api_token.refused").await;
        events.iter().map(|event| event["details"]["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let seen = reasons().await;
    for (reason, times) in [
        ("The client does not have this scope.", 1),
        ("This refresh token is used, expired, revoked or not yours.", 1),
        ("wrong secret", 3),
    ] {
        assert_eq!(seen.iter().filter(|seen| *seen == reason).count(), times, "{reason}: {seen:?}");
    }
    world.wait(3_600);
    assert_eq!(wrong.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
    assert_eq!(reasons().await.len(), 6, "an hour later");
    assert_eq!(client.refresh(&world, &tokens["refresh_token"]).await.status, 200, "and nothing ended by it");
}

// control: IDN-19
#[tokio::test]
async fn a_secret_that_is_too_old_can_still_revoke_a_token() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    world.wait(90 * 86_400 - 60);
    let token = client.token(&world).await;
    world.wait(60);
    assert_eq!(client.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
    assert_eq!(revoke(&world, &client, &token).await, 200);
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 401);
}

// control: IDN-06
#[tokio::test]
async fn a_refresh_token_that_comes_again_after_days_ends_its_family() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let first = client.tokens(&world).await;
    let mut tokens = first.clone();
    for _ in 0..6 {
        world.wait(43_200);
        tokens = client.refresh(&world, &tokens["refresh_token"]).await.json();
    }
    assert!(tokens["access_token"].is_string(), "{tokens}");
    assert_eq!(client.refresh(&world, &first["refresh_token"]).await.status, 400);
    assert_eq!(world.events("api_client.token_reused").await.len(), 1);
    assert_eq!(client.refresh(&world, &tokens["refresh_token"]).await.status, 400, "not even the last one works");

    let tokens = client.tokens(&world).await;
    assert_eq!(world.change("update identity.token_families set rotations = 9999 where revoked_at is null").await, 1);
    let last = client.refresh(&world, &tokens["refresh_token"]).await.json();
    assert_eq!(client.refresh(&world, &last["refresh_token"]).await.status, 400, "more than are kept");
}

// control: IDN-18
#[tokio::test]
async fn one_person_cannot_use_up_the_clients_of_their_organization() {
    let world = World::start().await;
    for _ in 0..9 {
        world.new_client(world.acme).await;
    }
    let own = "update tenant.api_clients set role = null, member = (select user_id from identity.accounts where subject = 'erin')";
    let mut erin = world.sign_in("erin").await;
    assert_eq!(world.change(own).await, 9);
    world.prove(&mut erin, "erin").await;
    for (name, status) in [("The tenth", 200), ("The eleventh", 409)] {
        let form =
            [("name", name), ("acts_as", "self"), ("kind", "tokens"), ("scope", "ListContacts"), ("reason", "A test")];
        let answer = erin.post(&format!("{}/clients", world.acme.url()), &form).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    ApiClient::editor(&world).await;
}

// control: IDN-18
#[tokio::test]
async fn there_are_at_most_so_many_clients() {
    let world = World::start().await;
    for _ in 0..199 {
        world.new_client(world.acme).await;
    }
    ApiClient::editor(&world).await;
    let mut olivia = world.sign_in("olivia").await;
    let form = [
        ("name", "One more"),
        ("acts_as", "viewer"),
        ("kind", "tokens"),
        ("scope", "ListContacts"),
        ("reason", "A test of it"),
    ];
    let answer = olivia.post(&format!("{}/clients", world.acme.url()), &form).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("200 clients"));
    assert_eq!(world.database.count("select count(*) from tenant.api_clients").await, 200);
}

// control: API-01
#[tokio::test]
async fn all_clients_of_a_person_together_ask_as_often_as_the_person_and_take_nothing_from_their_browser() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__PERSON_PER_MINUTE", "40")]).await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        tokens.push(ApiClient::made(&world, "erin", "self", "tokens", &ALL).await.token(&world).await);
    }
    let paths = contacts(&world);
    let began = std::time::Instant::now();
    let asked = (0..60).map(|number| call(&world, Method::GET, &paths, &tokens[number % 2], None));
    let answers = futures_util::future::join_all(asked).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    // 40 at once, and 40 a minute more during the requests.
    let more = usize::try_from(began.elapsed().as_millis() * 40 / 60_000).unwrap() + 1;
    assert!((20_usize.saturating_sub(more)..=20).contains(&refused.len()), "{} of 20, {more} more", refused.len());
    assert!(refused.iter().all(|answer| answer.header("ratelimit").contains("\"person\";r=0;")));
    let mut erin = world.sign_in("erin").await;
    world.prove(&mut erin, "erin").await;
    assert_eq!(erin.get("/organizations").await.status, 200);
    let bonded =
        "update identity.sessions s set sso_tenant_id = o.tenant_id from tenant.organizations o, identity.accounts a
                   where o.name = 'Acme' and a.subject = 'erin' and a.user_id = s.user_id and s.ended_at is null";
    assert!(world.change(bonded).await > 0);
    assert_eq!(erin.get("/organizations").await.status, 200, "nor from a session with a bond");
}

// control: API-01
#[tokio::test]
async fn what_is_over_the_limit_uses_up_no_signature_and_writes_nothing() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__CLIENT_PER_MINUTE", "2")]).await;
    let client = ApiClient::made(&world, "olivia", "editor", "signatures", &ALL).await;
    let seen = "select count(*) from identity.used_nonces";
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(super::signed::list(&world, &client).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(world.database.count(seen).await, 2);
    // The same of a client that may do nothing any more.
    let own = ApiClient::made(&world, "erin", "self", "signatures", &ALL).await;
    world.change("update identity.users set locked_at = now() where email = 'erin@example.com'").await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(super::signed::list(&world, &own).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429]);
    assert_eq!(world.database.count(seen).await, 4);
}

// control: IDN-18
#[tokio::test]
async fn owners_hear_of_every_service_account_and_of_every_new_secret_of_one() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "adam", "editor", "tokens", &ALL).await;
    let mail = world.told("olivia@example.com", "A service account was created").await;
    assert!(mail.text.contains("created the service account"), "{}", mail.text);
    let mut adam = world.sign_in("adam").await;
    let path = format!("{}/clients/{}/secret", world.acme.url(), client.id);
    assert_eq!(adam.post(&path, &[("reason", "The last one is old")]).await.status, 200);
    world.told("olivia@example.com", "A service account has a new secret").await;
    assert_eq!(world.events("service_account.created").await.len(), 1);
    assert_eq!(world.events("api_client.created").await.len(), 0);
}

// control: OBS-02
#[tokio::test]
async fn the_actions_of_a_client_are_recorded_as_its_own_even_if_it_is_old() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    let token = client.token(&world).await;
    let new = serde_json::json!({ "name": "One" });
    assert_eq!(call(&world, Method::POST, &contacts(&world), &token, Some(&new)).await.status, 201);
    let name: String = sqlx::query_scalar("select name from tenant.api_clients")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    world.change("alter table audit.events disable trigger user").await;
    world.change("delete from audit.events where kind = 'api_client.created'").await;
    let mut olivia = world.sign_in("olivia").await;
    let activity = format!("{}/activity?action=contact.created", world.acme.url());
    let page = olivia.get(&activity).await;
    assert!(page.body.contains("API client") && page.body.contains(&name), "{}", page.text());
    world.change("delete from tenant.api_clients").await;
    let page = olivia.get(&activity).await;
    assert!(page.body.contains("API client") && page.body.contains(&name), "{}", page.text());
}

// control: API-01
#[tokio::test]
async fn a_client_has_its_own_rate_limit_and_does_not_affect_another_one() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__CLIENT_PER_MINUTE", "3")]).await;
    let (one, other) = (ApiClient::editor(&world).await, ApiClient::editor(&world).await);
    let (one, other) = (one.token(&world).await, other.token(&world).await);
    let list = async |token: &str| call(&world, Method::GET, &contacts(&world), token, None).await;
    for left in [2, 1, 0] {
        let answer = list(&one).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let said = answer.header("ratelimit");
        assert!(said.starts_with(&format!("\"client\";r={left};")) && said.contains("\"organization\";r="), "{said}");
    }
    let refused = list(&one).await;
    assert_eq!((refused.status, refused.header("content-type")), (429, "application/problem+json"));
    assert!((1..=20).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(list(&other).await.status, 200);
}
