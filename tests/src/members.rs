//! Members: who may change which member, the recorded reason, and that an organization keeps an owner.

mod samples;

use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::harness::{Answer, World};

async fn url(world: &World, subject: &str, what: &str) -> String {
    format!("{}/members/{}/{what}", world.acme.url(), world.user(subject).await)
}

// control: POL-12
#[tokio::test]
async fn a_change_of_role_records_actor_member_roles_reason_and_ticket() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let ticket = "https://tickets.example/HR-17?x=1";
    let form = [("role", "editor"), ("reason", "Takes over from Erin.\r\nFor good."), ("ticket", ticket)];
    let changed = adam.post(&url(&world, "vera", "role").await, &form).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    let removed = adam.post(&url(&world, "carl", "remove").await, &[("reason", "Left the company")]).await;
    assert_eq!(removed.status, 303, "{}", removed.text());

    let events: Vec<(String, String, Uuid, Uuid, Value)> = sqlx::query_as(
        "select kind, target, actor, request_id, details from audit.events where kind like 'member.%' and tenant_id = $1
          order by id",
    )
    .bind(world.acme.organization)
    .fetch_all(&mut world.database.owner().await)
    .await
    .unwrap();
    let (who, target) = (world.user("adam").await, |user: Uuid| format!("Member::\"{user}\""));
    let why = json!({ "member": "Vera Viewer", "from": "viewer", "to": "editor", "reason": "Takes over from Erin.\nFor good.", "ticket": ticket });
    let left = json!({ "member": "Carl Creator", "role": "creator", "reason": "Left the company" });
    let (first, second) = (changed.request_id().parse().unwrap(), removed.request_id().parse().unwrap());
    assert_eq!(
        events,
        [
            ("member.role_changed".to_owned(), target(world.user("vera").await), who, first, why),
            ("member.removed".to_owned(), target(world.user("carl").await), who, second, left),
        ]
    );
    let activity = adam.get(&format!("{}/activity?action=member.role_changed", world.acme.url())).await;
    for shown in ["Adam Admin", "Takes over from Erin.", "https://tickets.example/HR-17?x=1", "Viewer", "Editor"] {
        assert!(activity.body.contains(shown), "{shown}: {}", activity.text());
    }
}

// control: POL-12
#[tokio::test]
async fn without_a_reason_nothing_changes_and_the_field_says_so() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    let (change, removal) = (url(&world, "vera", "role").await, url(&world, "vera", "remove").await);
    for reason in ["", "  ", "no", "\u{202e}abc"] {
        for (address, form) in
            [(&change, vec![("role", "editor"), ("reason", reason)]), (&removal, vec![("reason", reason)])]
        {
            let page = olivia.post(address, &form).await;
            assert_eq!(page.status, 422, "{reason:?}");
            assert!(page.body.contains("id=\"f-reason-error\""), "{reason:?}: {}", page.text());
        }
    }
    for ticket in ["HR-17", "http://tickets.example/1", "javascript:alert(1)", "https://", "https:///1", "https://a b/"]
    {
        let form = [("role", "editor"), ("reason", "A good one"), ("ticket", ticket)];
        let page = olivia.post(&change, &form).await;
        assert_eq!(page.status, 422, "{ticket}");
        assert!(page.body.contains("id=\"f-ticket-error\"") && page.body.contains("A good one"), "{}", page.text());
    }
    for (role, form) in [("", ""), ("god", "A good one"), ("viewer", "A good one"), ("Owner", "A good one")] {
        let page = olivia.post(&change, &[("role", role), ("reason", form)]).await;
        assert_eq!(page.status, 422, "{role}: {}", page.text());
        assert!(page.body.contains("id=\"f-role-error\""), "{role}: {}", page.text());
    }
    assert_eq!(olivia.post(&change, &[("role", "editor")]).await.status, 422, "no field at all");
    assert_eq!(world.state().await, before);
}

