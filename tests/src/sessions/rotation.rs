//! The token in the cookie is replaced now and then, and whenever a role changes, without signing anybody out.

use crate::harness::{Client, World};

/// Asks for a page in many tabs of one browser at once. Gives each tab as it is afterwards and whether it got a new
/// token.
async fn in_parallel(browser: &Client, tabs: usize) -> Vec<(Client, u16, bool)> {
    let mut tasks = Vec::new();
    for _ in 0..tabs {
        let mut tab = browser.clone();
        tasks.push(tokio::spawn(async move {
            let answer = tab.get("/account").await;
            let renewed = answer.sets("session").is_some();
            (tab, answer.status, renewed)
        }));
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

// control: IDN-05
#[tokio::test]
async fn a_token_is_replaced_after_a_quarter_of_an_hour_and_the_old_one_shown_a_minute_later_ends_the_session() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.wait(899);
    assert_eq!(olivia.get("/account").await.sets("session"), None);
    world.wait(1);
    let mut old = olivia.clone();
    let answer = olivia.get("/account").await;
    assert_eq!(answer.status, 200);
    let line = answer.sets("session").unwrap();
    assert!(line.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{line}");
    assert_ne!(olivia.cookie("session"), old.cookie("session"));
    assert_eq!(olivia.get("/account").await.sets("session"), None, "once");

    world.wait(59);
    let late = old.get("/account").await;
    assert_eq!((late.status, late.sets("session")), (200, None), "in the grace time it works and is not replaced");
    world.wait(1);
    assert_eq!(olivia.get("/account").await.status, 200);
    assert_eq!(world.traces().await.sessions, 1, "it is still the same session");
    let mut elsewhere = world.sign_in("olivia").await;
    let answer = old.get("/account").await;
    assert_eq!(answer.status, 303, "after it, it does not");
    assert_eq!(olivia.get("/account").await.status, 303, "and one of the two is not the browser it was given to");
    assert_eq!(elsewhere.get("/account").await.status, 200);
    let session = &world.sessions().await[0];
    assert_eq!(session["ended_reason"], "a replaced token was used");
    let events = world.events("session.token_reused").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["session_id"], session["id"]);
    assert_eq!(events[0]["request_id"], answer.request().to_string());
    assert_eq!(old.get("/account").await.status, 303);
    assert_eq!(world.events("session.token_reused").await.len(), 1, "it happened once");
}

// control: IDN-05
#[tokio::test]
async fn many_parallel_tabs_replace_the_token_once_and_all_stay_signed_in() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    world.wait(900);
    let answers = in_parallel(&olivia, 8).await;
    assert!(answers.iter().all(|(_, status, _)| *status == 200), "nobody is signed out");
    let mut renewed: Vec<Client> = answers.into_iter().filter(|(.., new)| *new).map(|(tab, ..)| tab).collect();
    assert_eq!(renewed.len(), 1, "one new token");
    let mut browser = renewed.remove(0);
    world.wait(60);
    assert_eq!(browser.get("/account").await.status, 200);
    assert_eq!(olivia.clone().get("/account").await.status, 303, "the old one has gone");
}

#[tokio::test]
async fn a_new_token_is_set_on_every_kind_of_response() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    for (path, status) in
        [("/o/00000000-0000-0000-0000-000000000000", 404), (&*format!("{}/activity", world.acme.url()), 403)]
    {
        world.wait(900);
        let before = vera.cookie("session").unwrap().to_owned();
        let answer = vera.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_ne!(vera.cookie("session").unwrap(), before, "{path}");
        assert_eq!(vera.get("/account").await.status, 200, "{path}");
    }
}

// control: IDN-05
#[tokio::test]
async fn a_role_that_changes_replaces_the_tokens_of_that_person_and_of_nobody_else() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut vera = world.sign_in("vera").await;
    let mut at_home = world.sign_in("vera").await;
    let mut old = vera.clone();
    let path = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    let changed = olivia.post(&path, &[("role", "editor"), ("reason", "she edits now"), ("ticket", "")]).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_eq!(changed.sets("session"), None, "the person who changes it keeps their token");
    for browser in [&mut vera, &mut at_home] {
        let answer = browser.get("/account").await;
        assert!(answer.status == 200 && answer.sets("session").is_some(), "{}", answer.text());
        assert_eq!(browser.get("/account").await.sets("session"), None, "once");
    }
    assert_eq!(olivia.get("/account").await.sets("session"), None);
    world.wait(60);
    assert_eq!(vera.get(&world.acme.contacts()).await.status, 200);
    assert_eq!(old.get("/account").await.status, 303, "a token from before the change has died");
}
