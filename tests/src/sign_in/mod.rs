//! Coming in: the authorization request, the answer, the ID token, and everything a provider or a stranger can get wrong
//! about them.

mod alike;
mod answer;
mod as_they_are;
mod configuration;
pub(crate) mod faults;
mod good;
mod limits;
mod link;
mod login;
mod people;
mod proof_of_work;
mod provider;
mod return_to;
mod samples;
mod strangers;

use devkit::idp::{Client as IdpClient, Idp, Person};
use tokio::net::TcpListener;

use crate::harness::{Answer, Client, World};

/// A world with a second provider, under the key `other`.
pub(crate) async fn with_other_provider(people: Vec<Person>) -> (World, Idp) {
    let other = Idp::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), people).await.unwrap();
    let world = World::start_with(&[
        ("AUTHN__PROVIDERS__OTHER__NAME", "Other"),
        ("AUTHN__PROVIDERS__OTHER__ISSUER", &other.issuer()),
        ("AUTHN__PROVIDERS__OTHER__CLIENT_ID", "holdfast"),
        ("AUTHN__PROVIDERS__OTHER__CLIENT_SECRET", "another secret"),
    ])
    .await;
    world.keeps_time(&other);
    other.register(IdpClient {
        id: "holdfast".to_owned(),
        secret: "another secret".to_owned(),
        redirect_uris: vec![world.url("/sign-in/other/callback")],
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
    });
    (world, other)
}

/// The value of a parameter of an address. Panics unless it is there exactly once.
fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).or_else(|_| url::Url::parse(&format!("http://localhost{url}"))).unwrap();
    let values: Vec<String> =
        url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect();
    assert_eq!(values.len(), 1, "{name} in {url}");
    values[0].clone()
}

/// Goes through a whole sign-in and returns the last response. A provider that cannot even be started
/// with ends it early.
async fn try_to_sign_in(world: &World, client: &mut Client, subject: &str) -> Answer {
    let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
    if started.status != 200 {
        return started;
    }
    let location = world.idp.sign_in(&started.moves_on_to(), subject).await.unwrap();
    client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await
}

/// No page of ours contains a script or an element from outside, with any status.
fn assert_is_a_plain_page(answer: &Answer) {
    assert!(answer.header("content-type").starts_with("text/html"), "{}", answer.header("content-type"));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!answer.body.contains("<script") && !answer.body.contains("<img src=x"), "{}", answer.body);
}
