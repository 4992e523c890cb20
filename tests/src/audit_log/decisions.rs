//! Every answer of the policies is recorded, those that allow reading and those that refuse as well.

use uuid::Uuid;

use crate::harness::{Answer, World};

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Recorded {
    tenant_id: Option<Uuid>,
    principal: String,
    action: String,
    resource: String,
    allowed: bool,
    policies: Vec<String>,
}

async fn recorded(world: &World, answer: &Answer) -> Vec<Recorded> {
    let sql = "select tenant_id, principal, action, resource, allowed, policies from audit.decisions
                where request_id = $1 order by action";
    sqlx::query_as(sql).bind(answer.request()).fetch_all(&mut world.database.owner().await).await.unwrap()
}

fn uid(kind: &str, id: Uuid) -> String {
    format!("{kind}::\"{id}\"")
}

// control: POL-10
#[tokio::test]
async fn reads_and_refusals_are_recorded_with_what_determined_them() {
    let world = World::start().await;
    let (mut olivia, mut vera, mut nora) =
        (world.sign_in("olivia").await, world.sign_in("vera").await, world.sign_in("nora").await);
    let contact = world.contact(world.acme).await;
    let page = format!("{}/{contact}", world.acme.contacts());

    let listed = olivia.get(&world.acme.contacts()).await;
    let shown = olivia.get(&page).await;
    let shown_less = vera.get(&page).await;
    let refused = vera.post(&world.acme.contacts(), &[("name", "Ada")]).await;
    let hidden = nora.get(&page).await;
    let own = nora.get("/account").await;
    assert_eq!([&listed, &shown, &shown_less, &own].map(|a| a.status), [200; 4]);
    assert_eq!([refused.status, hidden.status], [403, 404]);
    world.settle_decisions().await;

    let (olivia, vera, nora) = (world.user("olivia").await, world.user("vera").await, world.user("nora").await);
    let acme = Some(world.acme.organization);
    let one = |tenant_id, principal: String, action: &str, resource: String, policies: &[&str]| Recorded {
        tenant_id,
        principal,
        action: action.to_owned(),
        resource,
        allowed: !policies.is_empty(),
        policies: policies.iter().map(|id| (*id).to_owned()).collect(),
    };
    let (workspace, contact) = (uid("Workspace", world.acme.workspace), uid("Contact", contact));
    assert_eq!(
        recorded(&world, &listed).await,
        [one(acme, uid("Member", olivia), "ListContacts", workspace.clone(), &["contacts.who_lists"])]
    );
    let restricted = "contacts.who_sees_restricted_fields";
    assert_eq!(
        recorded(&world, &shown).await,
        [
            one(acme, uid("Member", olivia), "ViewContact", contact.clone(), &["contacts.who_views"]),
            one(acme, uid("Member", olivia), "ViewRestrictedFields", contact.clone(), &[restricted]),
        ]
    );
    assert_eq!(
        recorded(&world, &shown_less).await,
        [
            one(acme, uid("Member", vera), "ViewContact", contact.clone(), &["contacts.who_views"]),
            one(acme, uid("Member", vera), "ViewRestrictedFields", contact, &[]),
        ]
    );
    assert_eq!(recorded(&world, &refused).await, [one(acme, uid("Member", vera), "CreateContact", workspace, &[])]);
    // Somebody without a part in it is recorded outside of it: the organization does not learn who knocked.
    let outside = uid("Organization", world.acme.organization);
    assert_eq!(recorded(&world, &hidden).await, [one(None, uid("User", nora), "ViewContact", outside, &[])]);
    let account = uid("Account", nora);
    assert_eq!(
        recorded(&world, &own).await,
        [one(None, uid("User", nora), "ViewAccount", account, &["base.own_account"])]
    );
    let others = "select count(*) from audit.decisions where action not like '%Passkey'";
    assert_eq!(world.database.count(others).await, 8, "and nothing else");
}

// control: POL-10
#[tokio::test]
async fn a_decision_names_the_policy_set_and_the_time_it_was_made_at() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let read = olivia.get(&world.acme.contacts()).await;
    let written = olivia.post(&world.acme.contacts(), &[("name", "Ada")]).await;
    world.settle_decisions().await;
    let mut owner = world.database.session().await;
    let mut sets = Vec::new();
    for answer in [&read, &written] {
        let (set, at): (Vec<u8>, chrono::DateTime<chrono::Utc>) =
            sqlx::query_as("select policy_set, at from audit.decisions where request_id = $1")
                .bind(answer.request())
                .fetch_one(&mut owner)
                .await
                .unwrap();
        assert_eq!(at, world.clock.now());
        sets.push(set);
    }
    assert_eq!(sets[0].len(), 32);
    assert_eq!(sets[0], sets[1], "one set of policies, one name");
    assert_ne!(sets[0], [0; 32]);
}

// control: OBS-01
#[tokio::test]
async fn log_event_and_decision_of_a_request_carry_the_id_its_answer_shows() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let answer = olivia.post(&world.acme.contacts(), &[("name", "Ada")]).await;
    let id = answer.request();
    assert_eq!(recorded(&world, &answer).await.len(), 1);
    let events: i64 = sqlx::query_scalar("select count(*) from audit.events where request_id = $1")
        .bind(id)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    assert_eq!(events, 1);
    let lines = crate::harness::log::lines_of(&id.to_string());
    assert!(lines.iter().any(|line| line["message"] == "request completed" && line["status"] == 303), "{lines:?}");
}
