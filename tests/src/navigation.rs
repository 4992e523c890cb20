//! The entries above every page of an organization.

use crate::harness::World;

/// The addresses of the entries on a page.
fn entries(body: &str) -> Vec<String> {
    let navigation =
        body.split_once("<nav ").and_then(|(_, rest)| rest.split_once("</nav>")).map_or("", |(nav, _)| nav);
    navigation.split("href=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

// control: POL-01
#[tokio::test]
async fn every_entry_leads_every_role_that_sees_it_to_its_page_and_marks_it() {
    let world = World::start().await;
    for subject in ["olivia", "adam", "bella", "fiona", "carl", "erin", "vera"] {
        let mut client = world.sign_in(subject).await;
        let overview = client.get(&world.acme.url()).await;
        let offered = entries(&overview.body);
        assert_eq!(offered[0], world.acme.url(), "{subject}: {offered:?}");
        for url in &offered {
            let page = client.get(url).await;
            assert_eq!(page.status, 200, "{subject} {url}: {}", page.text());
            assert!(page.body.contains(&format!("href=\"{url}\" aria-current=\"page\"")), "{subject} {url}");
            assert_eq!(page.body.matches("aria-current=\"page\"").count(), 1, "{subject} {url}");
            let there = entries(&page.body);
            assert!(offered.iter().all(|entry| there.contains(entry)), "{subject} {url}: the entries stay");
        }
    }
}
