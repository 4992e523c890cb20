//! Forms that create something, sent twice: one thing is created, and the second answer is the first one's.

use sqlx::Executor;

use crate::harness::changes::{Again, change, form_for, forms};
use crate::harness::{Answer, Client, World, browser_routes};

// case: A14
#[test]
fn every_form_of_somebody_signed_in_is_known_to_create_something_or_not() {
    let posted = browser_routes().into_iter().filter(|row| row.method == "POST");
    for row in posted.filter(|row| !["Public", "LogoutToken"].contains(&row.guard)) {
        let again = change(&row.path).again;
        assert!(
            again != Again::Unsaid,
            "say what the form of {} does if it is sent twice: `creates` or another",
            row.path
        );
        let creates = matches!(again, Again::Creates { .. });
        let takes_key = row.fields.contains(&"one_time_key");
        assert_eq!(takes_key, creates, "a form that creates something is a FormOnce, and no other: {}", row.path);
    }
}

fn with_key<'a>(form: &[(&'a str, &'a str)], key: &'a str) -> Vec<(&'a str, &'a str)> {
    [form, &[("one_time_key", key)]].concat()
}

/// What a browser does with an answer.
fn seen(answer: &Answer) -> (u16, String, Vec<String>) {
    let flash = answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap().to_owned());
    (answer.status, answer.location().to_owned(), flash.filter(|line| line.contains("flash=")).collect())
}

async fn key_on(client: &mut Client, page: &str) -> String {
    let page = client.get(page).await;
    page.one_time_key().unwrap_or_else(|| panic!("a form without a key: {}", page.text()))
}

/// Both wait to write their key.
async fn twice_at_once(world: &World, client: &Client, path: &str, form: &[(&str, &str)]) -> [Answer; 2] {
    let mut owner = world.database.session().await;
    owner.execute("begin; lock table identity.one_time_keys in share row exclusive mode").await.unwrap();
    let (mut one, mut other) = (client.clone(), client.clone());
    let (one, other) = (one.post(path, form), other.post(path, form));
    world.race(owner, one, other).await
}

// case: A14
#[tokio::test]
async fn of_two_at_once_one_creates_and_both_get_its_answer() {
    let world = World::start().await;
    world.manage_viewer(world.acme).await;
    let samples = world.samples().await;
    for change in forms() {
        let Again::Creates { page, repeats } = change.again else { continue };
        let (route, event) = (change.path, change.events()[0]);
        // Each request counts, and so many come here from one person.
        world.change("delete from identity.rate_limits").await;
        let (path, page) = (samples.path(route), samples.path(page));
        let mut olivia = world.sign_in("olivia").await;
        let form = form_for(route);
        let key = key_on(&mut olivia, &page).await;
        let form = with_key(&form, &key);
        let before = world.events(event).await.len();
        let answers = twice_at_once(&world, &olivia, &path, &form).await;
        let both = format!("{route}: {} and {}", answers[0].text(), answers[1].text());
        if event == "service_account.created" {
            let shown = |answer: &&Answer| answer.status == 200 && answer.body.contains("You won’t see it again");
            assert_eq!(answers.iter().filter(shown).count(), 1, "one shows the secret: {both}");
            let said = answers.iter().find(|answer| answer.status == 303).unwrap_or_else(|| panic!("{both}"));
            assert_eq!(said.location(), path);
            olivia.take_cookies(said);
            let list = olivia.get(&path).await;
            assert!(list.body.contains("was created already, and its secret was shown once"), "{}", list.text());
        } else {
            assert_eq!(answers[0].status, 303, "{both}");
            assert_eq!(seen(&answers[0]), seen(&answers[1]), "{both}");
        }
        assert_eq!(world.events(event).await.len(), before + 1, "{both}");
        if repeats {
            let later = olivia.post(&path, &form).await;
            assert!(answers.iter().any(|answer| seen(answer) == seen(&later)), "{route}: {}", later.text());
            let mut other = form.clone();
            let changed = other.iter().position(|(name, _)| *name == "reason").unwrap_or(0);
            other[changed].1 = "Something else";
            let refused = olivia.post(&path, &other).await;
            assert_eq!(refused.status, 409, "{route}: {}", refused.text());
            assert_eq!(world.events(event).await.len(), before + 1, "{route}: sent again");
        }
    }
}

