//! Nothing that one organization does changes a page of another one.

use std::collections::BTreeMap;

use crate::harness::changes::all_changes;
use crate::harness::{Client, Samples, World, browser_routes};

/// Every page of the table of routes as somebody sees it.
async fn pages(client: &mut Client, samples: &Samples) -> BTreeMap<String, (u16, String)> {
    let mut seen = BTreeMap::new();
    for row in browser_routes().iter().filter(|row| row.method == "GET") {
        let answer = client.get(&samples.path(&row.path)).await;
        if row.path.starts_with("/o/") {
            assert_eq!(answer.status, 200, "the owner sees {}: {}", row.path, answer.text());
        }
        seen.insert(row.path.clone(), (answer.status, answer.masked()));
    }
    seen
}

// control: TEN-05
#[tokio::test]
async fn no_page_of_one_organization_changes_by_what_another_one_does() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut gus = world.sign_in("gus").await;
    let (acme, globex) = (world.samples().await, Samples::of(&world, world.globex).await);
    world.change("update tenant.memberships set role_since = now() - interval '72 hours'").await;
    let before = pages(&mut olivia, &acme).await;
    assert_eq!(before, pages(&mut olivia, &acme).await, "what differs anyhow must be masked");
    let theirs = world.tenant_rows(Some(world.globex.organization)).await;
    for change in all_changes() {
        let answer = change.make(&world, &mut gus, &globex).await;
        assert!(answer.status < 400, "{}: {}", change.path, answer.text());
        let after = pages(&mut olivia, &acme).await;
        for (path, page) in &before {
            assert_eq!(page, &after[path], "{} in Globex shows in Acme at {path}", change.path);
        }
    }
    assert_ne!(world.tenant_rows(Some(world.globex.organization)).await, theirs, "Globex itself has changed");
}
