//! Text as people write it, and as others would have it read.

use std::fs;
use std::path::Path;

use devkit::idp::Person;
use uuid::Uuid;

use crate::harness::{Answer, Client, World};
use crate::sign_in::with_other_provider;

const WHY: (&str, &str) = ("reason", "Joins the team");

/// Every template, by its path below `templates`.
pub(crate) fn templates() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Spelled with joiners, marks of direction, and emoji of several characters.
const SPELLED: [&str; 6] = [
    "علی\u{200c}رضا",
    "ශ\u{dca}\u{200d}රී",
    "👨\u{200d}👩\u{200d}👧",
    "\u{200f}محمد (IT)\u{200f}",
    "Zoe\u{308}",
    "葛\u{e0100}城",
];
/// What cannot be seen, or turns what follows.
const DECEIVING: [&str; 14] = [
    "Oli\u{ad}via",
    "Oli\u{34f}via",
    "Oli\u{3164}via",
    "Oli\u{e0041}via",
    "Oli\u{fe0f}via",
    "Oli\u{200b}via",
    "Oli\u{200d}via",
    "Oli\u{200c}via",
    "Oli\u{202e}via",
    "Oli\u{2066}via",
    "Oli\u{200f}via",
    "Oli\u{2800}via",
    "Oli\u{feff}via",
    "\u{3164}\u{3164}\u{3164}",
];

/// Sends a text to every form that takes one. The answers, with the status of a form that was taken.
async fn everywhere(world: &World, client: &mut Client, text: &str) -> Vec<(&'static str, Answer)> {
    let passkey = world.passkey("olivia").await;
    let client_form = [("name", text), ("acts_as", "viewer"), ("scope", "ListContacts"), ("kind", "tokens"), WHY];
    let invite = format!("{}@example.org", Uuid::now_v7().simple());
    vec![
        ("organization", client.post("/organizations", &[("name", text)]).await),
        ("workspace", client.post(&format!("{}/workspaces", world.acme.url()), &[("name", text)]).await),
        ("contact", client.post(&world.acme.contacts(), &[("name", text), ("notes", text), ("company", text)]).await),
        ("passkey", client.post(&format!("/account/passkeys/{passkey}/rename"), &[("name", text)]).await),
        ("client", client.post(&format!("{}/clients", world.acme.url()), &client_form).await),
        (
            "reason",
            client
                .post(
                    &format!("{}/invitations", world.acme.url()),
                    &[("email", &invite), ("role", "viewer"), ("reason", &format!("Because of {text}"))],
                )
                .await,
        ),
    ]
}

#[tokio::test]
async fn names_are_spelled_as_their_language_does() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for text in SPELLED {
        for (what, answer) in everywhere(&world, &mut olivia, text).await {
            assert!([200, 303].contains(&answer.status), "{what} {text:?}: {}", answer.text());
        }
    }
    let listed = olivia.get("/organizations").await;
    for text in SPELLED.iter().filter(|text| **text != "Zoe\u{308}").chain([&"Zoë"]) {
        assert!(listed.body.contains(text), "{text:?}: {}", listed.text());
    }
}

#[tokio::test]
async fn what_deceives_is_refused_everywhere_and_the_error_says_which_character() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    world.passkey("olivia").await;
    let before = world.state().await;
    for text in DECEIVING {
        for (what, answer) in everywhere(&world, &mut olivia, text).await {
            assert_eq!(answer.status, 422, "{what} {text:?}: {}", answer.text());
            assert!(answer.body.contains("(U+"), "{what} {text:?}: {}", answer.text());
        }
    }
    assert_eq!(world.state().await, before);
}

fn person(subject: &str, name: &str, email: &str) -> Person {
    Person {
        subject: subject.to_owned(),
        name: name.to_owned(),
        email: email.to_owned(),
        email_verified: true,
        about: String::new(),
    }
}

