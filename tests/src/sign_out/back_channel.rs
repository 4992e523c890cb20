//! The provider says that somebody signed out there (OpenID Connect Back-Channel Logout 1.0).

use devkit::idp::{Alg, Fault, LogoutFault};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, World, log};

/// Posts a logout token as a provider does: no cookies, no origin, nothing a browser would send.
async fn post(world: &World, token: &str) -> Answer {
    let mut service = world.stranger().program();
    let request = service
        .request(Method::POST, "/sign-in/dev/back-channel-logout")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("logout_token={token}"));
    service.send(request).await
}

async fn live(world: &World) -> Vec<Value> {
    let sessions = world.sessions().await;
    sessions.into_iter().filter(|session| session["ended_at"] == json!(null)).collect()
}

// control: IDN-20
#[tokio::test]
async fn a_sign_out_at_the_provider_ends_one_session_by_sid_and_all_of_a_person_by_sub() {
    let world = World::start().await;
    for alg in [Alg::Rs256, Alg::Es256, Alg::EdDsa] {
        world.idp.set_key(alg);
        world.wait(120);
        let mut clients = Vec::new();
        for subject in ["olivia", "olivia", "olivia", "adam"] {
            clients.push(world.sign_in(subject).await);
        }
        let sids: Vec<String> = world.idp.sign_ins().into_iter().rev().take(4).map(|one| one.sid).collect();
        let ended = world.events("session.ended_by_provider").await.len();
        let send = |subject, sid| world.idp.send_backchannel_logout("holdfast", subject, sid, LogoutFault::None);
        assert_eq!(send(None, Some(&sids[3])).await.unwrap(), 200);
        assert_eq!(clients[0].get("/account").await.status, 303, "{alg:?}: that one");
        assert_eq!(clients[1].get("/account").await.status, 200, "{alg:?}: and no other");
        assert_eq!(send(Some("olivia"), Some(&sids[2])).await.unwrap(), 200);
        assert_eq!(clients[1].get("/account").await.status, 303);
        assert_eq!(clients[2].get("/account").await.status, 200);
        assert_eq!(send(Some("adam"), Some(&sids[1])).await.unwrap(), 200, "nobody's session: nothing to do");
        assert_eq!(clients[2].get("/account").await.status, 200, "{alg:?}: person and session must both fit");
        assert_eq!(send(Some("olivia"), None).await.unwrap(), 200);
        assert_eq!(clients[2].get("/account").await.status, 303);
        assert_eq!(clients[3].get("/account").await.status, 200, "{alg:?}: somebody else stays");
        let events = world.events("session.ended_by_provider").await;
        assert_eq!(events.len() - ended, 3);
        assert_eq!(events.last().unwrap()["actor"], world.user("olivia").await.to_string());
        assert_eq!(send(Some("adam"), None).await.unwrap(), 200);
    }
    let sessions = world.sessions().await;
    assert!(sessions.iter().all(|session| session["ended_reason"] == "signed out at the provider"), "{sessions:?}");
}

// control: IDN-20
#[tokio::test]
async fn a_logout_token_with_any_fault_ends_nothing() {
    let world = World::start().await;
    world.idp.set_key(Alg::Es256);
    let mut olivia = world.sign_in("olivia").await;
    let sid = world.idp.sign_ins()[0].sid.clone();
    for &fault in LogoutFault::ALL {
        let token = world.idp.logout_token("holdfast", Some("olivia"), Some(&sid), fault);
        let answer = post(&world, &token).await;
        assert_eq!(answer.status, 400, "{fault:?}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{fault:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{fault:?}");
        assert!(answer.body.contains("This logout token is not acceptable."), "{fault:?}: no word of why");
        let lines = log::lines_of(answer.header("x-request-id"));
        assert!(lines.iter().any(|line| line["message"] == "logout token rejected"), "{fault:?}: the log says");
        assert_eq!(olivia.get("/account").await.status, 200, "{fault:?}");
    }
    assert_eq!(live(&world).await.len(), 1);
    assert_eq!(world.database.count("select count(*) from identity.logout_tokens").await, 0);
    assert_eq!(world.events("session.ended_by_provider").await.len(), 0);
    let good = world.idp.logout_token("holdfast", Some("olivia"), Some(&sid), LogoutFault::None);
    assert_eq!(post(&world, &good).await.status, 200, "and without a fault it does");
}

