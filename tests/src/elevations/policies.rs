//! What temporary access closes.

use std::collections::BTreeSet;

use crate::policies::{How, PROVED, Situation, Table, resources, world};

const ELEVATED: How = How { flags: &["elevated"], ..PROVED };

inventory::submit! { Situation { name: "elevated", how: ELEVATED } }

// control: POL-06
#[test]
fn an_elevation_closes_what_gives_access_and_nothing_else() {
    let table = Table::load();
    let mut closed = BTreeSet::new();
    for action in table.actions().iter().filter(|action| !table.takes_users(action)) {
        let name = action.id().unescaped();
        for (what, resource) in resources(&table.resource_type(action)) {
            let allowed = |how| table.allows("Member::\"me\"", name, resource, world("owner"), how);
            if allowed(PROVED) != allowed(ELEVATED) {
                assert!(!allowed(ELEVATED), "{name} {what}");
                closed.insert(name.to_owned());
            }
        }
    }
    // Owners make no clients of their own, or this would be one of them.
    closed.insert("CreateOwnClient".to_owned());
    assert_eq!(table.group("GivesAccess"), closed);
    insta::assert_snapshot!("closed_while_elevated", closed.into_iter().collect::<Vec<_>>().join("\n"));
}