/// Signs in with the other provider.
async fn come(world: &World, other: &devkit::idp::Idp, subject: &str) -> Client {
    let mut client = world.stranger();
    let started = client.post("/sign-in/other", &[("return_to", "/account")]).await;
    let location = other.sign_in(&started.moves_on_to(), subject).await.unwrap();
    let answer = client.get_from_elsewhere(location.strip_prefix(&world.url("")).unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    client
}

#[tokio::test]
async fn a_provider_s_names_keep_their_spelling_and_lose_what_deceives() {
    let mut people: Vec<Person> =
        SPELLED.iter().enumerate().map(|(at, name)| person(&format!("s{at}"), name, "")).collect();
    people.extend(DECEIVING.iter().enumerate().map(|(at, name)| person(&format!("d{at}"), name, "")));
    let (world, other) = with_other_provider(people).await;
    for (at, name) in SPELLED.iter().enumerate() {
        let page = come(&world, &other, &format!("s{at}")).await.get("/account").await;
        let name = if *name == "Zoe\u{308}" { "Zoë" } else { name };
        assert!(page.body.contains(name), "{name:?}: {}", page.text());
    }
    for (at, name) in DECEIVING.iter().enumerate() {
        let page = come(&world, &other, &format!("d{at}")).await.get("/account").await;
        let hidden = name.chars().find(|c| !c.is_ascii()).unwrap();
        assert!(!page.body.contains(hidden), "{name:?}: {}", page.text());
    }
}

async fn invite(client: &mut Client, world: &World, email: &str) -> Answer {
    let form = [("email", email), ("role", "viewer"), WHY];
    client.post(&format!("{}/invitations", world.acme.url()), &form).await
}

// control: IDN-21
#[tokio::test]
async fn both_spellings_of_a_domain_are_one_address() {
    let people =
        vec![person("unicode", "Uta", "info@bücher.example"), person("ascii", "Arno", "INFO@XN--bcher-kva.example")];
    let (world, other) = with_other_provider(people).await;
    let mut olivia = world.sign_in("olivia").await;
    for (first, second) in [
        ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("sales@XN--BCHER-KVA.example", "sales@BÜCHER．example"),
    ] {
        assert_eq!(invite(&mut olivia, &world, first).await.status, 303, "{first}");
        let twice = invite(&mut olivia, &world, second).await;
        assert!(twice.status == 422 && twice.body.contains("already invited"), "{second}: {}", twice.text());
    }
    let listed = olivia.get(&format!("{}/invitations", world.acme.url())).await;
    assert!(listed.body.contains("info@bücher.example") && !listed.body.contains("xn--"), "{}", listed.text());
    for subject in ["unicode", "ascii"] {
        let mut client = come(&world, &other, subject).await;
        let own = client.get("/invitations").await;
        assert!(own.body.contains("Acme"), "{subject}: {}", own.text());
        let account = client.get("/account").await;
        assert!(account.body.contains("@bücher.example") && account.body.contains("Verified"), "{}", account.text());
    }
    let stored = "select count(*) from identity.users where verified_email = 'info@xn--bcher-kva.example'";
    assert_eq!(world.database.count(stored).await, 2);
}

// control: IDN-15
// control: IDN-12
#[tokio::test]
async fn organizations_and_links_know_a_domain_in_both_spellings() {
    let (world, other) = with_other_provider(vec![person("uta", "Uta", "uta@bücher.example")]).await;
    let mut olivia = world.sign_in("olivia").await;
    let domains = format!("{}/settings/domains", world.acme.url());
    assert_eq!(olivia.post(&domains, &[("name", "Bücher.example"), WHY]).await.status, 303);
    let twice = olivia.post(&domains, &[("name", "xn--bcher-kva.example"), WHY]).await;
    assert_eq!(twice.status, 409, "{}", twice.text());
    let settings = olivia.get(&format!("{}/settings", world.acme.url())).await;
    assert!(settings.body.contains("<strong>bücher.example</strong>"), "{}", settings.text());
    assert!(settings.body.contains("_holdfast.xn--bcher-kva.example"), "the DNS knows this one: {}", settings.text());
    world.new_provider(world.acme).await;
    assert_eq!(world.change("update tenant.domains set verified_at = now()").await, 1);
    for email in ["a@bücher.example", "a@XN--bcher-kva.example"] {
        let led = world.stranger().post("/sign-in/organization", &[("email", email)]).await;
        assert!(led.status != 422, "{email}: {}", led.text());
    }

    come(&world, &other, "uta").await;
    let join = "insert into tenant.memberships (tenant_id, user_id, role)
                select tenant_id, u.id, 'viewer' from tenant.organizations o, identity.users u
                 where o.name = 'Acme' and u.display_name = 'Uta'";
    assert_eq!(world.change(join).await, 1);
    assert_eq!(world.change("update tenant.organizations set settings = settings || '{\"allows_magic_links\": true}' where name = 'Acme'").await, 1);
    for email in ["uta@bücher.example", "UTA@xn--bcher-kva.example"] {
        let mut client = world.stranger();
        assert_eq!(client.post("/sign-in/link", &[("email", email)]).await.status, 200);
    }
    assert_eq!(world.database.count("select count(*) from identity.magic_links where user_id is not null").await, 2);
}

// control: IDN-21
#[tokio::test]
async fn an_address_that_gets_no_mail_is_refused_by_the_form_with_the_reason() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    for (email, said) in [
        ("a..b@example.org", "a dot must be between"),
        (".a@example.org", "a dot must be between"),
        ("a.@example.org", "a dot must be between"),
        ("a@-x.example", "is not a domain that can receive email"),
        ("a@x_y.example", "is not a domain that can receive email"),
        ("a@127.0.0.1", "is not a domain that can receive email"),
        ("mailto:x@example.org", "Leave out"),
        ("x", "such as name@example.com"),
        ("a b@example.org", "such as name@example.com"),
    ] {
        let refused = invite(&mut olivia, &world, email).await;
        assert!(refused.status == 422 && refused.body.contains(said), "{email}: {}", refused.text());
        for path in ["/sign-in/link", "/sign-in/organization"] {
            let refused = world.stranger().post(path, &[("email", email)]).await;
            assert!(refused.status == 422 && refused.body.contains(said), "{path} {email}: {}", refused.text());
        }
        let contact = olivia.post(&world.acme.contacts(), &[("name", "Somebody"), ("email", email)]).await;
        assert_eq!(contact.status, 422, "{email}");
    }
    assert_eq!(world.state().await, before);
    // What the form takes, the mailer can address.
    for email in [
        "a@b.example",
        "o'brien+x@bücher.example",
        "zoë@example.org",
        "x_y-z=1@a-b.c1.example",
        "a.b!#$%&'*/?^`{|}~@b.example",
    ] {
        let email = web::Email::try_from(email).unwrap();
        assert!(email.parse::<lettre::Address>().is_ok(), "{email}");
    }
}

