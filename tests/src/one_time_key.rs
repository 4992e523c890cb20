//! Forms that create something, sent twice: one thing is created, and the second answer is the first one's.

use std::collections::BTreeSet;

use sqlx::Executor;

use crate::edge::form_for;
use crate::harness::{Answer, Client, World, browser_routes};

/// What creates something: the route, the page with its form, the event that says that it was created, and whether the same
/// form finds everything as before.
const CREATES: [(&str, &str, &str, bool); 12] = [
    ("/organizations", "/organizations/new", "organization.created", true),
    ("/o/{organization}/workspaces", "/o/{organization}/workspaces/new", "workspace.created", true),
    (
        "/o/{organization}/w/{workspace}/contacts",
        "/o/{organization}/w/{workspace}/contacts/new",
        "contact.created",
        true,
    ),
    ("/o/{organization}/invitations", "/o/{organization}/invitations/new", "invitation.made", true),
    ("/o/{organization}/clients", "/o/{organization}/clients/new", "service_account.made", true),
    ("/o/{organization}/elevations", "/o/{organization}/elevations/new", "elevation.requested", true),
    ("/o/{organization}/settings/domains", "/o/{organization}/settings/domains/new", "domain.added", true),
    ("/o/{organization}/settings/sign-in", "/o/{organization}/settings/sign-in", "organization.sign_in_changed", true),
    ("/o/{organization}/delete", "/o/{organization}/delete", "approval.requested", true),
    (
        "/o/{organization}/members/{member}/reset-factors",
        "/o/{organization}/members/{member}/reset-factors",
        "member.factors_reset",
        true,
    ),
    (
        "/o/{organization}/members/{member}/role",
        "/o/{organization}/members/{member}/role",
        "member.role_changed",
        false,
    ),
    ("/o/{organization}/members/{member}/remove", "/o/{organization}/members/{member}/remove", "member.removed", false),
];

/// What creates nothing, however often it is sent.
const CREATE_NOTHING: [(&str, &[&str]); 4] = [
    // A second one finds it gone, changed or decided already, or changes it to the same.
    (
        "ends or changes what is there",
        &[
            "/account/authenticator/remove",
            "/account/passkeys/{passkey}/remove",
            "/account/passkeys/{passkey}/rename",
            "/account/recovery/cancel",
            "/account/sessions/end-others",
            "/account/sessions/{session}/end",
            "/invitations/{own_invitation}/accept",
            "/o/{organization}/approvals/{approval}/approve",
            "/o/{organization}/approvals/{approval}/decline",
            "/o/{organization}/clients/{client}/revoke",
            "/o/{organization}/failed-jobs/{job}/retry",
            "/o/{organization}/elevations/{elevation}/approve",
            "/o/{organization}/elevations/{elevation}/end",
            "/o/{organization}/invitations/{invitation}/revoke",
            "/o/{organization}/members/{member}/end-sessions",
            "/o/{organization}/settings/domains/{domain}/prove",
            "/o/{organization}/settings/domains/{domain}/remove",
            "/o/{organization}/settings/provider/remove",
            "/o/{organization}/w/{workspace}/contacts/{contact}",
            "/o/{organization}/w/{workspace}/contacts/{contact}/delete",
        ],
    ),
    // One for each person, organization or client. The second one shows the secret that holds.
    (
        "puts a new one in the place of what is there",
        &[
            "/account/authenticator",
            "/account/email",
            "/account/recovery/codes",
            "/o/{organization}/clients/{client}/secret",
            "/o/{organization}/settings/provider",
        ],
    ),
    (
        "takes a code, a challenge or a kept form, which works once",
        &[
            "/account/authenticator/confirm",
            "/account/email/confirm",
            "/account/passkeys",
            "/recovery",
            "/recovery/continue",
            "/resume",
            "/step-up",
            "/step-up/code",
        ],
    ),
    ("begins something that ends by itself", &["/account/passkeys/options", "/step-up/options"]),
];

// case: A14
#[test]
fn every_form_of_somebody_signed_in_is_known_to_create_something_or_not() {
    let routes: BTreeSet<String> = browser_routes()
        .into_iter()
        .filter(|row| row.method == "POST" && !["Public", "LogoutToken"].contains(&row.guard))
        .map(|row| row.path)
        .collect();
    let creates = CREATES.iter().map(|(route, ..)| *route);
    let others = CREATE_NOTHING.iter().flat_map(|(_, routes)| routes.iter().copied());
    let known: Vec<String> = creates.chain(others).map(str::to_owned).collect();
    assert_eq!(known.len(), known.iter().collect::<BTreeSet<_>>().len(), "one of the two");
    assert_eq!(routes, known.into_iter().collect());
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
    let addresses = world.addresses().await;
    for (route, page, event, again) in CREATES {
        // Each request counts, and so many come here from one person.
        world.change("delete from identity.rate_limits").await;
        let (path, page) = (addresses.of(route), addresses.of(page));
        let mut olivia = world.sign_in("olivia").await;
        let form = form_for(route);
        let key = key_on(&mut olivia, &page).await;
        let form = with_key(&form, &key);
        let before = world.events(event).await.len();
        let answers = twice_at_once(&world, &olivia, &path, &form).await;
        let both = format!("{route}: {} and {}", answers[0].text(), answers[1].text());
        if event == "service_account.made" {
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
        if again {
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
async fn what_failed_leaves_the_key_free_and_a_key_that_is_none_is_refused() {
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
