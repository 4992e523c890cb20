//! Tax id and bank account: seen and written by few, and for everybody else not there at all.

use super::add;
use crate::harness::World;

const TAX: &str = "TAX-CANARY-1";
const BANK: &str = "BANK-CANARY-2";

// control: POL-03
#[tokio::test]
async fn restricted_fields_are_there_for_the_roles_that_may_see_and_write_them() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let contact = add(&mut olivia, world.acme, &[("name", "Guarded")]).await;
    let filled = [("name", "Guarded"), ("version", "1"), ("tax_id", TAX), ("bank_account", BANK)];
    assert_eq!(olivia.post(&contact, &filled).await.status, 303);

    for (subject, sees, writes) in [
        ("olivia", true, true),
        ("adam", true, true),
        ("erin", true, false),
        ("carl", false, false),
        ("vera", false, false),
    ] {
        let mut person = world.sign_in(subject).await;
        let page = person.get(&contact).await;
        assert_eq!((page.body.contains(TAX), page.body.contains(BANK)), (sees, sees), "{subject}: {}", page.text());
        let form = person.get(&format!("{contact}/edit")).await;
        assert_eq!(form.body.contains("name=\"tax_id\""), writes, "{subject}: {}", form.text());
        assert_eq!(form.body.contains(TAX), writes, "{subject}: {}", form.text());
        for list in [world.acme.contacts(), format!("{}?q=CANARY", world.acme.contacts())] {
            let list = person.get(&list).await;
            assert!(!list.body.contains(TAX) && !list.body.contains(BANK), "{subject}: {}", list.text());
        }
        let version: i64 = world.database.count("select version from tenant.contacts where name = 'Guarded'").await;
        let version = version.to_string();
        let (before, allowed) = (world.state().await, if writes { 303 } else { 403 });
        let both = [("name", "Guarded"), ("version", &*version), ("tax_id", "other"), ("bank_account", "other")];
        assert_eq!(person.post(&contact, &both).await.status, allowed, "{subject} writes");
        assert_eq!(world.state().await == before, !writes, "{subject}");
        if writes {
            let version = (version.parse::<i64>().unwrap() + 1).to_string();
            let back = [("name", "Guarded"), ("version", &*version), ("tax_id", TAX), ("bank_account", BANK)];
            assert_eq!(person.post(&contact, &back).await.status, 303);
        } else {
            for one in ["tax_id", "bank_account"] {
                let form = [("name", "Guarded"), ("version", &*version), (one, "")];
                assert_eq!(person.post(&contact, &form).await.status, 403, "{subject} writes {one}");
            }
        }
    }
    // Who changes the rest leaves them as they are.
    let mut erin = world.sign_in("erin").await;
    let version = world.database.count("select version from tenant.contacts where name = 'Guarded'").await.to_string();
    assert_eq!(erin.post(&contact, &[("name", "Renamed"), ("version", &version)]).await.status, 303);
    let kept = "select count(*) from tenant.contacts
                 where name = 'Renamed' and tax_id = 'TAX-CANARY-1' and bank_account = 'BANK-CANARY-2'";
    assert_eq!(world.database.count(kept).await, 1);
    // The record says that they were written and not what.
    world.settle_decisions().await;
    let told = "select count(*) from (select e::text as t from audit.events e union all select d::text from audit.decisions d) a
                 where t like '%CANARY%'";
    assert_eq!(world.database.count(told).await, 0);
    let marked =
        "select count(*) from audit.events where kind = 'contact.changed' and (details->>'restricted_fields')::bool";
    assert_eq!(world.database.count(marked).await, 5);
}

#[tokio::test]
async fn nobody_creates_a_contact_with_restricted_fields() {
    let world = World::start().await;
    let before = world.state().await;
    for subject in ["olivia", "carl"] {
        let mut person = world.sign_in(subject).await;
        let answer =
            person.post(&world.acme.contacts(), &[("name", "x"), ("tax_id", "1"), ("bank_account", "2")]).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    let count = "select count(*) from tenant.contacts";
    assert_eq!(world.database.count(count).await, 39);
    assert_ne!(before, "", "there was something");
}