/// A client's form.
async fn make_client(client: &mut Client, world: &World, name: &str) -> Answer {
    let form = [("name", name), ("acts_as", "viewer"), ("scope", "ListContacts"), ("kind", "tokens"), WHY];
    client.post(&format!("{}/clients", world.acme.url()), &form).await
}

/// Names that look like the one of Acme's owner.
const LIKE_OLIVIA: [&str; 9] = [
    "Olivia Owner",
    "olivia owner",
    "OLIVIA OWNER",
    "OIivia Owner",
    "0livia 0wner",
    "\u{41e}livia Owner",
    "Ｏｌｉｖｉａ Ｏｗｎｅｒ",
    "Olivia\u{a0}Owner",
    "Olivia  Owner",
];

// control: OBS-02
#[tokio::test]
async fn no_program_has_a_name_that_looks_like_a_member_s_or_another_one_s() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    for name in LIKE_OLIVIA {
        let refused = make_client(&mut olivia, &world, name).await;
        assert!(refused.status == 422 && refused.body.contains("looks like it"), "{name}: {}", refused.text());
    }
    assert_eq!(world.state().await, before);
    assert_eq!(make_client(&mut olivia, &world, "Importer").await.status, 200);
    for name in ["importer", "lmporter", "Import\u{435}r", "IMPORTER"] {
        assert_eq!(make_client(&mut olivia, &world, name).await.status, 422, "{name}");
    }
    assert_eq!(make_client(&mut olivia, &world, "Importer 2").await.status, 200);
    // In another organization the name says nothing.
    let mut gus = world.sign_in("gus").await;
    let form = [("name", "Olivia Owner"), ("acts_as", "viewer"), ("scope", "ListContacts"), ("kind", "tokens"), WHY];
    assert_eq!(gus.post(&format!("{}/clients", world.globex.url()), &form).await.status, 200);

    let workspaces = format!("{}/workspaces", world.acme.url());
    for name in ["Main", "MAIN", "M\u{430}in", "Маin"] {
        assert_eq!(olivia.post(&workspaces, &[("name", name)]).await.status, 422, "{name}");
    }
    assert_eq!(olivia.post(&workspaces, &[("name", "Mainz")]).await.status, 303);
}

