//! No input makes a 500: every route, with every place of it filled with what somebody might try.

use super::{assert_one_line, form_for};
use crate::harness::World;

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

const PARAMETERS: [&str; 5] = ["{organization}", "{workspace}", "{contact}", "{member}", "{provider}"];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn no_input_makes_a_fault_of_ours() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let long = "x".repeat(5_000);
    let nasty: Vec<&str> = NASTY.into_iter().chain([long.as_str()]).collect();
    let mut asked = 0;
    for row in app::table() {
        let address = world.address(&row.path).await;
        for text in &nasty {
            let mut answers = Vec::new();
            let value = encoded(text);
            for parameter in PARAMETERS.into_iter().filter(|parameter| row.path.contains(parameter)) {
                let path = world.address(&row.path.replace(parameter, &value)).await;
                answers.push(match row.method {
                    "GET" => olivia.clone().get(&path).await,
                    _ => olivia.clone().post(&path, &form_for(&row.path)).await,
                });
            }
            if row.method == "GET" {
                for name in
                    ["q", "after", "after_id", "action", "person", "from", "to", "before", "state", "code", "iss"]
                {
                    answers.push(olivia.clone().get(&format!("{address}?{name}={value}")).await);
                }
                answers.push(olivia.clone().get(&format!("{address}?{value}")).await);
            } else if row.path != "/sign-out" {
                let form = form_for(&row.path);
                for (index, _) in form.iter().enumerate() {
                    let mut form = form.clone();
                    form[index].1 = text;
                    answers.push(olivia.clone().post(&address, &form).await);
                }
                answers.push(olivia.clone().post(&address, &[(text, text)]).await);
            }
            for answer in answers {
                assert!(answer.status < 500, "{row:?} {text:?}: {}", answer.text());
                assert_one_line(&answer);
                asked += 1;
            }
        }
    }
    assert!(asked > 1_000, "{asked}");
}