// control: POL-04
#[tokio::test]
async fn admins_can_neither_change_owners_nor_create_one() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let before = world.state().await;
    let form = [("role", "viewer"), ("reason", "A good one")];
    for what in ["role", "remove"] {
        let address = url(&world, "olivia", what).await;
        assert_eq!(adam.get(&address).await.status, 403);
    }
    assert_eq!(adam.post(&url(&world, "olivia", "role").await, &form).await.status, 403);
    assert_eq!(adam.post(&url(&world, "olivia", "remove").await, &form[1..]).await.status, 403);
    for member in ["vera", "adam"] {
        let offered = adam.get(&url(&world, member, "role").await).await;
        assert!(
            offered.body.contains("value=\"editor\"") && !offered.body.contains("value=\"owner\""),
            "{}",
            offered.body
        );
        let owner = [("role", "owner"), ("reason", "A good one")];
        assert_eq!(adam.post(&url(&world, member, "role").await, &owner).await.status, 403, "{member}");
    }
    assert_eq!(world.state().await, before);
    let list = adam.get(&format!("{}/members", world.acme.url())).await;
    let olivia = world.user("olivia").await.to_string();
    assert!(list.body.contains("Olivia Owner") && !list.body.contains(&olivia), "no link to change her");

    for subject in ["bella", "fiona", "carl", "erin", "vera"] {
        let mut person = world.sign_in(subject).await;
        let before = world.state().await;
        assert_eq!(person.get(&format!("{}/members", world.acme.url())).await.status, 200, "{subject}");
        for member in ["vera", "olivia", subject] {
            let owner = [("role", "owner"), ("reason", "A good one")];
            assert_eq!(person.post(&url(&world, member, "role").await, &owner).await.status, 403, "{subject} {member}");
            if member != subject {
                let removed = person.post(&url(&world, member, "remove").await, &owner[1..]).await;
                assert_eq!(removed.status, 403, "{subject} {member}");
            }
        }
        assert_eq!(world.state().await, before, "{subject}");
    }
    // Those of another organization are not even there.
    let mut gus = world.sign_in("gus").await;
    assert_eq!(gus.post(&url(&world, "vera", "role").await, &form).await.status, 404);
    let elsewhere = format!("{}/members/{}/role", world.globex.url(), world.user("vera").await);
    assert_eq!(gus.post(&elsewhere, &form).await.status, 404);
}

#[tokio::test]
async fn the_last_owner_stays_and_a_second_one_frees_the_first() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (own_role, own_removal) = (url(&world, "olivia", "role").await, url(&world, "olivia", "remove").await);
    let before = world.state().await;
    let down = [("role", "viewer"), ("reason", "Stepping down")];
    for refused in [olivia.post(&own_role, &down).await, olivia.post(&own_removal, &down[1..]).await] {
        assert_eq!(refused.status, 409);
        assert!(refused.body.contains("This is the last owner."), "{}", refused.text());
    }
    assert_eq!(world.state().await, before);
    let up = [("role", "owner"), ("reason", "A second one")];
    assert_eq!(olivia.post(&url(&world, "adam", "role").await, &up).await.status, 303);
    assert_eq!(olivia.post(&own_role, &down).await.status, 303);
    assert_eq!(world.role("olivia").await.as_deref(), Some("viewer"));
    assert_eq!(olivia.post(&own_role, &up).await.status, 403, "from the very next request on");
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    for what in ["remove", "role"] {
        let world = World::start().await;
        let mut olivia = world.sign_in("olivia").await;
        let up = [("role", "owner"), ("reason", "A second one")];
        assert_eq!(olivia.post(&url(&world, "adam", "role").await, &up).await.status, 303);
        let mut adam = world.sign_in("adam").await;
        let (to_adam, to_olivia) = (url(&world, "adam", what).await, url(&world, "olivia", what).await);
        let form: &[(&str, &str)] =
            if what == "role" { &[("role", "viewer"), ("reason", "Out")] } else { &[("reason", "Out")] };
        // Both are past their guards, and wait for the organization to be free, when the race begins.
        let mut owner = world.database.session().await;
        owner.execute("begin; select from tenant.organizations for update").await.unwrap();
        race(&world, owner, olivia.post(&to_olivia, form), adam.post(&to_adam, form)).await;
        let owners = "select count(*) from tenant.memberships m join tenant.organizations o using (tenant_id)
                       where o.name = 'Acme' and m.role = 'owner'";
        assert_eq!(world.database.count(owners).await, 1, "{what}");
    }
}

