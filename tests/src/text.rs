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

/// Comes in through the other provider.
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
        assert!(twice.status == 422 && twice.body.contains("invited already"), "{second}: {}", twice.text());
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
    assert_eq!(world.change("update tenant.domains set proved_at = now()").await, 1);
    for email in ["a@bücher.example", "a@XN--bcher-kva.example"] {
        let led = world.stranger().post("/sign-in/organization", &[("email", email)]).await;
        assert!(led.status != 422, "{email}: {}", led.text());
    }

    come(&world, &other, "uta").await;
    let join = "insert into tenant.memberships (tenant_id, user_id, role)
                select tenant_id, u.id, 'viewer' from tenant.organizations o, identity.users u
                 where o.name = 'Acme' and u.display_name = 'Uta'";
    assert_eq!(world.change(join).await, 1);
    assert_eq!(world.change("update tenant.organizations set mail_links = true where name = 'Acme'").await, 1);
    for email in ["uta@bücher.example", "UTA@xn--bcher-kva.example"] {
        let mut client = world.stranger();
        assert_eq!(client.post("/sign-in/link", &[("email", email)]).await.status, 200);
    }
    assert_eq!(world.database.count("select count(*) from identity.links where user_id is not null").await, 2);
}

// control: IDN-21
#[tokio::test]
async fn an_address_that_gets_no_mail_is_refused_by_the_form_with_the_reason() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let before = world.state().await;
    for (email, said) in [
        ("a..b@example.org", "a dot stands between"),
        (".a@example.org", "a dot stands between"),
        ("a.@example.org", "a dot stands between"),
        ("a@-x.example", "is no domain that gets mail"),
        ("a@x_y.example", "is no domain that gets mail"),
        ("a@127.0.0.1", "is no domain that gets mail"),
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
