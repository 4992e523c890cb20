//! What stands around every route: headers, errors, limits, same-origin, and what happens to input nobody expects.

mod errors;
mod fair;
mod forms;
mod fuzz;
mod headers;
mod html;
mod ids;
mod limits;
mod network;
mod one_connection;
mod paths;
mod rates;
mod same_origin;
mod shutdown;

use std::collections::BTreeSet;

use crate::harness::{Answer, World, log};

/// The answer is told of in exactly one line of the log, which says the same.
fn assert_one_line(answer: &Answer) {
    let id = answer.request_id();
    assert_eq!(id.len(), 36, "an id: {}", answer.text());
    let lines: Vec<_> = log::lines_of(id).into_iter().filter(|line| line["message"] == "request completed").collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["status"], answer.status);
}

/// The address of a stylesheet and an icon, as the front page names them.
async fn assets(world: &World) -> Vec<String> {
    let page = world.stranger().get("/").await;
    let names = page.body.split('"').filter(|part| part.starts_with("/assets/"));
    names.map(ToOwned::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}
