//! Writing contacts: nothing is lost, nothing is there twice, and what people type stays text.

use super::{add, names};
use crate::harness::{Answer, World};

#[tokio::test]
async fn a_contact_is_written_shown_changed_and_deleted_and_each_is_recorded() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let form = [
        ("name", "  Zoë Ångström "),
        ("email", "Zoe@example.com"),
        ("phone", "+44 1"),
        ("company", "Contoso"),
        ("notes", "first\r\nsecond"),
    ];
    let contact = add(&mut olivia, world.acme, &form).await;
    let page = olivia.get(&contact).await;
    for shown in ["Zoë Ångström", "Zoe@example.com", "+44 1", "Contoso", "first\nsecond"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.text());
    }
    assert!(page.text().contains("by Olivia Owner olivia@example.com"), "{}", page.text());
    let changed = [("name", "Zoë Berg"), ("email", ""), ("version", "1")];
    assert_eq!(olivia.post(&contact, &changed).await.status, 303);
    let page = olivia.get(&contact).await;
    assert!(page.body.contains("Zoë Berg") && !page.body.contains("Zoe@example.com"), "{}", page.text());

    let asked = olivia.get(&format!("{contact}/delete")).await;
    assert!(asked.body.contains("You cannot undo this"), "{}", asked.text());
    assert_eq!(olivia.get(&contact).await.status, 200, "asking deletes nothing");
    let deleted = olivia.post(&format!("{contact}/delete"), &[]).await;
    assert_eq!((deleted.status, deleted.location()), (303, &*world.acme.contacts()));
    assert_eq!(olivia.post(&format!("{contact}/delete"), &[]).await.status, 404, "once");
    assert_eq!(olivia.get(&contact).await.status, 404);
    assert_eq!(olivia.post(&contact, &changed).await.status, 404);

    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from audit.events where target like 'Contact::%' and actor = $1 order by id")
            .bind(world.user("olivia").await)
            .fetch_all(&mut world.database.owner().await)
            .await
            .unwrap();
    assert_eq!(kinds, ["contact.created", "contact.changed", "contact.deleted"]);
}

/// The fields that a page has for people, by their names, each filled with a text of its own.
fn filled(page: &Answer, turn: u8) -> Vec<(String, String)> {
    let tags = page.body.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("textarea"));
    let named = tags.filter(|tag| !tag.contains("hidden")).filter_map(|tag| {
        let name = tag.split_once("name=\"")?.1.split_once('"')?.0;
        let text = if tag.contains("email") { format!("{name}{turn}@example.com") } else { format!("{name} {turn}") };
        Some((name.to_owned(), text))
    });
    named.collect()
}

#[tokio::test]
async fn every_field_of_the_page_is_stored_when_a_contact_is_added_and_when_it_is_changed() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let stored = async |form: &[(String, String)]| {
        let row = "select c::text from tenant.contacts c order by updated_at desc, created_at desc limit 1";
        let row: String = sqlx::query_scalar(row).fetch_one(&mut world.database.owner().await).await.unwrap();
        for (name, text) in form {
            assert!(row.contains(&**text), "{name} is on the page and not in the table: {row}");
        }
    };
    fn borrowed(form: &[(String, String)]) -> Vec<(&str, &str)> {
        form.iter().map(|(name, text)| (&**name, &**text)).collect()
    }
    let new = filled(&olivia.get(&format!("{}/new", world.acme.contacts())).await, 1);
    assert!(new.iter().any(|(name, _)| name == "notes"), "{new:?}");
    let contact = add(&mut olivia, world.acme, &borrowed(&new)).await;
    stored(&new).await;

    world.prove(&mut olivia, "olivia").await;
    let changed = filled(&olivia.get(&format!("{contact}/edit")).await, 2);
    assert!(changed.len() > new.len(), "the restricted fields are there: {changed:?}");
    let form = [borrowed(&changed), vec![("version", "1")]].concat();
    let answer = olivia.post(&contact, &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    stored(&changed).await;
}

#[tokio::test]
async fn of_two_people_who_change_a_contact_the_second_is_told_and_nothing_is_lost() {
    let world = World::start().await;
    let (mut olivia, mut erin) = (world.sign_in("olivia").await, world.sign_in("erin").await);
    let contact = add(&mut olivia, world.acme, &[("name", "Shared"), ("notes", "as it was")]).await;
    let first = [("name", "Shared"), ("notes", "what Olivia wrote"), ("version", "1")];
    let second = [("name", "Shared"), ("notes", "what Erin wrote"), ("version", "1")];
    assert_eq!(olivia.post(&contact, &first).await.status, 303);
    let before = world.state().await;
    let refused = erin.post(&contact, &second).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(world.state().await, before, "what Olivia wrote stands");
    assert!(refused.body.contains("what Erin wrote"), "what Erin wrote is still on her screen: {}", refused.text());
    assert!(refused.body.contains("name=\"version\" value=\"1\""), "and cannot be saved over Olivia's unseen");
    assert_eq!(erin.program().post(&contact, &second).await.status, 409);
}