/// Lets two requests begin at once, when both wait. One wins; the other is told that it came too late, or what somebody is
/// told who is not any more what they were. Returns the status of the first.
async fn race(
    world: &World,
    owner: PgConnection,
    one: impl Future<Output = Answer>,
    other: impl Future<Output = Answer>,
) -> u16 {
    let [one, other] = world.race(owner, one, other).await;
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert!(matches!(statuses, [303, 403 | 404 | 409]), "{} {}", one.text(), other.text());
    one.status
}

// control: POL-04
#[tokio::test]
async fn a_new_role_applies_from_the_next_request_of_the_same_session() {
    let world = World::start().await;
    let (mut olivia, mut vera) = (world.sign_in("olivia").await, world.sign_in("vera").await);
    let contacts = world.acme.contacts();
    assert_eq!(vera.post(&contacts, &[("name", "Too Early")]).await.status, 403);
    let form = [("role", "editor"), ("reason", "Helps out")];
    assert_eq!(olivia.post(&url(&world, "vera", "role").await, &form).await.status, 303);
    assert_eq!(vera.post(&contacts, &[("name", "In Time")]).await.status, 303);
    let form = [("role", "finance"), ("reason", "Back to figures")];
    assert_eq!(olivia.post(&url(&world, "vera", "role").await, &form).await.status, 303);
    let asked = vera.get(&contacts).await;
    assert!(asked.location().starts_with("/step-up?"), "that role takes a passkey: {}", asked.text());

    assert_eq!(olivia.post(&url(&world, "vera", "remove").await, &form[1..]).await.status, 303);
    for address in [world.acme.url(), contacts, format!("{}/members", world.acme.url())] {
        assert_eq!(vera.get(&address).await.status, 404, "{address}");
    }
    assert_eq!(vera.get("/account").await.status, 200, "still somebody");
    assert_eq!(world.role("vera").await, None);
    let told = olivia.get(&format!("{}/members", world.acme.url())).await;
    assert!(told.body.contains("Vera Viewer was removed."), "{}", told.text());
    let list = olivia.get(&format!("{}/members", world.acme.url())).await;
    assert!(!list.body.contains("Vera Viewer"), "{}", list.text());
    assert_eq!(olivia.post(&url(&world, "vera", "remove").await, &form[1..]).await.status, 404, "gone");
}

#[tokio::test]
async fn of_two_changes_to_one_membership_the_later_is_told_that_it_changed() {
    let world = World::start().await;
    let (olivia, adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let address = url(&world, "vera", "role").await;
    let mut owner = world.database.session().await;
    owner.execute("begin; select from tenant.memberships where role = 'viewer' for update").await.unwrap();
    let change = |mut client: crate::harness::Client, role: &'static str| {
        let address = address.clone();
        async move { client.post(&address, &[("role", role), ("reason", "At once")]).await }
    };
    let one = race(&world, owner, change(olivia, "editor"), change(adam, "creator")).await;
    let kept = if one == 303 { "editor" } else { "creator" };
    assert_eq!(world.role("vera").await.as_deref(), Some(kept));
    assert_eq!(world.database.count("select count(*) from audit.events where kind = 'member.role_changed'").await, 1);
}

#[tokio::test]
async fn everybody_may_leave_and_the_last_owner_may_not() {
    let world = World::start().await;
    let mut vera = world.sign_in("vera").await;
    world.prove(&mut vera, "vera").await;
    let page = vera.get(&format!("{}/members", world.acme.url())).await;
    assert!(page.body.contains(">Leave</a>") && !page.body.contains(">Remove<"), "{}", page.text());
    let why = [("reason", "Found other work")];
    assert_eq!(
        vera.post(&url(&world, "erin", "remove").await, &why).await.status,
        403,
        "others are not hers to remove"
    );
    let left = vera.post(&url(&world, "vera", "remove").await, &why).await;
    assert_eq!((left.status, left.location()), (303, "/organizations"), "{}", left.text());
    assert_eq!(world.role("vera").await, None);
    assert_eq!(vera.get(&world.acme.url()).await.status, 404);
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(olivia.post(&url(&world, "olivia", "remove").await, &why).await.status, 409);
}

