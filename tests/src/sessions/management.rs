//! The list of one's sessions, and ending them.

use uuid::Uuid;

use crate::harness::{Answer, Client, World};

/// The addresses of the buttons that end a session.
fn endings(page: &Answer) -> Vec<String> {
    let actions = page.body.split("action=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    actions.filter(|action| action.starts_with("/account/sessions/") && action.ends_with("/end")).collect()
}

async fn on(world: &World, subject: &str, agent: &str) -> Client {
    let mut client = world.stranger().with_agent(agent);
    let callback = world.click_at_provider(&mut client, subject).await;
    assert_eq!(client.get_from_elsewhere(&callback).await.status, 200);
    client
}

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile Safari/604.1";

// control: IDN-20
#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_ends_a_session_from_elsewhere() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let mut telephone = on(&world, "erin", IPHONE).await;
    let mut carl = world.sign_in("carl").await;
    let list = erin.get("/account/sessions").await;
    for shown in ["Chrome on Linux", "This one", "Safari on iOS", "127.0.0.0/24", "with a provider"] {
        assert!(list.body.contains(shown), "{shown}: {}", list.text());
    }
    let [ending] = &endings(&list)[..] else { panic!("one other: {}", list.text()) };
    assert_eq!(carl.post(ending, &[]).await.status, 404, "somebody else's");
    assert_eq!(telephone.get("/account").await.status, 200);
    assert_eq!(erin.post(ending, &[]).await.status, 303);
    assert_eq!(telephone.get("/account").await.status, 303, "gone for its next request");
    assert_eq!(erin.post(ending, &[]).await.status, 409, "once");
    let event = world.events("session.ended").await.pop().unwrap();
    assert_eq!(event["actor"], world.user("erin").await.to_string());
    assert!(ending.contains(event["target"].as_str().unwrap().strip_prefix("Session::").unwrap()));
    assert!(endings(&erin.get("/account/sessions").await).is_empty());
}

// control: IDN-20
#[tokio::test]
async fn all_other_sessions_end_at_once_and_those_of_other_people_stay() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let mut others = [world.sign_in("erin").await, on(&world, "erin", IPHONE).await];
    let mut carl = world.sign_in("carl").await;
    let ended = erin.post("/account/sessions/end-others", &[]).await;
    assert_eq!(ended.status, 303, "{}", ended.text());
    for other in &mut others {
        assert_eq!(other.get("/account").await.status, 303);
    }
    let list = erin.get("/account/sessions").await;
    assert!(list.body.contains("2 other sessions have ended."), "{}", list.text());
    assert_eq!(carl.get("/account").await.status, 200);
}

// control: IDN-20
#[tokio::test]
async fn an_admin_ends_the_sessions_of_a_member_and_of_nobody_else() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let (mut vera, mut second) = (world.sign_in("vera").await, world.sign_in("vera").await);
    let (mut erin, mut olivia) = (world.sign_in("erin").await, world.sign_in("olivia").await);
    let url = |user: Uuid| format!("{}/members/{user}/end-sessions", world.acme.url());
    let of_vera = url(world.user("vera").await);
    assert_eq!(erin.post(&of_vera, &[("reason", "May not")]).await.status, 403);
    assert_eq!(adam.post(&of_vera, &[("reason", "")]).await.status, 422);
    let of_olivia = url(world.user("olivia").await);
    assert_eq!(adam.post(&of_olivia, &[("reason", "Takes over")]).await.status, 403, "not of an owner");
    let of_gus = url(world.user("gus").await);
    assert_eq!(adam.post(&of_gus, &[("reason", "Elsewhere")]).await.status, 404, "not of somebody elsewhere");
    let page = adam.get(&of_vera).await;
    assert!(page.status == 200 && page.body.contains("Sign Vera Viewer out everywhere?"), "{}", page.text());
    let ended = adam.post(&of_vera, &[("reason", "Lost a telephone")]).await;
    assert_eq!(ended.status, 303, "{}", ended.text());
    for client in [&mut vera, &mut second] {
        assert!(client.get(&world.acme.url()).await.location().contains("unaccepted=signed_out"));
        assert_eq!(client.get("/account").await.status, 200, "their other sessions are not affected");
        assert_eq!(client.clone().program().get(&world.acme.contacts()).await.status, 401);
    }
    for client in [&mut erin, &mut olivia, &mut adam] {
        assert_eq!(client.get("/account").await.status, 200);
    }
    let event = world.events("member.sessions_ended").await.pop().unwrap();
    assert_eq!((&event["details"]["ended"], &event["details"]["reason"]), (&0.into(), &"Lost a telephone".into()));
    assert_eq!(world.sign_in("vera").await.get(&world.acme.url()).await.status, 200, "still a member");
}

// control: IDN-20
#[tokio::test]
async fn the_plane_of_an_organization_reaches_sessions_of_its_members_alone_and_no_token() {
    let world = World::start().await;
    for subject in ["vera", "gus", "nora"] {
        world.sign_in_at_provider(subject).await;
    }
    let mut web = world.database.web().await;
    let begin = format!("begin; set local role tenant_rows; set local app.tenant_id = '{}'", world.globex.organization);
    sqlx::Executor::execute(&mut web, sqlx::raw_sql(sqlx::AssertSqlSafe(begin))).await.unwrap();
    let seen: Vec<Uuid> =
        sqlx::query_scalar("select user_id from identity.sessions").fetch_all(&mut web).await.unwrap();
    assert_eq!(seen, [world.user("gus").await]);
    for stolen in ["select token_hash from identity.sessions", "update identity.sessions set token_hash = '\\x00'"] {
        sqlx::Executor::execute(&mut web, "savepoint before").await.unwrap();
        let refused = sqlx::Executor::execute(&mut web, stolen).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
        sqlx::Executor::execute(&mut web, "rollback to savepoint before").await.unwrap();
    }
}
