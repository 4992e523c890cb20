//! An id has one spelling. Other spellings find nothing, and nothing is stored under them.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::harness::changes::form_for;
use crate::harness::{World, browser_routes, parameters};

/// What `uuid` reads as the same id, besides its canonical spelling, and one that a form may leave.
fn spellings(id: &str) -> [String; 5] {
    [id.to_uppercase(), id.replace('-', ""), format!("urn:uuid:{id}"), format!("{{{id}}}"), format!("{id} ")]
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Names of parameters of queries and of fields of forms that take an id. A route knows the names of its fields and not their
/// types, so this list is kept by hand. A name that no route uses fails, and so does a parameter of a query that behaves like an
/// id and is not listed.
const ID_FIELDS: [&str; 6] = ["after_id", "before", "client_id", "deferred", "organization", "person"];

// control: TEN-07
#[tokio::test]
async fn another_spelling_of_an_id_in_a_path_is_an_id_that_nobody_has() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    world.new_provider(world.acme).await;
    world.change("update tenant.domains set verified_at = now()").await;
    let before = world.state().await;
    let logins = world.database.count("select count(*) from identity.login_flows").await;
    for row in browser_routes() {
        for parameter in parameters(&row.path) {
            let place = format!("{{{parameter}}}");
            let id = match parameter {
                "provider" => format!("o-{}", world.acme.organization),
                _ => samples.path(&place),
            };
            let at = |id: &str| samples.path(&row.path.replace(&place, &encoded(id)));
            let ask = async |id: &str| match row.method {
                "GET" => olivia.clone().get(&at(id)).await,
                _ => olivia.clone().post(&at(id), &form_for(&row.path)).await,
            };
            let prefix = if parameter == "provider" { "o-" } else { "" };
            let unknown = ask(&format!("{prefix}{}", Uuid::now_v7())).await;
            for spelling in spellings(id.strip_prefix(prefix).unwrap()) {
                let answer = ask(&format!("{prefix}{spelling}")).await;
                // A callback without a sign-in redirects a signed-in person, but there is still no such provider.
                let led_on = row.path.ends_with("/callback") && unknown.status == 303;
                assert!(led_on || unknown.status == 404, "{row:?}: {}", unknown.text());
                assert_eq!(answer.status, 404, "{spelling} {row:?}: {}", answer.text());
            }
        }
    }
    assert_eq!(world.state().await, before);
    assert_eq!(world.database.count("select count(*) from identity.login_flows").await, logins);
}

// control: TEN-07
#[tokio::test]
async fn another_spelling_of_an_id_in_a_query_or_form_is_refused() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    let id = Uuid::now_v7().to_string();
    let mut used = BTreeSet::new();
    for row in browser_routes() {
        let address = samples.path(&row.path);
        for name in &row.fields {
            if !ID_FIELDS.contains(name) {
                let with = async |value: &str| olivia.clone().get(&format!("{address}?{name}={value}")).await.status;
                let takes_an_id = row.method == "GET" && with("x").await == 422 && with(&id).await != 422;
                assert!(!takes_an_id, "add {name} of {} to ID_FIELDS", row.path);
                continue;
            }
            used.insert(*name);
            for spelling in spellings(&id) {
                let answer = if row.method == "GET" {
                    olivia.clone().get(&format!("{address}?{name}={}", encoded(&spelling))).await
                } else {
                    let mut form: Vec<(&str, &str)> = form_for(&row.path);
                    form.retain(|(known, _)| known != name);
                    form.push((name, &spelling));
                    olivia.clone().post(&address, &form).await
                };
                // OAuth has a response of its own for an unknown client.
                let expected = if row.path.starts_with("/api/oauth/") { 401 } else { 422 };
                assert_eq!(answer.status, expected, "{name}={spelling} {row:?}: {}", answer.text());
            }
        }
    }
    assert_eq!(used, ID_FIELDS.into(), "remove the names that no route uses");
    assert_eq!(world.state().await, before);
}
