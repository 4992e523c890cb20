//! The same behind PgBouncer in transaction mode, where many clients share few connections to the database.

use secrecy::SecretString;
use tenancy::{Db, Read, Tenant, TenantId};
use uuid::Uuid;

use super::{bind, full, refusal, run, tenant_tables, tenants};
use crate::harness::{Client, Database, PgBouncer, Place, World};

async fn behind(connections: usize) -> (World, PgBouncer) {
    let database = Database::create().await;
    let pooler = PgBouncer::start(&database, connections).await;
    let settings = [("DATABASE__URL", &*pooler.web_url), ("DATABASE__STATEMENT_CACHE", "0")];
    (World::start_on(database, "", &settings).await, pooler)
}

/// Works with contacts as a person would, and sees nothing but the own ones.
async fn work(client: &mut Client, place: Place, theirs: &str, name: &str) {
    let contacts = place.contacts();
    let created = client.post(&contacts, &[("name", name), ("email", &format!("{name}@example.com"))]).await;
    assert_eq!(created.status, 303, "{}", created.text());
    let contact = created.location().to_owned();
    assert!(contact.starts_with(&contacts), "{contact}");
    let shown = client.get(&contact).await;
    assert!(shown.status == 200 && shown.body.contains(name), "{}", shown.text());
    let listed = client.get(&format!("{contacts}?q={name}")).await;
    assert!(listed.status == 200 && listed.body.contains(name), "{}", listed.text());
    for foreign in [theirs.to_owned(), contact.replace(&place.organization.to_string(), theirs)] {
        assert_eq!(client.get(&format!("/o/{foreign}")).await.status, 404);
    }
    let edited = client.post(&contact, &[("name", &format!("{name} edited")), ("version", "1")]).await;
    assert_eq!(edited.status, 303, "{}", edited.text());
    assert!(client.get(&contact).await.body.contains(&format!("{name} edited")));
    assert_eq!(client.post(&format!("{contact}/delete"), &[]).await.status, 303);
    assert_eq!(client.get(&contact).await.status, 404);
}

// control: TEN-03
#[tokio::test]
async fn two_organizations_work_at_once_through_a_pooler_and_nothing_mixes() {
    for connections in [1, 2] {
        let (world, _pooler) = behind(connections).await;
        let (olivia, gus) = (world.sign_in("olivia").await, world.sign_in("gus").await);
        let (acme, globex) = (world.acme, world.globex);
        let people = (0..8).map(|index| {
            let (mut client, place, other) =
                if index % 2 == 0 { (olivia.clone(), acme, globex) } else { (gus.clone(), globex, acme) };
            let theirs = other.organization.to_string();
            let name = format!("{}{index}", if index % 2 == 0 { "acme" } else { "globex" });
            async move {
                for _ in 0..3 {
                    work(&mut client, place, &theirs, &name).await;
                }
            }
        });
        futures_util::future::join_all(people).await;

        world.settle_decisions().await;
        let mixed = "select count(*) from audit.events e join audit.decisions d on d.request_id = e.request_id
                      where d.allowed and e.tenant_id is distinct from d.tenant_id";
        assert_eq!(world.database.count(mixed).await, 0);
        let events = "select count(*) from audit.events where kind like 'contact.%'
                       and case when details ->> 'name' like 'acme%' then 'Acme' else 'Globex' end
                           = (select name from tenant.organizations o where o.tenant_id = events.tenant_id)";
        assert_eq!(world.database.count(events).await, 8 * 3 * 3, "each change is recorded where it was made");
        assert_eq!(world.database.count("select count(*) from tenant.contacts").await, 34 + 5);
    }
}

// control: TEN-03
#[tokio::test]
async fn a_shared_connection_keeps_no_binding_of_another_client() {
    let database = Database::create().await;
    let pooler = PgBouncer::start(&database, 1).await;
    let world = full(World::start_on(database, "", &[]).await).await;
    let one = |url: &str| SecretString::from(url.to_owned());
    let config = tenancy::Config {
        url: one(&pooler.web_url),
        max_connections: 4,
        acquire_timeout_ms: 5_000,
        statement_cache: 0,
    };
    let db = Db::connect(&config, true).await.unwrap();
    let mut plain = <sqlx::PgConnection as sqlx::Connection>::connect(&pooler.web_url).await.unwrap();
    let tables = tenant_tables(&world).await;
    for _ in 0..3 {
        for place in [world.acme, world.globex] {
            let mut tx = db.begin::<Read, Tenant>(TenantId::from(place.organization)).await.unwrap();
            for table in &tables {
                assert_eq!(tenants(&mut tx, table).await, [place.organization], "{table}");
            }
            drop(tx);
            // The very same connection to the database, for a client that binds nothing.
            let unbound =
                refusal(run(&mut plain, "begin; set local role tenant_rows; select from tenant.contacts").await);
            assert!(unbound.starts_with("22P02"), "{unbound}");
            run(&mut plain, "rollback").await.unwrap();
            let refused = refusal(run(&mut plain, "select from tenant.contacts").await);
            assert!(refused.starts_with("42501"), "{refused}");
            bind(&mut plain, place.organization).await;
            run(&mut plain, "commit").await.unwrap();
        }
    }
}

// control: TEN-03
#[tokio::test]
async fn the_application_starts_again_and_again_behind_the_same_pooler() {
    let database = Database::create().await;
    let pooler = PgBouncer::start(&database, 1).await;
    for _ in 0..3 {
        let config = tenancy::Config {
            url: SecretString::from(pooler.web_url.clone()),
            max_connections: 2,
            acquire_timeout_ms: 5_000,
            statement_cache: 0,
        };
        let db = Db::connect(&config, true).await.unwrap();
        db.ready().await.unwrap();
        drop(db.begin::<Read, Tenant>(TenantId::from(Uuid::now_v7())).await.unwrap());
    }
}