#[tokio::test]
async fn parallel_changes_from_one_version_end_in_one() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let contact = add(&mut olivia, world.acme, &[("name", "Shared")]).await;
    let attempts = (0..6).map(|number| {
        let (mut olivia, contact) = (olivia.clone(), contact.clone());
        tokio::spawn(async move {
            let name = format!("Shared {number}");
            olivia.post(&contact, &[("name", &name), ("version", "1")]).await.status
        })
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409, 409, 409, 409, 409]);
    assert_eq!(world.database.count("select version from tenant.contacts where name like 'Shared %'").await, 2);
    assert_eq!(world.database.count("select count(*) from audit.events where kind = 'contact.changed'").await, 1);
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_beside_its_field_and_what_was_typed_stays() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    add(&mut olivia, world.acme, &[("name", "First"), ("email", "taken@example.com")]).await;
    let other = add(&mut olivia, world.acme, &[("name", "Second"), ("email", "free@example.com")]).await;
    let before = world.state().await;
    let typed = [("name", "Third"), ("email", "TAKEN@Example.com"), ("phone", "555"), ("notes", "typed with care")];
    let mut with_version = typed.to_vec();
    with_version.push(("version", "1"));
    for (address, form) in [(world.acme.contacts(), typed.to_vec()), (other, with_version)] {
        let page = olivia.post(&address, &form).await;
        assert_eq!(page.status, 422, "{}", page.text());
        let (_, beside) = page.body.split_once("id=\"f-email-error\"").unwrap();
        assert!(beside.contains("Another contact in this workspace has this email address."));
        assert!(page.body.contains("aria-describedby=\"f-email-error\""), "{}", page.body);
        for kept in ["value=\"Third\"", "value=\"TAKEN@Example.com\"", "value=\"555\"", "typed with care</textarea>"] {
            assert!(page.body.contains(kept), "{kept}: {}", page.body);
        }
    }
    assert_eq!(world.state().await, before);
    // Another organization has addresses of its own.
    let mut gus = world.sign_in("gus").await;
    add(&mut gus, world.globex, &[("name", "First"), ("email", "taken@example.com")]).await;
}

#[tokio::test]
async fn of_parallel_contacts_with_one_address_there_is_one() {
    let world = World::start().await;
    let olivia = world.sign_in("olivia").await;
    let attempts = (0..8).map(|_| {
        let (mut olivia, contacts) = (olivia.clone(), world.acme.contacts());
        tokio::spawn(
            async move { olivia.post(&contacts, &[("name", "Twin"), ("email", "twin@example.com")]).await.status },
        )
    });
    let mut statuses = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        statuses.push(attempt.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 422, 422, 422, 422, 422, 422, 422]);
    assert_eq!(world.database.count("select count(*) from tenant.contacts where name = 'Twin'").await, 1);
    assert_eq!(world.database.count("select count(*) from audit.events where details->>'name' = 'Twin'").await, 1);
}

#[tokio::test]
async fn what_people_type_is_shown_as_they_typed_it_and_runs_nowhere() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let attack = "\"'><img src=x onerror=alert(1)>{{7*7}}</textarea>";
    let form = [("name", attack), ("phone", "'><b>1"), ("company", attack), ("notes", attack)];
    let contact = add(&mut olivia, world.acme, &form).await;
    let moved = olivia.get(&contact).await;
    assert!(moved.body.contains("class=\"flash"), "the flash has it too");
    let wrong = olivia.post(&contact, &[("name", attack), ("email", attack), ("version", "1")]).await;
    assert_eq!(wrong.status, 422);
    let organization = olivia.post("/organizations", &[("name", attack)]).await.location().to_owned();
    let query: String = url::form_urlencoded::byte_serialize(attack.as_bytes()).collect();
    let mut pages = vec![moved, wrong];
    for address in [
        contact.clone(),
        format!("{contact}/edit"),
        format!("{contact}/delete"),
        world.acme.contacts(),
        format!("{}?q={query}", world.acme.contacts()),
        world.acme.url(),
        format!("{}/activity", world.acme.url()),
        format!("{}/activity?from={query}", world.acme.url()),
        organization,
        "/organizations".to_owned(),
        format!("/sign-in?return_to=/{query}"),
    ] {
        pages.push(olivia.get(&address).await);
    }
    for page in &pages {
        assert!(!page.body.contains("<img src=x") && !page.body.contains("<b>1"), "{}", page.body);
        assert!(!page.body.contains(">49"), "{}", page.body);
    }
    let shown = pages.iter().filter(|page| page.body.contains("&#60;img src=x onerror=alert(1)&#62;")).count();
    let redirects = pages.iter().filter(|page| page.status == 303).count();
    assert_eq!((redirects, shown + redirects), (1, pages.len()), "each page has it as text");
}

#[tokio::test]
async fn what_was_done_is_said_once() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let contact = add(&mut olivia, world.acme, &[("name", "Said Once")]).await;
    assert!(olivia.cookie("flash").is_some());
    assert!(olivia.get(&contact).await.body.contains("Said Once was added."));
    assert!(olivia.cookie("flash").is_none());
    assert!(!olivia.get(&contact).await.body.contains("was added"));
    // Also where the next page is one that tells of an error.
    assert_eq!(olivia.post(&format!("{contact}/delete"), &[]).await.status, 303);
    assert!(olivia.get(&contact).await.body.contains("Said Once was deleted."));
    let list = olivia.get(&world.acme.contacts()).await;
    assert!(!list.body.contains("was deleted"), "{}", list.text());
    assert!(!names(&list).contains(&"Said Once".to_owned()));
}
