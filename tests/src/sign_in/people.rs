//! Who somebody is: issuer and subject, and nothing else.

use super::{try_to_sign_in, with_other_provider};
use crate::harness::{Traces, World};

// control: TEN-02
#[tokio::test]
async fn the_same_address_at_two_providers_is_two_people() {
    let (world, other) = with_other_provider(devkit::seed::people()).await;
    let choose = world.stranger().get("/sign-in").await;
    assert!(choose.body.contains("Continue with Other") && choose.body.contains("Continue with Development sign-in"));

    let users = world.traces().await.users;
    let mut owner = world.sign_in("olivia").await;
    assert_eq!(world.traces().await.users, users, "known from the seed");
    let mut namesake = world.stranger();
    let started = namesake.post("/sign-in/other", &[("return_to", "/organizations")]).await;
    let location = other.sign_in(&started.moves_on_to(), "olivia").await.unwrap();
    let answer = namesake.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(world.traces().await.users, users + 1);
    let account = namesake.get("/account").await;
    assert!(account.body.contains("olivia@example.com") && account.body.contains(&other.issuer()));
    assert_eq!(owner.get(&world.acme.url()).await.status, 200);
    assert_eq!(namesake.get(&world.acme.url()).await.status, 404, "the same address opens no organization");
    assert!(!namesake.get("/organizations").await.body.contains("Acme"));
}

#[tokio::test]
async fn two_first_sign_ins_of_one_person_at_the_same_moment_make_one_user() {
    let world = World::start().await;
    world.change("delete from identity.accounts where subject = 'nora'").await;
    let before = world.traces().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut client = world.stranger();
        let callback = world.click_at_provider(&mut client, "nora").await;
        tasks.push(tokio::spawn(async move { client.get_from_elsewhere(&callback).await.status }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let expected = Traces { users: before.users + 1, sessions: before.sessions + 4, ..before };
    assert_eq!(world.traces().await, expected);
}

#[tokio::test]
async fn a_locked_person_cannot_sign_in_and_is_signed_out() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut adam = world.sign_in("adam").await;
    assert_eq!(olivia.get("/account").await.status, 200);
    let locked = "update identity.users set locked_at = now() where display_name = 'Olivia Owner'";
    assert_eq!(world.change(locked).await, 1);
    let answer = olivia.get("/account").await;
    assert_eq!((answer.status, answer.location()), (303, "/sign-in?return_to=%2Faccount"), "at the next request");
    assert_eq!(olivia.clone().program().get(&world.acme.url()).await.status, 401);
    assert_eq!(adam.get("/account").await.status, 200, "others stay");

    let before = world.traces().await;
    let mut again = world.stranger();
    let answer = try_to_sign_in(&world, &mut again, "olivia").await;
    assert_eq!((answer.status, answer.sets("session")), (403, None), "{}", answer.text());
    assert!(answer.body.contains("This account is locked"), "{}", answer.text());
    assert_eq!(world.traces().await, Traces { failures: before.failures + 1, ..before });
    let event = world.events("sign_in.failed").await.pop().unwrap();
    assert_eq!(event["details"]["reason"], "the account is locked");
    assert_eq!(event["actor"], world.user("olivia").await.to_string());

    world.change("update identity.users set locked_at = null").await;
    assert_eq!(try_to_sign_in(&world, &mut again, "olivia").await.status, 200);
}

#[tokio::test]
async fn name_and_address_follow_the_provider_and_the_person_stays() {
    let world = World::start().await;
    let id = world.user("olivia").await;
    world.change("update identity.users set display_name = 'Somebody', email = 'old@example.com'").await;
    let mut olivia = world.sign_in("olivia").await;
    let page = olivia.get("/account").await;
    assert!(page.body.contains("Olivia Owner") && !page.body.contains("old@example.com"), "{}", page.text());
    assert_eq!(world.user("olivia").await, id);
}

// control: IDN-21
#[tokio::test]
async fn an_address_is_taken_as_it_is_or_not_at_all() {
    let mut people = devkit::seed::people();
    people.truncate(4);
    let odd = ["no\u{200b}ra@example.com", "x", "nora@example.com, gus@example.com", " nora@example.com"];
    for (person, email) in people.iter_mut().zip(odd) {
        email.clone_into(&mut person.email);
    }
    let subjects: Vec<String> = people.iter().map(|person| person.subject.clone()).collect();
    let (world, other) = with_other_provider(people).await;
    for subject in subjects {
        let mut client = world.stranger();
        let started = client.post("/sign-in/other", &[("return_to", "/account")]).await;
        let location = other.sign_in(&started.moves_on_to(), &subject).await.unwrap();
        let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
        assert_eq!(answer.status, 200, "{subject}: {}", answer.text());
        let page = client.get("/account").await;
        assert!(
            page.body.contains("Not verified") && !page.body.contains("@example.com"),
            "{subject}: {}",
            page.text()
        );
        assert_eq!(client.post("/account/email", &[]).await.status, 409, "nowhere to send it");
    }
    let bad = "select count(*) from identity.users u join identity.accounts a on a.user_id = u.id
                where a.issuer not in (select issuer from identity.accounts where subject = 'vera') and u.email <> ''";
    assert_eq!(world.database.count(bad).await, 0);
}