// case: A14
#[tokio::test]
async fn what_takes_a_second_person_is_asked_for_once() {
    let world = World::start().await;
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    world.change("update tenant.memberships set role_since = now() - interval '48 hours'").await;
    let mut olivia = world.sign_in("olivia").await;
    let (erin, adam) = (world.new_managed(world.acme, "admin").await, world.user("adam").await);
    for (what, member, form) in [
        ("reset-factors", erin, vec![("reason", "No reason")]),
        ("remove", adam, vec![("reason", "No reason")]),
        ("role", adam, vec![("role", "editor"), ("reason", "No reason")]),
    ] {
        let path = format!("{}/members/{}/{what}", world.acme.url(), member);
        let key = key_on(&mut olivia, &path).await;
        let form = with_key(&form, &key);
        let before = world.events("approval.requested").await.len();
        let answers = twice_at_once(&world, &olivia, &path, &form).await;
        assert_eq!(answers[0].status, 303, "{}", answers[0].text());
        assert_eq!(seen(&answers[0]), seen(&answers[1]), "{what}");
        assert_eq!(seen(&olivia.post(&path, &form).await), seen(&answers[0]), "{what}");
        assert_eq!(world.events("approval.requested").await.len(), before + 1);
    }
}

// case: A14
#[tokio::test]
async fn a_key_belongs_to_one_person_and_one_form() {
    let world = World::start().await;
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let contacts = world.acme.contacts();
    let new = format!("{contacts}/new");
    let key = key_on(&mut olivia, &new).await;
    assert_ne!(key, key_on(&mut olivia, &new).await, "each page has its own");
    let form = [("name", "Zoe"), ("one_time_key", &*key)];
    let hers = olivia.post(&contacts, &form).await;
    assert_eq!(hers.status, 303, "{}", hers.text());
    // The same key, form and path of somebody else is another form.
    let his = adam.post(&contacts, &form).await;
    assert_eq!(his.status, 303, "{}", his.text());
    assert_ne!(his.location(), hers.location());
    // In another session of hers it is the same form: it may have been kept while she signed in.
    let mut second = world.sign_in("olivia").await;
    assert_eq!(second.post(&contacts, &form).await.location(), hers.location());
    let there = "select count(*) from tenant.contacts where name in ('Zoe', 'Zoo', 'Zak')";
    assert_eq!(world.database.count(there).await, 2);
    let other = olivia.post(&contacts, &[("name", "Zoo"), ("one_time_key", &*key)]).await;
    assert!(other.status == 409 && other.text().contains("with other content"), "{}", other.text());
    let elsewhere = olivia.post("/organizations", &form).await;
    assert_eq!(elsewhere.status, 409, "{}", elsewhere.text());
    // Without a key, each is one.
    for _ in 0..2 {
        assert_eq!(olivia.post(&contacts, &[("name", "Zak")]).await.status, 303);
    }
    assert_eq!(world.database.count(there).await, 4);
    let kept = "select count(*) from identity.one_time_keys where expires_at - now() between interval '23 hours' and interval '24 hours'";
    assert_eq!(world.database.count(kept).await, 2);
}

// case: A14
#[tokio::test]
async fn a_failed_request_leaves_its_key_free_and_a_malformed_key_is_refused() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let (path, page) = (format!("{}/workspaces", world.acme.url()), format!("{}/workspaces/new", world.acme.url()));
    let key = key_on(&mut olivia, &page).await;
    // Refused before the transaction, refused by the database in it, and then done.
    for (name, status) in [("", 422), ("Main", 422), ("Sales", 303), ("Sales", 303)] {
        let answer = olivia.post(&path, &[("name", name), ("one_time_key", &*key)]).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    assert_eq!(world.database.count("select count(*) from tenant.workspaces where name = 'Sales'").await, 1);
    let before = world.state().await;
    let upper = "018F0000-0000-4000-8000-0000000000AB";
    for key in ["", "x", "' or 1=1", upper, &"a".repeat(4000), "\u{202e}"] {
        let mut program = olivia.clone().program();
        let refused = program.post(&path, &[("name", "Support"), ("one_time_key", key)]).await;
        assert!(refused.status == 422 && refused.body.contains("Load the page again"), "{key}: {}", refused.body);
    }
    // A form that creates nothing has no such field.
    let sessions = olivia.post("/account/sessions/end-others", &[("one_time_key", &key)]).await;
    assert_eq!(sessions.status, 422);
    assert_eq!(world.state().await, before);
}
