//! Identifiers: UUIDs of version 7, and nothing that counts.

use std::collections::BTreeSet;

use super::{Rule, hold};
use crate::harness::World;

const IDS_ARE_UUIDS: Rule = Rule {
    says: "is called an id and is no uuid",
    offenders: "
        select c.oid::regclass || '.' || a.attname from pg_attribute a
          join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('tenant', 'audit', 'identity', 'jobs') and c.relkind in ('r', 'p') and a.attnum > 0
           and not a.attisdropped and a.attname ~ '(^|_)id$' and a.atttypid <> 'uuid'::regtype
           -- given out by the authority, made by the authenticator, and given by a provider: as they write them
           and c.oid::regclass || '.' || a.attname not in
               ('tenant.contacts.tax_id', 'identity.passkeys.credential_id', 'tenant.identity_providers.client_id')",
    broken_by: "alter table tenant.contacts add parent_id bigint",
    names: "tenant.contacts.parent_id",
};

const NOTHING_COUNTS: Rule = Rule {
    says: "counts, which tells outsiders how much there is",
    offenders: "
        select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'S' and n.nspname not in ('pg_catalog', 'information_schema')",
    broken_by: "alter table tenant.contacts add number bigint generated always as identity",
    names: "tenant.contacts_number_seq",
};

// control: TEN-07
#[tokio::test]
async fn ids_are_uuids_and_nothing_counts() {
    hold(&[IDS_ARE_UUIDS, NOTHING_COUNTS]).await;
}

/// The tables that the requests of this test write.
const WRITTEN: [&str; 8] = [
    "audit.decisions",
    "audit.events",
    "identity.sessions",
    "identity.users",
    "tenant.contacts",
    "tenant.memberships",
    "tenant.organizations",
    "tenant.workspaces",
];

// control: TEN-07
#[tokio::test]
async fn every_id_the_application_makes_is_of_version_7() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(olivia.post("/organizations", &[("name", "Initech")]).await.status, 303);
    let contacts = world.acme.contacts();
    assert_eq!(olivia.post(&contacts, &[("name", "Ada")]).await.status, 303);
    assert_eq!(olivia.get(&contacts).await.status, 200);
    world.settle_decisions().await;

    let mut owner = world.database.session().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select c.oid::regclass::text, a.attname::text from pg_attribute a
           join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('tenant', 'audit', 'identity', 'jobs') and c.relkind = 'r' and a.atttypid = 'uuid'::regtype",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let mut seen = BTreeSet::new();
    for (table, column) in columns {
        // Names from the catalog, quoted by it.
        let sql = format!("select {column}::text from {table} where {column} is not null");
        let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut owner).await.unwrap();
        if !ids.is_empty() {
            seen.insert(table.clone());
        }
        for id in ids {
            let version = uuid::Uuid::parse_str(&id).unwrap().get_version_num();
            assert_eq!(version, 7, "{table}.{column}: {id}");
        }
    }
    for table in WRITTEN {
        assert!(seen.contains(table), "{table}: no id was checked; {seen:?}");
    }
}
