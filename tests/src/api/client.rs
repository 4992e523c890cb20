//! Clients: the member they act as, the lifetime of their secrets, and how they end.

use reqwest::Method;
use serde_json::json;

use super::{ALL, ApiClient, call, contacts, parts};
use crate::harness::{World, log};

const DAY: i64 = 86_400;

// control: IDN-16
#[tokio::test]
async fn a_client_acts_with_the_role_its_member_has_now() {
    let world = World::start().await;
    let client = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    let token = client.token(&world).await;
    let erin = world.user("erin").await;
    assert_eq!(parts(&token).1["sub"], erin.to_string());
    let new = |name: &str| json!({ "name": name });
    assert_eq!(call(&world, Method::POST, &contacts(&world), &token, Some(&new("One"))).await.status, 201);
    let event = &world.events("contact.created").await[0];
    assert_eq!((&event["actor"], &event["context"]["client"]), (&json!(erin), &json!(client.id)), "through the client");

    let change = async |sql: &'static str| {
        assert_eq!(
            sqlx::query(sql).bind(erin).execute(&mut world.database.owner().await).await.unwrap().rows_affected(),
            1
        )
    };
    change("update tenant.memberships set role = 'viewer' where user_id = $1").await;
    assert_eq!(call(&world, Method::POST, &contacts(&world), &token, Some(&new("Two"))).await.status, 403);
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
    // A role that takes a passkey takes one that a program does not have.
    change("update tenant.memberships set role = 'owner' where user_id = $1").await;
    let privileged = call(&world, Method::GET, &contacts(&world), &token, None).await;
    assert_eq!(privileged.status, 403, "{}", privileged.body);
    assert!(privileged.body.contains("takes a passkey, which a client of the API cannot prove"), "{}", privileged.body);
    assert_eq!(privileged.header("www-authenticate"), "", "no token would change that");
    change("update tenant.memberships set role = 'editor' where user_id = $1").await;
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
    change("update identity.users set locked_at = now() where id = $1").await;
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 401, "locked");
    change("update identity.users set locked_at = null where id = $1").await;
    change("delete from tenant.memberships where user_id = $1").await;
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 401, "left");
    let refused = client.ask(&world, &[("grant_type", "client_credentials")]).await;
    assert_eq!(refused.json()["error"], "invalid_client");
}

// control: IDN-15
// control: IDN-16
#[tokio::test]
async fn a_members_client_is_nothing_where_the_organization_wants_its_own_provider_of_everybody() {
    let world = World::start().await;
    let own = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await.token(&world).await;
    let service = ApiClient::editor(&world).await.token(&world).await;
    let status = async |token: &str| call(&world, Method::GET, &contacts(&world), token, None).await.status;
    assert_eq!((status(&own).await, status(&service).await), (200, 200));
    // The same state as after an owner with an SSO session has required SSO.
    world.new_provider(world.acme).await;
    let domain = "update tenant.domains set verified_at = created_at where id = $1";
    sqlx::query(domain)
        .bind(world.new_domain(world.acme).await)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    world
        .change("update tenant.organizations set settings = settings || '{\"requires_sso\": true}' where name = 'Acme'")
        .await;
    assert_eq!((status(&own).await, status(&service).await), (403, 200));
    let refused = call(&world, Method::GET, &contacts(&world), &own, None).await;
    assert!(refused.body.contains("requires its own identity provider of its members"), "{}", refused.body);
    assert!(!refused.body.contains("asskey"), "{}", refused.body);
}

// control: IDN-16
#[tokio::test]
async fn nobody_gets_a_secret_to_act_as_somebody_else() {
    let world = World::start().await;
    let own = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    let mut olivia = world.sign_in("olivia").await;
    let client = format!("{}/clients/{}", world.acme.url(), own.id);
    assert_eq!(olivia.post(&format!("{client}/secret"), &[("reason", "To be her")]).await.status, 403);
    assert_eq!(olivia.post(&format!("{client}/revoke"), &[("reason", "Not needed")]).await.status, 303);
}

// control: IDN-16
#[tokio::test]
async fn who_makes_clients_for_whom() {
    let world = World::start().await;
    for (who, acts_as, status) in [
        ("olivia", "self", 403),
        ("adam", "creator", 200),
        ("carl", "self", 200),
        ("carl", "viewer", 403),
        ("vera", "self", 200),
        ("vera", "editor", 403),
        ("fiona", "self", 404),
    ] {
        let mut browser = world.sign_in(who).await;
        world.prove(&mut browser, who).await;
        let name = format!("{who} {acts_as}");
        let form = [
            ("name", &*name),
            ("acts_as", acts_as),
            ("kind", "tokens"),
            ("scope", "ListContacts"),
            ("reason", "A test of it"),
        ];
        let answer = browser.post(&format!("{}/clients", world.acme.url()), &form).await;
        let status_seen = if answer.status == 403 && status == 404 { 404 } else { answer.status };
        assert_eq!(status_seen, status, "{who} {acts_as}: {}", answer.text());
    }
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    let list = vera.get(&format!("{}/clients", world.acme.url())).await;
    assert!(list.body.contains("vera self") && !list.body.contains("carl self"), "each sees their own");
    let mut olivia = world.sign_in("olivia").await;
    let list = olivia.get(&format!("{}/clients", world.acme.url())).await;
    assert!(list.body.contains("vera self") && list.body.contains("adam creator"), "owners see all");
}

