//! A sign-in under way: it works once, for ten minutes, in the browser that began it, with the provider it began with.

use super::with_other_provider;
use crate::harness::{Client, World};

/// A browser that returns from the provider, and the address that it is sent to.
async fn back_from_provider(world: &World, subject: &str) -> (Client, String) {
    let mut client = world.stranger();
    let callback = world.click_at_provider(&mut client, subject).await;
    (client, callback)
}

/// The callback with one parameter of another.
fn with(callback: &str, name: &str, other: &str) -> String {
    format!("/sign-in/dev/callback?{}", {
        let taken = super::parameter(other, name);
        let url = url::Url::parse(&format!("http://localhost{callback}")).unwrap();
        let pairs = url.query_pairs().map(|(n, v)| if n == name { (n, taken.clone().into()) } else { (n, v) });
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    })
}

// control: IDN-02
#[tokio::test]
async fn a_callback_works_once_even_if_it_comes_many_times_at_the_same_moment() {
    let world = World::start().await;
    let (client, callback) = back_from_provider(&world, "nora").await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let (mut twin, callback) = (client.clone(), callback.clone());
        tasks.push(tokio::spawn(async move { twin.get_from_elsewhere(&callback).await }));
    }
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400, 400, 400]);
    assert_eq!((world.traces().await.sessions, world.idp.counts().token), (1, 1));

    let mut later = client.clone();
    let replay = later.get_from_elsewhere(&callback).await;
    assert_eq!((replay.status, replay.sets("session")), (400, None), "{}", replay.text());
    assert_eq!(world.idp.counts().token, 1, "the code is not even presented");
}

// control: IDN-02
#[tokio::test]
async fn a_sign_in_takes_at_most_ten_minutes() {
    let world = World::start().await;
    let mut client = world.stranger();
    let asked = client.post("/sign-in/dev", &[("return_to", "/account")]).await.moves_on_to();
    world.wait(599);
    let location = world.idp.sign_in(&asked, "nora").await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let mut client = world.stranger();
    let asked = client.post("/sign-in/dev", &[("return_to", "/account")]).await.moves_on_to();
    world.wait(600);
    let location = world.idp.sign_in(&asked, "nora").await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!((answer.status, answer.sets("session")), (400, None), "{}", answer.text());
    assert_eq!(world.traces().await.logins, 1, "it lies there until the janitor comes");
}

// control: IDN-02
#[tokio::test]
async fn cookie_state_and_code_of_two_browsers_do_not_mix() {
    let world = World::start().await;
    // Whose cookie, state and code; `false` is Mallory's, `true` is Nora's.
    for (cookie, state, code) in [
        (true, true, false),
        (true, false, true),
        (true, false, false),
        (false, true, true),
        (false, true, false),
        (false, false, true),
    ] {
        let (mut nora, hers) = back_from_provider(&world, "nora").await;
        let (mut mallory, his) = back_from_provider(&world, "gus").await;
        let sessions = world.traces().await.sessions;
        let browser = if cookie { &mut nora } else { &mut mallory };
        let mut callback = if state { with(&hers, "state", &hers) } else { with(&hers, "state", &his) };
        if !code {
            callback = with(&callback, "code", &his);
        }
        let answer = browser.get_from_elsewhere(&callback).await;
        // With cookie and state together the code is presented, and PKCE is what stops it.
        let expected = if cookie == state { 403 } else { 400 };
        assert_eq!(answer.status, expected, "{cookie} {state} {code}: {}", answer.text());
        assert_eq!(answer.sets("session"), None);
        assert_eq!(world.traces().await.sessions, sessions, "{cookie} {state} {code}");
        if cookie != state {
            let own = if cookie { &hers } else { &his };
            assert_eq!(browser.get_from_elsewhere(own).await.status, 200, "a forged answer ends nothing");
        }
    }
}

#[tokio::test]
async fn without_its_cookie_an_answer_is_nothing() {
    let world = World::start().await;
    let (mut client, callback) = back_from_provider(&world, "nora").await;
    let handle = client.cookie("login").unwrap().to_owned();
    let failures = world.traces().await.failures;
    for cookie in ["", "x", &handle[..42], &format!("{handle}x"), &"a".repeat(4000)] {
        client.set_cookie("login", cookie);
        let answer = client.get_from_elsewhere(&callback).await;
        assert_eq!((answer.status, answer.sets("session")), (400, None), "{cookie:?}");
    }
    client.remove_cookie("login");
    assert_eq!(client.get_from_elsewhere(&callback).await.status, 400);
    let twice = client
        .request(reqwest::Method::GET, &callback)
        .header("cookie", format!("__Host-Http-login={handle}; __Host-Http-login=other"));
    assert_eq!(client.send(twice).await.status, 400, "two cookies of the name are none");
    assert_eq!(world.traces().await.failures, failures, "strangers fill no audit trail");
    client.set_cookie("login", &handle);
    assert_eq!(client.get_from_elsewhere(&callback).await.status, 200);
}

// control: IDN-02
#[tokio::test]
async fn an_answer_counts_only_at_the_provider_it_was_asked_of() {
    let (world, other) = with_other_provider(devkit::seed::people()).await;
    let (mut client, callback) = back_from_provider(&world, "nora").await;
    let elsewhere = callback.replace("/sign-in/dev/", "/sign-in/other/");
    assert_eq!(client.get_from_elsewhere(&elsewhere).await.status, 400);
    assert_eq!(other.counts().token, 0, "the code went nowhere");
    for unknown in ["/sign-in/nobody/", "/sign-in/DEV/", "/sign-in/dev%00/", "/sign-in/../dev/"] {
        let answer = client.get_from_elsewhere(&callback.replace("/sign-in/dev/", unknown)).await;
        assert_eq!(answer.status, 404, "{unknown}: {}", answer.text());
    }
    assert_eq!(client.get_from_elsewhere(&callback).await.status, 200, "and the right one still does");
}