// control: OBS-02
#[tokio::test]
async fn who_acted_is_said_by_the_page_and_not_by_a_name() {
    let (world, other) = with_other_provider(vec![
        person("false", "Olivia Owner", "olivia.owner@example.net"),
        person("system", "System", "system@example.net"),
    ])
    .await;
    for subject in ["false", "system"] {
        come(&world, &other, subject).await;
    }
    let join = "insert into tenant.memberships (tenant_id, user_id, role)
                select tenant_id, u.id, 'admin' from tenant.organizations o, identity.users u
                 where o.name = 'Acme' and u.email like '%@example.net'";
    assert_eq!(world.change(join).await, 2);
    assert_eq!(
        world.change("update identity.users set email_verified = false where email = 'olivia.owner@example.net'").await,
        1
    );
    let event = "insert into audit.events (id, tenant_id, actor, kind, target)
                 select gen_random_uuid(), tenant_id, actor, 'contact.created', 'x' from tenant.organizations o,
                   lateral (select u.id as actor from identity.users u where u.display_name in ('Olivia Owner', 'System')
                            union all select null
                            union all select gen_random_uuid()) who
                  where o.name = 'Acme'";
    assert_eq!(world.change(event).await, 5);
    let mut olivia = world.sign_in("olivia").await;
    make_client(&mut olivia, &world, "Importer").await;
    let named = "insert into audit.events (id, tenant_id, context, client_name, kind, target)
                 select gen_random_uuid(), c.tenant_id, jsonb_build_object('client', c.id), c.name, 'contact.created', 'x' from tenant.api_clients c";
    assert_eq!(world.change(named).await, 1);
    let page = olivia.get(&format!("{}/activity", world.acme.url())).await;
    let row = |badge: &str, name: &str| {
        let badge = format!("<span class=\"badge badge-accent\">{badge}</span>");
        page.body
            .split("<p class=\"event\"")
            .skip(1)
            .filter(|cell| {
                let cell = cell.split("</p>").next().unwrap();
                cell.contains(&badge) && cell.contains(&format!("<bdi>{name}</bdi>"))
            })
            .count()
    };
    assert_eq!(row("System", ""), 1, "{}", page.text());
    assert_eq!(row("System", "System"), 0, "a person of that name: {}", page.text());
    assert_eq!(row("Former member", ""), 1, "{}", page.text());
    assert_eq!(row("Service account", "Importer"), 1, "{}", page.text());
    let cells: Vec<&str> =
        page.body.split("<p class=\"event\"").skip(1).filter(|cell| cell.contains("<bdi>Olivia Owner</bdi>")).collect();
    let with = |address: &str, unverified: bool| {
        cells
            .iter()
            .filter(|cell| {
                let cell = cell.split("</p>").next().unwrap();
                cell.contains(address) && cell.contains("Not verified") == unverified
            })
            .count()
    };
    assert!(with("olivia@example.com", false) >= 1 && with("olivia.owner@example.net", true) == 1, "{}", page.text());

    let members = olivia.get(&format!("{}/members", world.acme.url())).await;
    assert_eq!(members.body.matches("Name used twice").count(), 2, "{}", members.text());
    assert_eq!(members.body.matches("Not verified").count(), 1, "{}", members.text());
}

/// Addresses reach a page through the one macro that says whether they are verified.
#[test]
fn no_template_shows_an_address_by_itself() {
    let mut shown = 0;
    for (path, text) in templates() {
        for expression in text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim) {
            // What is between quotes is a sentence of ours.
            let code: String = expression.split('"').step_by(2).collect();
            let address = code.contains("email") || code.contains("address(");
            if !address || path == "parts.html" {
                continue;
            }
            let whole = expression.starts_with("parts::address(");
            // An attribute and an option hold no elements, and say it in words.
            let in_words = ["person.email.text"].contains(&expression) && text.contains("not verified");
            assert!(whole || in_words, "{path}: {expression}");
            shown += usize::from(whole);
        }
    }
    let calls: usize = templates()
        .into_iter()
        .filter(|(path, _)| path != "parts.html")
        .map(|(_, text)| text.matches("{{ parts::address(").count())
        .sum();
    assert_eq!(shown, calls, "each use of the macro was checked");
}

// control: IDN-21
#[tokio::test]
async fn the_list_says_which_invitation_did_not_arrive() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for email in ["ada@example.org", "somebody@nowhere.invalid"] {
        assert_eq!(invite(&mut olivia, &world, email).await.status, 303);
    }
    world.until("select count(*) from audit.events where kind = 'mail.undeliverable'", 1).await;
    world.mail_to("ada@example.org").await;
    let listed = olivia.get(&format!("{}/invitations", world.acme.url())).await;
    let rows: Vec<&str> = listed.body.split("<tr").filter(|row| row.contains("Email not delivered")).collect();
    assert!(rows.len() == 1 && rows[0].contains("somebody@nowhere.invalid"), "{}", listed.text());
}
