//! Who hears of which event by mail: the whole table, and that every change keeps to it.

use std::collections::BTreeSet;
use std::fmt::Write;

use app::EventAudience;
use uuid::Uuid;

use crate::harness::changes::all_changes;
use crate::harness::{Client, Samples, World, registry};

// control: OBS-02
#[test]
fn who_hears_of_which_event_is_the_reviewed_table() {
    let mut text = String::new();
    for EventAudience { kind, audience, .. } in registry().event_audiences() {
        let audience = if audience.is_empty() { "-".to_owned() } else { audience.join(", ") };
        writeln!(text, "{kind:34} {audience}").unwrap();
    }
    insta::assert_snapshot!("event_x_audience", text);
}

/// The addresses of the people who must be notified of an event of Acme, before it happens.
async fn expected(world: &World, told: &EventAudience, samples: &Samples) -> BTreeSet<String> {
    let EventAudience { kind, audience, .. } = told;
    let roles: &[&str] = match audience.first() {
        Some(&"owners") => &["owner"],
        Some(&"owners and admins") => &["owner", "admin"],
        _ => &[],
    };
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    // Of an elevation or a client it is another one.
    let member = audience.contains(&"the member") && kind.starts_with("member.");
    let addresses = "select u.email from tenant.memberships m join identity.users u on u.id = m.user_id
                      where m.tenant_id = $1 and (m.role = any($2) or $3 and m.user_id = $4)
                        and u.verified_email is not null";
    let addresses = sqlx::query_scalar(addresses)
        .bind(samples.place.organization)
        .bind(roles)
        .bind(member)
        .bind(samples.id("member"));
    addresses.fetch_all(&mut world.database.owner().await).await.unwrap().into_iter().collect()
}

/// Events of changes that notify nobody here: the client is a service account, which has no member. This list only shrinks.
const UNHEARD: [&str; 1] = ["api_client.revoked"];

// control: OBS-02
#[tokio::test]
async fn every_change_notifies_the_people_that_the_table_named_before_it() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let samples = world.samples().await;
    world.change("update identity.users set email_verified = true where email <> ''").await;
    let (mut caused, mut heard) = (BTreeSet::new(), BTreeSet::new());
    let registry = registry();
    for change in all_changes() {
        let mut all = Vec::new();
        for told in registry.event_audiences().iter().filter(|told| change.events().contains(&told.kind)) {
            let addresses = expected(&world, told, &samples).await;
            all.push((told, addresses));
        }
        let answer = change.make(&world, &mut olivia, &samples).await;
        assert!(answer.status < 400, "{}: {}", change.path, answer.text());
        for (told, addresses) in all {
            if !told.audience.is_empty() {
                caused.insert(told.kind);
            }
            for address in &addresses {
                world.told(address, told.subject).await;
                heard.insert(told.kind);
            }
        }
    }
    let unheard: BTreeSet<&str> = caused.difference(&heard).copied().collect();
    assert_eq!(unheard, UNHEARD.into(), "somebody is notified of each other event");
}

/// Approves the latest request.
async fn approve_latest(world: &World, client: &mut Client) {
    let id: Uuid = sqlx::query_scalar("select id from tenant.approvals order by id desc limit 1")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap();
    let done = client.post(&format!("{}/approvals/{id}/approve", world.acme.url()), &[]).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

// control: OBS-02
#[tokio::test]
async fn a_demoted_or_removed_owner_is_notified_and_so_is_every_other_owner() {
    let world = World::start().await;
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    let mut olivia = world.sign_in("olivia").await;
    let adam = format!("{}/members/{}", world.acme.url(), world.user("adam").await);
    let why = ("reason", "They have left");
    let mut adams = world.sign_in("adam").await;
    assert_eq!(olivia.post(&format!("{adam}/role"), &[("role", "viewer"), why]).await.status, 303);
    approve_latest(&world, &mut adams).await;
    for address in ["olivia@example.com", "adam@example.com"] {
        let mail = world.told(address, "A member has a new role").await;
        assert!(mail.text.contains("Adam Admin changed Adam Admin’s role from Owner to Viewer"), "{}", mail.text);
    }
    world.change("update tenant.memberships set role = 'owner' where role = 'viewer'").await;
    assert_eq!(olivia.post(&format!("{adam}/remove"), &[why]).await.status, 303);
    approve_latest(&world, &mut adams).await;
    for address in ["olivia@example.com", "adam@example.com", "vera@example.com"] {
        let mail = world.told(address, "A member was removed").await;
        assert!(mail.text.contains("Adam Admin removed Adam Admin, who was Owner"), "{}", mail.text);
    }
}

// control: OBS-02
#[tokio::test]
async fn owners_are_notified_of_invitations_to_privileged_roles() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let url = format!("{}/invitations", world.acme.url());
    let invite = |role: &str| {
        [("email", format!("{role}@example.net")), ("role", role.to_owned()), ("reason", "Helps us".to_owned())]
    };
    for role in ["viewer", "admin", "billing_admin", "finance"] {
        let form = invite(role);
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
        let invited = adam.post(&url, &form).await;
        assert_eq!(invited.status, 303, "{}", invited.text());
        if role == "admin" {
            let mail = world.told("olivia@example.com", "A member was invited to a privileged role").await;
            assert!(
                mail.text.contains("In “Acme”, Adam Admin invited somebody to the privileged role Admin."),
                "{}",
                mail.text
            );
        }
    }
    assert_eq!(world.events("invitation.privileged").await.len(), 3);
    assert_eq!(world.events("invitation.created").await.len(), 1, "of others they hear in the list");
}
