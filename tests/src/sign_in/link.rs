//! Signing in with a link that arrives by mail.

use crate::harness::{Answer, Client, World};

async fn allow(world: &World, organization: &str, allowed: bool) {
    sqlx::query("update tenant.organizations set settings = settings || jsonb_build_object('allows_magic_links', $2::boolean) where name = $1")
        .bind(organization)
        .bind(allowed)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
}

async fn ask(client: &mut Client, email: &str) -> Answer {
    client.post("/sign-in/link", &[("email", email), ("return_to", "/account")]).await
}

async fn use_it(client: &mut Client, token: &str) -> Answer {
    client.post("/sign-in/link/confirm", &[("token", token)]).await
}

/// A browser that has asked for a link for Vera, who views, and the token of the link.
async fn asked(world: &World) -> (Client, String) {
    world.sign_in("vera").await;
    allow(world, "Acme", true).await;
    let mut client = world.stranger();
    let sent = ask(&mut client, "Vera@Example.com").await;
    assert!(sent.status == 200 && sent.body.contains("Check your email"), "{}", sent.text());
    (client, token(world).await)
}

async fn token(world: &World) -> String {
    let mail = world.mail_to("vera@example.com").await;
    assert_eq!(mail.subject, "Your link to sign in");
    let link = mail.text.lines().find(|line| line.starts_with("http")).unwrap().to_owned();
    assert!(link.starts_with(&world.url("/sign-in/link/confirm?token=")), "{link}");
    link.split_once('=').unwrap().1.to_owned()
}

async fn links(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from identity.magic_links where user_id is not null")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

// control: IDN-12
#[tokio::test]
async fn a_link_signs_in_once_in_the_browser_that_asked_for_it() {
    let world = World::start().await;
    let (mut client, token) = asked(&world).await;
    let page = client.get_from_elsewhere(&format!("/sign-in/link/confirm?token={token}")).await;
    assert_eq!((page.status, page.header("referrer-policy")), (200, "same-origin"));
    assert_eq!(links(&world).await, 1, "looking at it does not use it up");
    let mut elsewhere = world.stranger();
    assert_eq!(use_it(&mut elsewhere, &token).await.status, 400, "another browser");
    let mut asked_too = world.stranger();
    assert_eq!(ask(&mut asked_too, "vera@example.com").await.status, 200);
    assert_eq!(use_it(&mut asked_too, &token).await.status, 400, "another browser, with a link of its own");

    let send = || {
        let (mut client, token) = (client.clone(), token.clone());
        async move {
            let answer = use_it(&mut client, &token).await;
            (answer.status, client)
        }
    };
    let mut answers: [_; 3] = tokio::join!(send(), send(), send()).into();
    answers.sort_by_key(|(status, _)| *status);
    assert_eq!(answers.each_ref().map(|(status, _)| *status), [303, 400, 400]);
    let (_, signed_in) = &mut answers[0];
    assert_eq!(signed_in.get("/account").await.status, 200);
    assert!(signed_in.get("/account").await.body.contains("sign in through a provider in this session"));
    assert!(signed_in.get("/account/sessions").await.body.contains("with a link by email"));
    assert_eq!(signed_in.get(&world.acme.contacts()).await.status, 200);
    let kinds = world.events("sign_in.succeeded").await;
    assert_eq!(kinds.last().unwrap()["details"]["provider"], "link");
}

// control: IDN-12
#[tokio::test]
async fn a_link_works_for_ten_minutes_and_is_stored_as_a_hash() {
    let world = World::start().await;
    let (mut client, token) = asked(&world).await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    assert!(!world.everything_stored().await.contains(&token));
    world.wait(601);
    assert_eq!(use_it(&mut client, &token).await.status, 400);
    for wrong in ["", "x", &token[1..]] {
        assert_eq!(use_it(&mut client, wrong).await.status, 400, "{wrong}");
    }
}

// control: IDN-12
// control: IDN-13
#[tokio::test]
async fn responses_do_not_reveal_who_may_sign_in_with_a_link() {
    let world = World::start().await;
    world.sign_in("vera").await;
    world.sign_in("adam").await;
    let alike = |answer: &Answer, email: &str| {
        let mut headers = answer.masked_headers();
        // Everybody here comes from one network.
        headers.remove("ratelimit");
        let cookie = headers.remove("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-Http-link="), "{cookie}");
        (answer.status, answer.masked().replace(email, "EMAIL"), headers)
    };
    let mut answers = Vec::new();
    for (allowed, email) in [
        (false, "vera@example.com"),
        (true, "adam@example.com"), // an admin
        (true, "nora@example.com"), // nobody
        (true, "vera@example.com"),
    ] {
        allow(&world, "Acme", allowed).await;
        answers.push(alike(&ask(&mut world.stranger(), email).await, email));
    }
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:#?}");
    assert_eq!(links(&world).await, 1, "one of them has a link: not who is privileged, not where it is not allowed");
    token(&world).await;
    let refused = ask(&mut world.stranger(), "no address").await;
    assert!(refused.status == 422 && refused.body.contains("f-email-error"), "{}", refused.text());
}