// control: IDN-20
#[tokio::test]
async fn a_logout_token_works_once_even_if_it_comes_many_times_at_the_same_moment() {
    let world = World::start().await;
    world.sign_in("olivia").await;
    let token = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
    let (a, b, c, d) =
        tokio::join!(post(&world, &token), post(&world, &token), post(&world, &token), post(&world, &token));
    let mut statuses = [a.status, b.status, c.status, d.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400, 400, 400]);
    assert_eq!(world.events("session.ended_by_provider").await.len(), 1);

    world.wait(120);
    let mut again = world.sign_in("olivia").await;
    for seconds in [0, 1, 299, 400, 86_400] {
        world.clock.advance(chrono::Duration::seconds(seconds));
        let replay = post(&world, &token).await;
        assert_eq!(replay.status, 400, "after {seconds} s: {}", replay.body);
    }
    assert_eq!(live(&world).await.len(), 1, "a replay ends no new session");
    world.clock.advance(chrono::Duration::seconds(-87_100));
    assert_eq!(again.get("/account").await.status, 200);
}

// control: IDN-20
#[tokio::test]
async fn an_id_token_is_not_accepted_as_a_logout_token_and_the_reverse() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let id_token = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::IdTokenInstead);
    assert_eq!(post(&world, &id_token).await.status, 400);
    assert_eq!(olivia.get("/account").await.status, 200);
    world.idp.set_fault(Fault::LogoutTokenInstead);
    let mut nora = world.stranger();
    let callback = world.click_at_provider(&mut nora, "nora").await;
    let answer = nora.get_from_elsewhere(&callback).await;
    assert_eq!((answer.status, answer.sets("session")), (403, None), "{}", answer.text());
}

#[tokio::test]
async fn logout_tokens_follow_the_keys_of_the_provider_and_cause_no_storm() {
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__RETRY_SECONDS", "10")]).await;
    world.idp.set_key(Alg::Es256);
    world.sign_in("olivia").await;
    world.idp.rotate_keys_and_drop_old();
    let jwks = world.idp.counts().jwks;
    let send = |fault| world.idp.send_backchannel_logout("holdfast", Some("olivia"), None, fault);
    assert_eq!(send(LogoutFault::None).await.unwrap(), 200, "the new key is fetched");
    assert_eq!(live(&world).await.len(), 0);
    for _ in 0..4 {
        world.idp.rotate_keys_and_drop_old();
        assert_eq!(send(LogoutFault::None).await.unwrap(), 400);
        assert_eq!(send(LogoutFault::BadSignature).await.unwrap(), 400);
    }
    assert_eq!(world.idp.counts().jwks, jwks + 1, "not for every unknown key");
    world.wait(10);
    assert_eq!(send(LogoutFault::None).await.unwrap(), 200);
}

#[tokio::test]
async fn what_is_no_logout_token_is_refused_by_the_right_class() {
    let world = World::start().await;
    let good = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
    for token in ["", ".", "..", "...", "a.b.c", "e30.e30.", "%00.%ff.x", &format!("{good}.x"), &"a".repeat(60_000)] {
        assert_eq!(post(&world, token).await.status, 400, "{token:.40}");
    }
    let mut service = world.stranger().program();
    let form = "application/x-www-form-urlencoded";
    for (path, kind, body, status) in [
        ("dev", form, String::new(), 422),
        ("dev", form, format!("logout_token={good}&logout_token={good}"), 422),
        ("dev", "application/json", format!("{{\"logout_token\":\"{good}\"}}"), 415),
        ("dev", form, format!("logout_token={}", "a".repeat(70_000)), 413),
        ("nobody", form, format!("logout_token={good}"), 404),
    ] {
        let request = service
            .request(Method::POST, &format!("/sign-in/{path}/back-channel-logout"))
            .header("content-type", kind)
            .body(body.clone());
        assert_eq!(service.send(request).await.status, status, "{path} {kind} {body:.60}");
    }
    assert_eq!(service.get("/sign-in/dev/back-channel-logout").await.status, 405);
    assert_eq!(post(&world, &good).await.status, 200, "none of it used the good one up");
}