// control: IDN-19
#[tokio::test]
async fn a_secret_is_flagged_when_it_grows_old_and_then_refused() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let list = format!("{}/clients", world.acme.url());
    for (days, flag, status) in [(74, "", 200), (1, "Renew soon", 200), (14, "Renew soon", 200), (1, "Too old", 401)] {
        world.wait(days * DAY);
        let page = world.sign_in("olivia").await.get(&list).await;
        for words in ["Renew soon", "Too old"] {
            assert_eq!(page.body.contains(words), words == flag, "{words} after {days} more: {}", page.text());
        }
        let answer = client.ask(&world, &[("grant_type", "client_credentials")]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    assert_eq!(
        world.events("api_token.refused").await[0]["details"]["reason"],
        "The secret is older than 90 days. Create a new one."
    );
    // A new one is taken again, and the old one still is not.
    let mut olivia = world.sign_in("olivia").await;
    let page = olivia.post(&format!("{list}/{}/secret", client.id), &[("reason", "Too old")]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    ApiClient::shown(&page).token(&world).await;
    assert_eq!(client.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
}

// control: IDN-16
#[tokio::test]
async fn a_new_secret_and_a_revocation_end_earlier_tokens() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let (tokens, list) = (client.tokens(&world).await, format!("{}/clients", world.acme.url()));
    let mut olivia = world.sign_in("olivia").await;
    let page = olivia.post(&format!("{list}/{}/secret", client.id), &[("reason", "It was seen")]).await;
    let renewed = ApiClient::shown(&page);
    let old = tokens["access_token"].as_str().unwrap();
    assert_eq!(call(&world, Method::GET, &contacts(&world), old, None).await.status, 401);
    assert_eq!(renewed.refresh(&world, &tokens["refresh_token"]).await.json()["error"], "invalid_grant");
    let token = renewed.token(&world).await;
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 200);
    let ended = olivia.post(&format!("{list}/{}/revoke", client.id), &[("reason", "Not needed")]).await;
    assert_eq!(ended.status, 303, "{}", ended.text());
    assert_eq!(call(&world, Method::GET, &contacts(&world), &token, None).await.status, 401);
    assert_eq!(renewed.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
}

// control: IDN-17
#[tokio::test]
async fn no_secret_or_token_is_in_the_database_or_in_the_log() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let signs = ApiClient::made(&world, "olivia", "viewer", "signatures", &ALL).await;
    let tokens = client.tokens(&world).await;
    let answer = client.refresh(&world, &tokens["refresh_token"]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let stored = world.everything_stored().await;
    let hex = |text: &str| text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let logged = log::everything();
    for secret in [
        &*client.secret,
        &signs.secret,
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    ] {
        assert!(!stored.contains(secret) && !stored.contains(&hex(secret)), "in the database");
        assert!(!logged.contains(secret), "in the log");
    }
}

// control: API-02
#[tokio::test]
async fn tries_of_a_client_are_counted() {
    let world = World::start().await;
    let client = ApiClient::editor(&world).await;
    let wrong = client.with_secret("wrong");
    for _ in 0..20 {
        assert_eq!(wrong.ask(&world, &[("grant_type", "client_credentials")]).await.status, 401);
    }
    let answer = client.ask(&world, &[("grant_type", "client_credentials")]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, "3"), "{}", answer.body);
    world.wait(3);
    client.token(&world).await;

    let world = World::start_with(&[("TOKENS__REQUESTS_PER_MINUTE", "2")]).await;
    let nobody = ApiClient { id: uuid::Uuid::now_v7(), secret: "x".to_owned() };
    let (one, other) = (ApiClient::editor(&world).await, ApiClient::editor(&world).await);
    let ask = async |client: &ApiClient| client.ask(&world, &[("grant_type", "client_credentials")]).await.status;
    let mut seen = Vec::new();
    for client in [&nobody, &nobody, &nobody, &one, &one, &one, &other] {
        seen.push(ask(client).await);
    }
    assert_eq!(seen, [401, 401, 401, 200, 200, 429, 200], "of a client, which has shown its secret");
}

// control: IDN-16
#[tokio::test]
async fn requests_at_once_do_not_add_up_to_more_clients_than_there_may_be() {
    for (who, acts_as, most) in [("olivia", "editor", 200), ("erin", "self", 10)] {
        let world = World::start().await;
        let mut client = world.sign_in(who).await;
        world.prove(&mut client, who).await;
        sqlx::query(
            "insert into tenant.api_clients
               (tenant_id, id, name, name_key, member, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
             select $1, gen_random_uuid(), 'Client ' || n, sha256(n::text::bytea), case when $3 = 'self' then $2 end, nullif($3, 'self'),
                    '{ListContacts}', false, false, sha256(''), $4, $2, $4
               from generate_series(1, $5) n",
        )
        .bind(world.acme.organization)
        .bind(world.user(who).await)
        .bind(acts_as)
        .bind(world.clock.now())
        .bind(most - 1)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
        let make = |name: &'static str| {
            let (mut client, url) = (client.clone(), format!("{}/clients", world.acme.url()));
            let why = [("scope", "ListContacts"), ("reason", "A test of it")];
            async move {
                let form = [&[("name", name), ("acts_as", acts_as), ("kind", "tokens")], &why[..]].concat();
                client.post(&url, &form).await
            }
        };
        let lock = "select from tenant.organizations for update";
        assert_eq!(world.race_for_one_place(lock, make("One"), make("Other")).await, [200, 409], "{who}");
        let all = world.database.count("select count(*) from tenant.api_clients").await;
        assert_eq!(all, i64::from(most), "{who}");
    }
}
