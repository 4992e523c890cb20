//! An address has one spelling. Ids that leave the system tell nothing.

use uuid::{Uuid, Version};

use crate::harness::World;

fn get(path: &str, cookies: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
    )
}

#[tokio::test]
async fn another_spelling_of_an_address_is_not_that_address() {
    let world = World::start().await;
    let cookies = world.sign_in("olivia").await.cookies();
    let (organization, contacts) = (world.acme.organization.to_string(), world.acme.contacts());
    let contact = world.contact(world.acme).await.to_string();
    assert_eq!(world.raw(get(&contacts, &cookies)).await.status(), 200, "the one spelling");
    assert_eq!(world.raw(get(&format!("{contacts}/{contact}"), &cookies)).await.status(), 200, "the one spelling");
    let tricks = [
        format!("/{contacts}"),
        format!("{contacts}/"),
        format!("{contacts}//"),
        format!("/.{contacts}"),
        format!("/x/..{contacts}"),
        format!("/%2e{contacts}"),
        format!("/x/%2e%2e{contacts}"),
        contacts.replace('/', "%2f").replacen("%2f", "/", 1),
        contacts.replace("/o/", "/O/"),
        contacts.replace("/o/", "/o;a=b/"),
        contacts.replace("/contacts", "/contacts%00"),
        contacts.replace("/contacts", "/contacts%20"),
        contacts.replace("/contacts", "/contacts.json"),
        contacts.replace("/contacts", "/contacts\\"),
        contacts.replace(&organization, &organization.to_uppercase()),
        contacts.replace(&organization, &organization.replace('-', "")),
        contacts.replace(&organization, &format!("%7b{organization}%7d")),
        contacts.replace(&organization, &format!("urn:uuid:{organization}")),
        contacts.replace(&organization, &format!("{organization}%00")),
        contacts.replace(&organization, &format!("{organization}%20")),
        contacts.replace(&organization, "%ff"),
        contacts.replace(&organization, "1"),
        contacts.replace(&organization, &"a".repeat(8_000)),
        format!("{contacts}/{}", contact.to_uppercase()),
        format!("{contacts}/{}", contact.replace('-', "")),
        format!("{contacts}/{contact}/"),
        format!("{contacts}/{contact}%2fedit"),
        format!("{contacts}/..%2f..%2fmembers"),
        "/%".to_owned(),
        "/%zz".to_owned(),
        "/..".to_owned(),
        "/assets/../config/default.toml".to_owned(),
        "/assets/..%2f..%2fconfig%2fdefault.toml".to_owned(),
    ];
    for path in tricks {
        let answer = world.raw(get(&path, &cookies)).await;
        assert_eq!(answer.status(), 404, "{path:.200}: {:.300}", answer.0);
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path:.200}");
    }
}

// control: TEN-07
#[tokio::test]
async fn every_id_is_a_uuid_of_version_7_and_nothing_counts_up() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let made = olivia.post("/organizations", &[("name", "Numbers")]).await;
    let home = made.location().to_owned();
    let page = olivia.get(&home).await.body;
    let contacts = page.split('"').find(|part| part.ends_with("/contacts")).unwrap().to_owned();
    let contact = olivia.post(&contacts, &[("name", "One")]).await.location().to_owned();
    let members = olivia.get(&format!("{home}/members")).await.body;
    let activity = olivia.get(&format!("{home}/activity")).await.body;
    let request = olivia.get("/nowhere").await.request_id().to_owned();

    for text in [&home, &contacts, &contact, &members, &activity, &request] {
        let parts = text.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
        let ids: Vec<&str> = parts.filter(|part| part.len() == 36).collect();
        assert!(!ids.is_empty(), "no id in {text}");
        for id in ids {
            assert_eq!(Uuid::parse_str(id).unwrap().get_version(), Some(Version::SortRand), "{id}");
        }
    }
    // No key of the database counts either, so none can leave by mistake.
    let counting = "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
                     join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname in ('identity', 'tenant', 'audit')
                      and (a.attidentity <> '' or pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) is not null)
                      and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped";
    assert_eq!(world.database.count(counting).await, 0);
    let other = "select (select count(*) from tenant.contacts where substr(id::text, 15, 1) <> '7')
                      + (select count(*) from tenant.organizations where substr(tenant_id::text, 15, 1) <> '7')
                      + (select count(*) from tenant.workspaces where substr(id::text, 15, 1) <> '7')
                      + (select count(*) from audit.events where substr(id::text, 15, 1) <> '7')
                      + (select count(*) from identity.users where substr(id::text, 15, 1) <> '7')
                      + (select count(*) from identity.sessions where substr(id::text, 15, 1) <> '7')";
    assert_eq!(world.database.count(other).await, 0);
}
