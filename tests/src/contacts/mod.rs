//! Contacts: finding, writing, and who may.

mod finding;
mod restricted;
mod roles;
mod samples;
mod writing;

use crate::harness::{Answer, Client, Place};

/// Adds a contact and returns its address.
async fn add(client: &mut Client, place: Place, form: &[(&str, &str)]) -> String {
    let answer = client.post(&place.contacts(), form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.location().to_owned()
}

/// The names in a list, in its order.
fn names(list: &Answer) -> Vec<String> {
    assert_eq!(list.status, 200, "{}", list.text());
    let rows = list.body.split("scope=\"row\"><a href=\"").skip(1);
    rows.map(|row| row.split_once('>').unwrap().1.split_once("</a>").unwrap().0.to_owned()).collect()
}
