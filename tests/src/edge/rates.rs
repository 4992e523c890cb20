//! Requests a minute: of a network, a person, a client, on an organization.

use reqwest::Method;
use sqlx::Executor as _;

use super::{assert_one_line, assets};
use crate::harness::{Answer, World, registry};

const PROXY: (&str, &str) = ("HTTP__PROXIES", "1");

/// What is left of a limit, as the answer says.
fn left(answer: &Answer, name: &str) -> u32 {
    let said = answer.header("ratelimit");
    let quota = said.split(", ").find_map(|quota| quota.strip_prefix(&format!("\"{name}\";r=")));
    let quota = quota.unwrap_or_else(|| panic!("{name} is not in {said}: {}", answer.text()));
    quota.split(';').next().unwrap().parse().unwrap()
}

fn assert_refused(answer: &Answer, name: &str) {
    assert_eq!((answer.status, left(answer, name)), (429, 0), "{}", answer.text());
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert!(answer.body.contains(&format!("Try again in {wait} second")), "{}", answer.text());
    assert!(answer.header("ratelimit-policy").contains(&format!("\"{name}\";q=3;w=60")));
    assert_one_line(answer);
}

// control: API-01
#[tokio::test]
async fn every_answer_but_those_of_the_probes_says_what_is_left() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let samples = world.samples().await;
    let mut asked: Vec<_> =
        registry().table().iter().map(|row| (row.method, samples.path(&row.path), row.guard)).collect();
    asked.extend(assets(&world).await.into_iter().map(|asset| ("GET", asset, "none")));
    asked.push(("GET", "/nowhere".to_owned(), "none"));
    asked.push(("DELETE", "/sign-in".to_owned(), "none"));
    for (method, path, guard) in asked {
        let probe = ["/healthz", "/readyz"].contains(&&*path);
        for mut client in [world.stranger(), olivia.clone()] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = client.request(method.clone(), &path).header("sec-fetch-site", "same-origin");
            let answer = client.send(request).await;
            for name in ["ratelimit", "ratelimit-policy"] {
                assert_eq!(answer.headers.contains_key(name), !probe, "{name} of {method} {path}: {}", answer.text());
            }
            let hers = method == Method::GET && client.cookie("session").is_some() && !path.starts_with("/api/");
            if hers && !["Public", "LogoutToken", "none"].contains(&guard) {
                left(&answer, "person");
            }
            if hers && path.starts_with(&world.acme.url()) {
                left(&answer, "organization");
            }
        }
    }
}

// control: API-01
#[tokio::test]
async fn a_network_asks_so_often_without_showing_who_it_is() {
    let world = World::start_with(&[PROXY, ("HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "3")]).await;
    let (mut here, mut there) =
        (world.stranger().at_address("198.51.100.7"), world.stranger().at_address("203.0.113.9"));
    here.set_cookie("session", "nobody's");
    for (path, expected) in [("/account", 2), ("/nowhere", 1), ("/sign-in", 0)] {
        assert_eq!(left(&here.get(path).await, "network"), expected, "{path}");
    }
    for path in ["/sign-in", "/account", "/nowhere", &assets_of(&mut there).await] {
        assert_refused(&here.get(path).await, "network");
        assert_refused(&here.clone().program().get(path).await, "network");
    }
    assert_eq!(here.get("/healthz").await.status, 200);
    assert_eq!(there.get("/sign-in").await.status, 200, "others are not affected");
}

// control: API-01
// control: API-05
#[tokio::test]
async fn made_up_tokens_past_the_limit_cost_one_look_up_and_no_more() {
    let world = World::start_with(&[PROXY, ("HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "3")]).await;
    let mut here = world.stranger().at_address("198.51.100.7");
    here.set_cookie("session", &"x".repeat(43));
    for expected in [2, 1, 0] {
        assert_eq!(left(&here.get(&world.acme.contacts()).await, "network"), expected);
    }
    // Whatever would look for a stolen session writes, and would wait here.
    let mut owner = world.database.session().await;
    owner.execute("begin; lock table identity.sessions in share mode").await.unwrap();
    assert_refused(&here.get(&world.acme.contacts()).await, "network");
    assert_refused(&here.clone().program().post(&world.acme.contacts(), &[("name", "Ada")]).await, "network");
    assert_refused(&here.post(&world.acme.contacts(), &[("name", "Ada")]).await, "network");
    assert_refused(&here.get("/nowhere").await, "network");
}

/// The address of a file that the front page names.
async fn assets_of(client: &mut crate::harness::Client) -> String {
    let page = client.get("/").await;
    page.body.split('"').find(|part| part.starts_with("/assets/")).unwrap().to_owned()
}

// control: API-01
#[tokio::test]
async fn a_person_has_one_rate_limit_for_all_pages_and_does_not_affect_others() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__PERSON_PER_MINUTE", "3")]).await;
    let (mut vera, mut erin) = (world.sign_in("vera").await, world.sign_in("erin").await);
    for (path, expected) in [("/account".to_owned(), 2), (world.acme.url(), 1), (world.acme.contacts(), 0)] {
        let answer = vera.get(&path).await;
        assert_eq!((answer.status, left(&answer, "person")), (200, expected), "{path}");
    }
    let before = world.state().await;
    assert_refused(&vera.get("/account").await, "person");
    assert_refused(&vera.clone().program().get(&world.acme.contacts()).await, "person");
    assert_refused(&vera.post("/account/sessions/end-others", &[]).await, "person");
    assert_eq!(world.state().await, before);
    assert_eq!(erin.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(world.stranger().get("/sign-in").await.status, 200);
}

// control: API-01
#[tokio::test]
async fn an_organization_is_asked_so_often_and_only_by_its_own() {
    let world = World::start_with(&[("HTTP__RATE_LIMITS__ORGANIZATION_PER_MINUTE", "3")]).await;
    let (mut vera, mut erin) = (world.sign_in("vera").await, world.sign_in("erin").await);
    for _ in 0..5 {
        assert_eq!(vera.get(&world.globex.contacts()).await.status, 404, "she takes nothing from Globex");
    }
    for expected in [2, 1, 0] {
        assert_eq!(left(&vera.get(&world.acme.contacts()).await, "organization"), expected);
    }
    assert_refused(&erin.get(&world.acme.contacts()).await, "organization");
    assert_eq!(erin.get("/account").await.status, 200);
    let mut owner = world.database.session().await;
    let join = "insert into tenant.memberships (tenant_id, user_id, role) values ($1, $2, 'viewer')";
    let joined =
        sqlx::query(join).bind(world.globex.organization).bind(world.user("erin").await).execute(&mut owner).await;
    assert_eq!(joined.unwrap().rows_affected(), 1);
    // The trigger of a membership replaces her token.
    let mut erin = world.sign_in("erin").await;
    assert_eq!(left(&erin.get(&world.globex.contacts()).await, "organization"), 2);
}
