//! No input makes a 500: every route, with every place of it filled with what somebody might try.

use std::collections::BTreeSet;

use authz::Route;

use crate::harness::changes::form_for;
use crate::harness::{World, browser_routes, log, parameters};

const NASTY: [&str; 22] = [
    "",
    " ",
    "\0",
    "'",
    "\"",
    "\\",
    "';select pg_sleep(9)--",
    "%",
    "_",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "${jndi:ldap://x}",
    "../../etc/passwd",
    "\r\nSet-Cookie: a=b",
    "-1",
    "9223372036854775808",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "2026-02-30",
    "\u{202e}\u{feff}\u{10ffff}",
    "A\u{301}\u{1f469}\u{200d}\u{1f680}",
    "null",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The names of the fields of a form, or of the parameters of a query, that a route reads, and one that it does not.
fn names(row: &Route) -> BTreeSet<&'static str> {
    let sent = if row.method == "GET" { Vec::new() } else { form_for(&row.path) };
    let sent = sent.into_iter().map(|(name, _)| name);
    row.fields.iter().copied().chain(sent).chain(["no-such"]).collect()
}

#[tokio::test]
async fn no_input_makes_a_fault_of_ours() {
    let world = World::start().await;
    let samples = world.samples().await;
    let olivia = world.sign_in("olivia").await;
    let long = "x".repeat(5_000);
    let mut asked = Vec::new();
    for row in browser_routes() {
        let address = samples.path(&row.path);
        for text in NASTY.into_iter().chain([long.as_str()]) {
            let value = encoded(text);
            let mut answers = Vec::new();
            for parameter in parameters(&row.path) {
                let path = samples.path(&row.path.replace(&format!("{{{parameter}}}"), &value));
                answers.push(match row.method {
                    "GET" => olivia.clone().get(&path).await,
                    _ => olivia.clone().post(&path, &form_for(&row.path)).await,
                });
            }
            if row.method == "GET" {
                for name in names(&row) {
                    answers.push(olivia.clone().get(&format!("{address}?{name}={value}")).await);
                }
                answers.push(olivia.clone().get(&format!("{address}?{value}")).await);
            } else if row.path != "/sign-out" {
                for name in names(&row) {
                    let mut form = form_for(&row.path);
                    form.retain(|(other, _)| *other != name);
                    form.push((name, text));
                    answers.push(olivia.clone().post(&address, &form).await);
                }
                answers.push(olivia.clone().post(&address, &[(text, text)]).await);
            }
            assert!(!answers.is_empty() || row.path == "/sign-out", "nothing was tried: {row:?}");
            for answer in answers {
                assert!(answer.status < 500, "{row:?} {text:?}: {}", answer.text());
                asked.push(answer.request_id().to_owned());
            }
        }
    }
    let answered = log::answered();
    for id in asked {
        assert_eq!(answered.get(&id), Some(&1), "{id}");
    }
}
