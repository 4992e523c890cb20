//! The id of something foreign is answered like one that nobody has: nothing tells that it exists.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::harness::changes::change;
use crate::harness::{Answer, Client, Samples, World, browser_routes, parameters};

async fn ask(world: &World, client: &mut Client, method: &str, pattern: &str, samples: &Samples) -> Answer {
    if method == "GET" {
        return client.get(&samples.path(pattern)).await;
    }
    change(pattern).make(world, client, samples).await
}

/// All that an organization has.
async fn state(world: &World, organization: Uuid) -> String {
    let sql = "select coalesce(string_agg(e::text, '' order by id), '') from audit.events e where tenant_id = $1";
    let events = sqlx::query_scalar::<_, String>(sql).bind(organization);
    let events = events.fetch_one(&mut world.database.owner().await).await.unwrap();
    world.tenant_rows(Some(organization)).await + &events
}

// control: TEN-05
// control: TEN-02
#[tokio::test]
async fn a_foreign_id_is_answered_like_one_that_does_not_exist() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let own = world.samples().await;
    // Adam, who only views there, is a member of Acme as well.
    let globex = Samples::of(&world, world.globex).await.with("member", world.user("gus").await);
    let before = (state(&world, world.acme.organization).await, state(&world, world.globex.organization).await);

    let mut compared = BTreeSet::new();
    for row in browser_routes() {
        for (id, theirs) in parameters(&row.path).filter_map(|name| Some((name, globex.id(name)?))) {
            if row.method == "GET" {
                let seen = ask(&world, &mut olivia, row.method, &row.path, &own).await;
                assert_eq!(seen.status, 200, "with the own id: {} {}", row.path, seen.text());
            }
            let random = Uuid::now_v7();
            let foreign = ask(&world, &mut olivia, row.method, &row.path, &own.with(id, theirs)).await;
            let nothing = ask(&world, &mut olivia, row.method, &row.path, &own.with(id, random)).await;
            let what = format!("{} {} with another {{{id}}}", row.method, row.path);
            assert_eq!(foreign.status, 404, "{what}: {}", foreign.text());
            assert_eq!(foreign.status, nothing.status, "{what}");
            assert_eq!(foreign.masked_headers(), nothing.masked_headers(), "{what}");
            let hide = |answer: &Answer, id: Uuid| answer.masked().replace(&id.to_string(), "ID");
            assert_eq!(hide(&foreign, theirs), hide(&nothing, random), "{what}");
            compared.insert(id.to_owned());
        }
    }
    assert_eq!(compared, globex.ids(), "every id that a path can hold");

    // All of them foreign: the address of a page of Globex itself, as it would be found in a log.
    for row in browser_routes().iter().filter(|row| row.path.starts_with("/o/")) {
        assert_eq!(ask(&world, &mut olivia, row.method, &row.path, &globex).await.status, 404, "{}", row.path);
    }
    let after = (state(&world, world.acme.organization).await, state(&world, world.globex.organization).await);
    assert_eq!(before, after, "nothing was changed anywhere");
}

// control: TEN-02
#[tokio::test]
async fn an_organization_or_owner_named_in_a_body_or_header_is_refused_or_not_looked_at() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let globex = world.globex.organization.to_string();
    let before = state(&world, world.globex.organization).await;
    for field in ["tenant_id", "organization", "organization_id", "created_by", "owner", "workspace_id", "id"] {
        let answer = olivia.post(&world.acme.contacts(), &[("name", "Ada"), (field, &globex)]).await;
        assert_eq!(answer.status, 422, "{field}: {}", answer.text());
    }
    let page = world.acme.contacts();
    for header in ["x-tenant-id", "x-organization", "x-forwarded-user", "x-user-id"] {
        let plain = olivia.get(&page).await.masked();
        let request =
            olivia.request(reqwest::Method::GET, &page).header(header, &globex).header("sec-fetch-site", "same-origin");
        assert_eq!(olivia.send(request).await.masked(), plain, "{header}");
    }
    assert_eq!(before, state(&world, world.globex.organization).await);
    let named = world.database.count("select count(*) from tenant.contacts where name = 'Ada'").await;
    assert_eq!(named, 0, "a body with an unknown field is refused as a whole");
}
