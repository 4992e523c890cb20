//! A session whose requests come from elsewhere: first it proves more, then it is over.

use crate::harness::{Client, World};

const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/151.0";

/// Where requests come from, as a proxy of ours says.
async fn world() -> World {
    World::start_with(&[("HTTP__PROXIES", "1")]).await
}

/// A copy of the browser's cookies, in a browser elsewhere.
fn thief(client: &Client) -> Client {
    client.clone().with_agent(WINDOWS).at_address("203.0.113.9")
}

async fn changes_and_returns(world: &World) -> (i64, i64) {
    let session = world.sessions().await.pop().unwrap();
    (session["location_changes"].as_i64().unwrap(), session["location_returns"].as_i64().unwrap())
}

// control: IDN-07
#[tokio::test]
async fn another_network_alone_neither_ends_a_session_nor_asks_for_more() {
    let world = world().await;
    let mut erin = world.sign_in("erin").await;
    for network in ["198.51.100.7", "203.0.113.9", "2001:db8::1", "198.51.100.7", "203.0.113.9", "198.51.100.7"] {
        erin = erin.at_address(network);
        assert_eq!(erin.get(&world.acme.contacts()).await.status, 200, "{network}");
    }
    let (changes, returns) = changes_and_returns(&world).await;
    assert_eq!((changes, returns), (5, 3), "an address of the other kind is no move");
    assert_eq!(world.events("session.ended_for_risk").await.len(), 0);
}

// control: IDN-07
#[tokio::test]
async fn a_stolen_cookie_shows_nothing_restricted_and_ends_when_both_use_it() {
    let world = world().await;
    let mut olivia = world.sign_in("olivia").await.at_address("198.51.100.7");
    world.prove(&mut olivia, "olivia").await;
    let contact = format!("{}/{}", world.acme.contacts(), world.contact(world.acme).await);
    assert!(olivia.get(&contact).await.body.contains(">Tax ID<"), "at home");

    let mut stolen = thief(&olivia);
    let seen = stolen.get(&contact).await;
    assert!(seen.status == 200 && !seen.body.contains(">Tax ID<"), "{}", seen.text());
    assert!(seen.body.contains("Confirm with your passkey"), "{}", seen.text());
    let vera = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    let asked = stolen.get(&vera).await;
    assert!(asked.location().starts_with("/step-up?"), "even with a fresh passkey: {}", asked.text());
    // The owner continues, and then the thief again. Two people use the session in two places.
    assert_eq!(olivia.get(&contact).await.status, 200);
    assert_eq!(stolen.get(&contact).await.status, 303, "over");
    assert_eq!(olivia.get(&contact).await.status, 303, "for both");
    let event = world.events("session.ended_for_risk").await.pop().unwrap();
    assert_eq!(event["details"]["used"]["device"], "Firefox on Windows");
    assert!(event["details"]["risk_score"].as_i64().unwrap() > 80, "{event}");
}

// control: IDN-07
#[tokio::test]
async fn a_proof_makes_its_device_and_network_the_usual_ones() {
    let world = world().await;
    let mut olivia = world.sign_in("olivia").await.at_address("198.51.100.7");
    world.prove(&mut olivia, "olivia").await;
    let vera = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    let mut olivia = thief(&olivia);
    assert_eq!(olivia.get(&vera).await.status, 303);
    world.prove(&mut olivia, "olivia").await;
    assert_eq!(olivia.get(&vera).await.status, 200);
    assert_eq!(changes_and_returns(&world).await, (0, 0));
}

// control: IDN-07
#[tokio::test]
async fn nobody_makes_a_first_passkey_in_a_session_that_has_moved() {
    let world = world().await;
    let erin = world.sign_in("erin").await.at_address("198.51.100.7");
    let mut stolen = thief(&erin);
    assert!(stolen.get("/account/passkeys/new").await.body.contains("Sign in again first"));
    assert_eq!(stolen.clone().program().post("/account/passkeys/options", &[]).await.status, 403);
}

// control: IDN-07
#[tokio::test]
async fn a_device_that_was_never_seen_before_is_new_and_the_first_one_is_not() {
    let world = world().await;
    for (agent, new) in [(None, false), (Some(WINDOWS), true), (None, false), (Some(WINDOWS), false)] {
        let mut client = world.stranger();
        if let Some(agent) = agent {
            client = client.with_agent(agent);
        }
        let callback = world.click_at_provider(&mut client, "erin").await;
        assert_eq!(client.get_from_elsewhere(&callback).await.status, 200);
        assert_eq!(world.sessions().await.pop().unwrap()["new_device"], new, "{agent:?}");
        world.wait(1);
    }
}

// control: IDN-07
#[tokio::test]
async fn the_desktop_site_of_a_phone_needs_a_proof_and_ends_no_session() {
    const TELEPHONE: &str = "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/156.0 Mobile Safari/537.36";
    const DESKTOP_SITE: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36";
    let world = world().await;
    let mut olivia = world.sign_in("olivia").await.at_address("198.51.100.7").with_agent(TELEPHONE);
    world.prove(&mut olivia, "olivia").await;
    let contacts = world.acme.contacts();
    for agent in [DESKTOP_SITE, TELEPHONE, DESKTOP_SITE, TELEPHONE, DESKTOP_SITE] {
        olivia = olivia.with_agent(agent);
        assert_eq!(olivia.get(&contacts).await.status, 200, "{agent}");
    }
    let vera = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    let asked = olivia.get(&vera).await;
    assert!(asked.location().starts_with("/step-up?"), "{}", asked.text());
    assert_eq!(world.events("session.ended_for_risk").await.len(), 0);
}