// control: IDN-12
// control: IDN-13
#[tokio::test]
async fn links_to_one_address_are_limited_whether_or_not_anybody_has_it() {
    let world = World::start().await;
    for email in ["vera@example.com", "nobody@example.com"] {
        for expected in [200, 200, 200, 429] {
            assert_eq!(ask(&mut world.stranger(), email).await.status, expected, "{email}");
        }
    }
    world.wait(601);
    assert_eq!(ask(&mut world.stranger(), "VERA@example.com").await.status, 200);
    assert_eq!(ask(&mut world.stranger(), "vera@Example.com").await.status, 429, "the same address");
}

// control: IDN-12
#[tokio::test]
async fn two_accounts_with_one_address_get_no_link() {
    let world = World::start().await;
    world.sign_in("vera").await;
    world.sign_in("erin").await;
    allow(&world, "Acme", true).await;
    sqlx::query("update identity.users set email = 'Vera@example.com' where id = $1")
        .bind(world.user("erin").await)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(ask(&mut world.stranger(), "vera@example.com").await.status, 200);
    assert_eq!(links(&world).await, 0);
}

// control: IDN-12
#[tokio::test]
async fn a_link_is_checked_against_the_state_at_its_use() {
    let world = World::start().await;
    for (change, undo, status) in [
        (
            "update tenant.memberships set role = 'finance' where user_id = $1",
            "update tenant.memberships set role = 'viewer' where user_id = $1",
            403,
        ),
        (
            "update tenant.organizations set settings = settings || jsonb_build_object('allows_magic_links', $1 is null)",
            "update tenant.organizations set settings = settings || jsonb_build_object('allows_magic_links', $1 is not null)",
            403,
        ),
        (
            "update identity.users set locked_at = now() where id = $1",
            "update identity.users set locked_at = null where id = $1",
            403,
        ),
    ] {
        world.wait(1_800);
        world.mailbox.clear();
        let (mut client, token) = asked(&world).await;
        let vera = world.user("vera").await;
        let mut owner = world.database.session().await;
        sqlx::query(change).bind(vera).execute(&mut owner).await.unwrap();
        assert_eq!(use_it(&mut client, &token).await.status, status, "{change}");
        sqlx::query(undo).bind(vera).execute(&mut owner).await.unwrap();
        assert_eq!(use_it(&mut client, &token).await.status, 400, "used up: {change}");
    }
}

// control: IDN-12
#[tokio::test]
async fn an_organization_that_does_not_allow_links_is_closed_to_a_session_that_began_with_one() {
    let world = World::start().await;
    let (mut client, token) = asked(&world).await;
    assert_eq!(use_it(&mut client, &token).await.status, 303);
    assert_eq!(client.get(&world.acme.contacts()).await.status, 200);
    allow(&world, "Acme", false).await;
    let closed = client.get(&world.acme.contacts()).await;
    assert!(
        closed.location().starts_with("/sign-in?reauthenticate=yes&unaccepted=link&organization="),
        "{}",
        closed.location()
    );
    assert!(client.get(closed.location()).await.body.contains("takes no sign-in by email"));
    assert_eq!(client.clone().program().get(&world.acme.contacts()).await.status, 401);
    let own = format!("{}/members/{}/remove", world.acme.url(), world.user("vera").await);
    assert_eq!(client.clone().program().get(&own).await.status, 401, "no page of it");
    assert_eq!(client.get("/account").await.status, 200, "the account is the person's");
    assert_eq!(client.get(&world.globex.contacts()).await.status, 404, "where they are nobody they are nobody");
}

// control: IDN-09
// control: IDN-12
#[tokio::test]
async fn a_link_proves_no_second_factor() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    world.mailbox.clear();
    let (mut client, token) = asked(&world).await;
    assert_eq!(use_it(&mut client, &token).await.status, 303);
    assert!(client.get("/account").await.location().starts_with("/step-up"));
    world.prove(&mut client, "vera").await;
    assert_eq!(client.get(&world.acme.contacts()).await.status, 200);
}

// control: IDN-12
#[tokio::test]
async fn a_session_by_link_cannot_accept_a_privileged_role() {
    let world = World::start().await;
    let (mut client, token) = asked(&world).await;
    assert_eq!(use_it(&mut client, &token).await.status, 303);
    for (role, expected) in [("admin", 404), ("finance", 404), ("editor", 303)] {
        let id = uuid::Uuid::now_v7();
        world.invite(id, world.globex.organization, "vera@example.com", role).await;
        let accepted = client.post(&format!("/invitations/{id}/accept"), &[]).await;
        assert_eq!(accepted.status, expected, "{role}: {}", accepted.text());
        sqlx::query("delete from tenant.invitations").execute(&mut world.database.owner().await).await.unwrap();
    }
}

// control: IDN-09
// control: IDN-12
#[tokio::test]
async fn a_session_by_link_creates_nothing_that_outlasts_it() {
    let world = World::start().await;
    let (mut client, token) = asked(&world).await;
    assert_eq!(use_it(&mut client, &token).await.status, 303);
    assert_eq!(client.clone().program().post("/account/passkeys/options", &[]).await.status, 403);
    assert!(client.get("/account/passkeys/new").await.body.contains("Sign in again first"));
    assert_eq!(client.post("/account/authenticator", &[]).await.status, 403);
    assert!(client.get("/account/authenticator").await.body.contains("/sign-in?reauthenticate=yes"));
}
