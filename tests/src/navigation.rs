//! The entries above every page of an organization.

use uuid::Uuid;

use crate::harness::{Client, World};

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

/// The number at an entry, as it is read aloud.
pub(crate) fn pending(body: &str, url: &str) -> Option<String> {
    let (_, entry) = body.split_once(&format!("<li><a href=\"{url}\""))?;
    let (_, number) = entry.split_once("</a>")?.0.split_once("<span class=\"badge badge-accent\">")?;
    Some(number.replace("<span class=\"unseen\">", "").replace("</span>", ""))
}

// control: POL-07
#[tokio::test]
async fn an_entry_has_the_number_of_what_others_wait_for() {
    let world = World::start().await;
    let [invitations, approvals] =
        ["invitations", "approvals"].map(|feature| format!("{}/{feature}", world.acme.url()));
    let mut olivia = world.sign_in("olivia").await;
    let overview = olivia.get(&world.acme.url()).await;
    for url in [&invitations, &approvals] {
        assert!(overview.body.contains(&format!("<li><a href=\"{url}\"")), "{url} is an entry without a number, too");
        assert_eq!(pending(&overview.body, url), None, "{url}");
    }
    for address in ["nora@example.com", "gus@example.com"] {
        world.invite(Uuid::now_v7(), world.acme.organization, address, "viewer").await;
    }
    world.new_approval(world.acme).await;
    let counted = async |client: &mut Client| {
        let page = client.get(&world.acme.contacts()).await;
        [&invitations, &approvals].map(|url| pending(&page.body, url))
    };
    let numbers = |all: [&str; 2]| all.map(|number| Some(format!("{number} pending")).filter(|_| !number.is_empty()));
    assert_eq!(counted(&mut olivia).await, numbers(["2", "1"]));
    let mut erin = world.sign_in("erin").await;
    assert_eq!(counted(&mut erin).await, numbers(["", ""]), "an editor decides none of it");
    let own = "update tenant.approvals set requested_by = (select user_id from tenant.memberships m join identity.users u on u.id = m.user_id
                where m.tenant_id = approvals.tenant_id and u.display_name = 'Olivia Owner'), requester_role = 'owner'";
    world.change(own).await;
    assert_eq!(counted(&mut olivia).await, numbers(["2", ""]), "nor does anybody their own");
    let many = "insert into tenant.invitations (tenant_id, id, email, role, invited_by, inviter_role, created_at, expires_at, notified)
                select tenant_id, gen_random_uuid(), 'n' || n || '@example.org', role, invited_by, inviter_role, created_at, expires_at, notified
                  from (select * from tenant.invitations limit 1) one, generate_series(1, 200) n";
    assert_eq!(world.change(many).await, 200);
    assert_eq!(counted(&mut olivia).await, numbers(["99+", ""]), "no more are counted in every request");
    world.clock.advance(chrono::Duration::days(30));
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(counted(&mut olivia).await, numbers(["", ""]), "what has expired waits no more");
}
