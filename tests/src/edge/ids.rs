//! An id has one spelling, wherever it is taken: others find nothing, and nothing is stored under them.

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

/// The parameters of queries and the fields of forms that take an id.
const FIELDS: [(&str, &str, &[&str]); 11] = [
    ("GET", "/o/{organization}/members", &["after_id"]),
    ("GET", "/o/{organization}/w/{workspace}/contacts", &["after_id"]),
    ("GET", "/o/{organization}/activity", &["person", "before"]),
    ("GET", "/sign-in", &["organization"]),
    ("GET", "/step-up", &["deferred"]),
    ("POST", "/step-up", &["deferred"]),
    ("POST", "/step-up/code", &["deferred"]),
    ("GET", "/resume", &["deferred"]),
    ("POST", "/resume", &["deferred"]),
    ("POST", "/api/oauth/token", &["client_id"]),
    ("POST", "/api/oauth/revoke", &["client_id"]),
];

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
                // An answer to no sign-in leads somebody on who is signed in; there is still no such provider.
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
    for (method, path, names) in FIELDS {
        assert!(browser_routes().iter().any(|row| row.method == method && row.path == path), "{path}");
        for name in names {
            for spelling in spellings(&id) {
                let address = samples.path(path);
                let answer = if method == "GET" {
                    olivia.clone().get(&format!("{address}?{name}={}", encoded(&spelling))).await
                } else {
                    let mut form: Vec<(&str, &str)> = form_for(path);
                    form.retain(|(known, _)| known != name);
                    form.push((name, &spelling));
                    olivia.clone().post(&address, &form).await
                };
                // OAuth has an answer of its own to a client that nobody is.
                let expected = if path.starts_with("/api/oauth/") { 401 } else { 422 };
                assert_eq!(answer.status, expected, "{name}={spelling} {method} {path}: {}", answer.text());
            }
        }
    }
    assert_eq!(world.state().await, before);
}