// control: IDN-20
#[tokio::test]
async fn what_a_provider_sends_along_is_not_looked_at() {
    let world = World::start().await;
    for more in ["&x=1", "&client_id=holdfast&state=", "&sid=other&iss=https%3A%2F%2Fevil.example"] {
        let mut olivia = world.sign_in("olivia").await;
        let token = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
        assert_eq!(post(&world, &format!("{token}{more}")).await.status, 200, "{more}");
        assert_eq!(olivia.get("/account").await.status, 303, "{more}");
        world.wait(120);
    }
}

/// Between the code and the session there is a moment in which a sign-out finds nothing to end.
// control: IDN-20
#[tokio::test]
async fn a_sign_out_that_overtakes_a_sign_in_ends_it() {
    let world = World::start().await;
    for by_person in [true, false] {
        let mut client = world.stranger();
        let callback = world.click_at_provider(&mut client, "olivia").await;
        let at_provider = world.idp.sign_ins().pop().unwrap().sid;
        let (subject, sid) = if by_person { (Some("olivia"), None) } else { (None, Some(&*at_provider)) };
        let sent = world.idp.send_backchannel_logout("holdfast", subject, sid, LogoutFault::None);
        assert_eq!(sent.await.unwrap(), 200);
        let answer = client.get_from_elsewhere(&callback).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert_eq!((client.cookie("session"), live(&world).await.len()), (None, 0));
        let event = world.events("sign_in.failed").await.pop().unwrap();
        assert_eq!(event["details"]["reason"], "signed out at the provider");
    }
    world.wait(120);
    world.sign_in("adam").await;
    world.sign_in("olivia").await;
    assert_eq!(live(&world).await.len(), 2, "it was one sign-out");
}

// control: IDN-20
#[tokio::test]
async fn a_sign_out_and_a_sign_in_in_the_same_moment_leave_no_session() {
    let world = World::start().await;
    let mut client = world.stranger();
    let callback = world.click_at_provider(&mut client, "olivia").await;
    let token = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
    let mut gate = world.database.session().await;
    sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))").bind("dev").execute(&mut gate).await.unwrap();
    let finishing = tokio::spawn(async move { client.get_from_elsewhere(&callback).await.status });
    world.until_blocked(1).await;
    let notice = async { assert_eq!(post(&world, &token).await.status, 200) };
    let open = async {
        world.until_blocked(2).await;
        sqlx::query("select pg_advisory_unlock_all()").execute(&mut gate).await.unwrap();
    };
    tokio::join!(notice, open);
    assert!([200, 403].contains(&finishing.await.unwrap()));
    assert_eq!(live(&world).await.len(), 0);
}

// control: IDN-20
#[tokio::test]
async fn a_logout_token_that_cannot_be_verified_now_may_be_sent_again() {
    let world = World::start_with(&[("AUTHN__PROVIDERS__DEV__METADATA_SECONDS", "0")]).await;
    world.sign_in("olivia").await;
    let token = world.idp.logout_token("holdfast", Some("olivia"), None, LogoutFault::None);
    world.idp.set_fault(Fault::DiscoveryDown);
    let answer = post(&world, &token).await;
    assert_eq!((answer.status, answer.header("content-type")), (503, "application/problem+json"), "{}", answer.body);
    assert_eq!(live(&world).await.len(), 1);
    world.idp.set_fault(Fault::None);
    world.wait(10);
    assert_eq!(post(&world, &token).await.status, 200);
    assert_eq!(live(&world).await.len(), 0);
}