// control: IDN-08
// control: IDN-21
#[tokio::test]
async fn a_member_who_joins_again_has_none_of_their_earlier_sessions() {
    let world = World::start().await;
    let (mut olivia, mut before) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    assert_eq!(before.get(&world.acme.url()).await.status, 200);
    let why = [("reason", "Their laptop was stolen")];
    assert_eq!(olivia.post(&url(&world, "adam", "remove").await, &why).await.status, 303);
    assert_eq!(before.get(&world.acme.url()).await.status, 404);
    let form = [("email", "adam@example.com"), ("role", "admin"), ("reason", "The laptop was replaced")];
    assert_eq!(olivia.post(&format!("{}/invitations", world.acme.url()), &form).await.status, 303);
    let mut again = world.sign_in("adam").await;
    let page = again.get("/invitations").await;
    let accept = page.body.split("action=\"").find(|part| part.starts_with("/invitations/")).unwrap();
    let accept = accept.split('"').next().unwrap().to_owned();
    // Somebody with the earlier session can accept, but has no access.
    let stolen = before.post(&accept, &[]).await;
    assert_eq!(stolen.status, 303, "{}", stolen.text());
    assert_eq!(world.role("adam").await.as_deref(), Some("admin"));
    let closed = before.get(&world.acme.url()).await;
    assert!(closed.status == 303 && closed.location().contains("unaccepted=signed_out"), "{}", closed.text());
    assert_eq!(again.get(&world.acme.url()).await.status, 200, "a later session has access");
    assert_eq!(world.sign_in("adam").await.get(&world.acme.url()).await.status, 200);
}

/// Emails of the members in a list, in its order, and the address of the next page.
fn listed(list: &Answer) -> (Vec<String>, Option<String>) {
    assert_eq!(list.status, 200, "{}", list.text());
    let cells = list.body.split("<p class=\"more\"><bdi class=\"address\">").skip(1);
    let next = list.body.split('"').find(|part| part.contains("after_id=")).map(|link| link.replace("&#38;", "&"));
    (cells.map(|cell| cell.split('<').next().unwrap().to_owned()).collect(), next)
}

#[tokio::test]
async fn the_list_is_by_name_and_its_pages_have_neither_gaps_nor_repeats() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let members =
        "select count(*) from tenant.memberships m join tenant.organizations o using (tenant_id) where o.name = 'Acme'";
    let before = world.database.count(members).await;
    world.new_members(world.acme, &["Bruno Keller"; 25]).await;
    world.new_members(world.acme, &["bruno keller", "BRUNO Keller", "ÄÖ & Co", "äö & co"]).await;
    let expected: Vec<String> = sqlx::query_scalar(
        "select email from tenant.memberships m join identity.users u on u.id = m.user_id
          where tenant_id = $1 order by display_name collate \"und-x-icu\", user_id",
    )
    .bind(world.acme.organization)
    .fetch_all(&mut world.database.owner().await)
    .await
    .unwrap();
    let (mut next, mut all, mut pages) = (Some(format!("{}/members", world.acme.url())), Vec::new(), 0);
    while let Some(address) = next.filter(|_| pages < 9) {
        let page = olivia.get(&address).await;
        let (here, following) = listed(&page);
        assert_eq!(here.len() == 20, following.is_some(), "{}", page.text());
        assert_eq!(page.body.contains("rel=\"first\""), pages > 0);
        all.extend(here);
        (next, pages) = (following, pages + 1);
    }
    assert_eq!((pages, i64::try_from(expected.len()).unwrap()), (2, before + 29));
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_search_takes_words_as_they_are_and_keeps_them_from_page_to_page() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.new_members(world.acme, &["Ä & Ö 100%"; 21]).await;
    let list = format!("{}/members", world.acme.url());
    for (query, found) in
        [("VERA", 1), ("vera%40example.com", 1), ("  Viewer ", 1), ("v%25r", 0), ("v_ra", 0), ("gus", 0)]
    {
        let page = olivia.get(&format!("{list}?q={query}")).await;
        assert_eq!(listed(&page).0.len(), found, "{query}: {}", page.text());
        assert_eq!(page.body.contains("Nothing matches"), found == 0, "{query}: {}", page.text());
    }
    let (first, next) = listed(&olivia.get(&format!("{list}?q=%C3%A4+%26+%C3%B6+100%25")).await);
    let (second, end) = listed(&olivia.get(&next.unwrap()).await);
    assert_eq!((first.len(), second.len(), end), (20, 1, None));
}
