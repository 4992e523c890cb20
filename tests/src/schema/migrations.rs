//! Migrations: each builds on those before it, and a feature's can be left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sqlx::{Connection, Executor, PgConnection, Row};

use super::migrated;
use crate::harness::registry;
use crate::policies::{PRIVILEGED, ROLES};

/// What every feature builds on.
const BASE: [&str; 5] =
    ["0001_schemas.sql", "0002_identity.sql", "0003_tenancy.sql", "0004_authentication.sql", "0005_audit.sql"];

/// Features whose migration has the name of what they show.
const MIGRATION_OF: [(&str, &str); 5] = [
    ("authenticator", "totp"),
    ("clients", "api_clients"),
    ("failed_jobs", "jobs"),
    ("one_time_key", "one_time_keys"),
    ("settings", "sso"),
];

struct Migration {
    name: String,
    sql: String,
}

/// The numbered migrations in their order.
fn migrations() -> Vec<Migration> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .map(|path| Migration {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            sql: fs::read_to_string(&path).unwrap(),
        })
        .filter(|migration| migration.name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(all.len() > BASE.len());
    all
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await.map(|_| ())
}

/// An empty database, until the transaction ends.
async fn emptied(owner: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut tx = owner.begin().await.unwrap();
    run(&mut tx, "drop schema identity, tenant, audit, jobs cascade; set local role migrator").await.unwrap();
    tx
}

/// Somebody who is signed in and a member, and what the look-up of their request says.
const SIGNED_IN: &str = "
    reset role;
    insert into identity.users (id, display_name, created_at) values (gen_random_uuid(), 'Olivia Owner', now());
    insert into tenant.organizations (tenant_id, name) values (gen_random_uuid(), 'Acme');
    insert into tenant.memberships (tenant_id, user_id, role) select tenant_id, id, 'owner' from tenant.organizations, identity.users;
    insert into identity.sessions (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, device, network, new_device,
                                   last_device, last_network, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
    select gen_random_uuid(), id, sha256('token'), 'dev', 'i', 's', now(), '{oidc}', '', '', false, '', '', now(), now(), now(),
           now() + interval '1 hour', now() + interval '1 hour' from identity.users;
    select set_config('test.tenant', tenant_id::text, true) from tenant.organizations;
    set local role identity_rows";
const LOOK_UP: &str = "
    select answer -> 'session' ->> 'name', answer -> 'membership' ->> 'role', answer -> 'membership' ->> 'unaccepted',
           current_setting('app.tenant_id', true) = current_setting('test.tenant'),
           array[json_typeof(answer #> '{session,facts}'), json_typeof(answer #> '{membership,facts}'), json_typeof(answer -> 'waiting')]
      from identity.authenticate(sha256('token'), now(), current_setting('test.tenant')::uuid, null) answer";

#[tokio::test]
async fn without_the_migration_of_any_feature_people_are_authenticated() {
    let database = migrated().await;
    let mut owner = database.session().await;
    let all = migrations();
    for base in BASE {
        assert!(all.iter().any(|migration| migration.name == base), "{base}");
    }
    let mut failed = Vec::new();
    for left_out in all.iter().filter(|migration| !BASE.contains(&&*migration.name)) {
        let mut tx = emptied(&mut owner).await;
        for migration in all.iter().filter(|migration| migration.name != left_out.name) {
            if let Err(error) = run(&mut tx, &migration.sql).await {
                failed.push(format!("{} builds on {}: {error}", migration.name, left_out.name));
                break;
            }
        }
        if failed.is_empty() {
            run(&mut tx, SIGNED_IN).await.unwrap();
            let row = sqlx::query(LOOK_UP).fetch_one(&mut *tx).await;
            let row = row.unwrap_or_else(|error| panic!("without {}: {error}", left_out.name));
            let facts: Vec<String> = row.get(4);
            assert_eq!(facts, ["object"; 3], "without {}: facts that the application cannot read", left_out.name);
            let found: (String, String, Option<String>, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
            assert_eq!(found, ("Olivia Owner".into(), "owner".into(), None, true), "without {}", left_out.name);
        }
        tx.rollback().await.unwrap();
    }
    assert!(
        failed.is_empty(),
        "\n{}\nA feature can be left out: what others need of it belongs into the base, or into a migration of their own.\n",
        failed.join("\n")
    );
}

/// What the catalog knows at one point: tables and functions by their full names, and names of columns.
#[derive(Default)]
struct Known {
    things: BTreeSet<String>,
    columns: BTreeSet<String>,
}

impl Known {
    async fn now(connection: &mut PgConnection) -> Self {
        let schemas = "('identity', 'tenant', 'audit', 'jobs')";
        let things = format!(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in {schemas}
             union select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in {schemas}
             union select n.nspname || '.' || c.collname from pg_collation c join pg_namespace n on n.oid = c.collnamespace where n.nspname in {schemas}"
        );
        let columns = format!(
            "select distinct a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
              join pg_namespace n on n.oid = c.relnamespace where n.nspname in {schemas} and a.attnum > 0"
        );
        let mut all = async |sql| {
            let names: Vec<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut *connection).await.unwrap();
            names.into_iter().collect()
        };
        Self { things: all(things).await, columns: all(columns).await }
    }
}

/// Names in the bodies of functions that are not known yet, by function. `PostgreSQL` looks them up when the function runs.
async fn unknown(connection: &mut PgConnection, known: &Known, later: &Known) -> Vec<(String, String)> {
    // With their schema, or as a column after an alias. Comments, settings (app.user_id) and fields of a record are neither.
    let names: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        r"select n.nspname || '.' || p.proname, name[1], name[4]
           from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang,
                regexp_matches(regexp_replace(p.prosrc, '--[^\n]*|app\.[a-z_]+', '', 'g'),
                               '\m((identity|tenant|audit|jobs)\.[a-z_0-9]+)\M|(\m[a-z_0-9]+)?\.([a-z_0-9]+)\M', 'g') name
          where n.nspname in ('identity', 'tenant', 'audit', 'jobs') and l.lanname = 'plpgsql'
            and (name[3] is null or p.prosrc !~ ('\m' || name[3] || '\s+record\M'))",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    let is_later =
        |one: &BTreeSet<String>, all: &BTreeSet<String>, name: &String| all.contains(name) && !one.contains(name);
    let of_function = names.into_iter().filter_map(|(function, thing, column)| {
        let thing = thing.filter(|name| is_later(&known.things, &later.things, name));
        let column = column.filter(|name| is_later(&known.columns, &later.columns, name));
        Some((function, thing.or(column)?))
    });
    of_function.collect()
}

/// What functions read too early, if these are the migrations.
async fn read_too_early(owner: &mut PgConnection, migrations: &[Migration]) -> Vec<String> {
    let mut tx = emptied(owner).await;
    for migration in migrations {
        run(&mut tx, &migration.sql).await.unwrap_or_else(|error| {
            panic!("{} reads what no earlier migration makes, or is wrong: {error}", migration.name)
        });
    }
    let last = Known::now(&mut tx).await;
    tx.rollback().await.unwrap();
    let mut tx = emptied(owner).await;
    let mut complaints = BTreeSet::new();
    for migration in migrations {
        run(&mut tx, &migration.sql).await.unwrap();
        let known = Known::now(&mut tx).await;
        for (function, name) in unknown(&mut tx, &known, &last).await {
            complaints.insert(format!(
                "{function} of {} or an earlier migration reads `{name}`, which a later one makes. Move the function into the \
                 migration that makes it, or have that migration register what it adds (identity.add_facts, \
                 identity.add_refusal).",
                migration.name
            ));
        }
    }
    tx.rollback().await.unwrap();
    complaints.into_iter().collect()
}

#[tokio::test]
async fn no_migration_reads_what_a_later_one_makes() {
    let database = migrated().await;
    let mut owner = database.session().await;
    let mut all = migrations();
    let complaints = read_too_early(&mut owner, &all).await;
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));

    // A function whose table or column comes later is seen.
    let early = "create function tenant.early() returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
                 begin return exists (select from audit.decisions) or (select e.about_token from audit.events e); end; $$;";
    all[2].sql.push_str(early);
    let complaints = read_too_early(&mut owner, &all).await;
    for name in ["audit.decisions", "audit.events", "about_token"] {
        assert!(complaints.iter().any(|line| line.contains("tenant.early") && line.contains(name)), "{complaints:?}");
    }
}

#[tokio::test]
async fn facts_of_what_is_not_there_yet_stop_the_migration_and_say_what_to_do() {
    let database = migrated().await;
    let mut owner = database.session().await;
    for call in [
        "identity.add_facts('early', 'member', 'true', '(select jsonb_build_object(''x'', x.id) from tenant.later x)')",
        "identity.add_facts('early', 'session', 's.later', 'null')",
        "identity.add_refusal('early', of_session => 'm.later')",
        "identity.add_refusal('early', of_client => 'tenant.later(c.id)')",
    ] {
        let refused = run(&mut owner, &format!("begin; set local role migrator; select {call}")).await.unwrap_err();
        let refused = refused.into_database_error().unwrap();
        let refused = refused.downcast_ref::<sqlx::postgres::PgDatabaseError>();
        assert!(refused.message().contains("cannot be read yet"), "{call}: {refused:?}");
        assert!(refused.hint().is_some_and(|hint| hint.contains("an earlier one")), "{call}: {refused:?}");
        run(&mut owner, "rollback").await.unwrap();
    }
}

// control: IDN-09
#[tokio::test]
async fn roles_are_listed_by_what_they_may_do_in_one_function_each() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut texts: Vec<(String, String)> =
        migrations().into_iter().map(|migration| (migration.name, migration.sql)).collect();
    sources(&folder, &mut texts);
    let database = migrated().await;
    let mut owner = database.session().await;
    let mut found = Vec::new();
    for (name, text) in &texts {
        let lists: Vec<String> = sqlx::query_scalar("select m[1] from regexp_matches($1, $2, 'g') m")
            .bind(text)
            .bind(r"\min\s*\(('[a-z_]+'(?:\s*,\s*'[a-z_]+')*)\)")
            .fetch_all(&mut owner)
            .await
            .unwrap();
        for list in lists {
            let roles: BTreeSet<&str> = list.split(',').map(|role| role.trim().trim_matches('\'')).collect();
            let is_of_roles = roles.iter().all(|role| ROLES.contains(role));
            // All roles, all but the owner, and those of service accounts are no groups by what they may do.
            if is_of_roles && roles.iter().any(|role| PRIVILEGED.contains(role)) && !roles.contains("viewer") {
                found.push(format!("{name}: {list}"));
            }
        }
    }
    assert_eq!(
        found,
        ["0003_tenancy.sql: 'owner', 'admin', 'billing_admin', 'finance'", "0003_tenancy.sql: 'owner', 'admin'"],
        "call tenant.is_privileged or tenant.is_administrator instead of listing roles"
    );
    let privileged: Vec<String> =
        sqlx::query_scalar("select role from unnest($1::text[]) role where tenant.is_privileged(role)")
            .bind(ROLES.map(str::to_owned))
            .fetch_all(&mut owner)
            .await
            .unwrap();
    assert_eq!(privileged, PRIVILEGED, "as the group of the policies");
}

fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn a_feature_reads_tables_of_the_base_and_of_its_own_migration() {
    let mut tables = BTreeMap::new();
    for migration in migrations() {
        for (_, rest) in
            migration.sql.match_indices("create table ").map(|(at, found)| migration.sql.split_at(at + found.len()))
        {
            tables.insert(rest.split_whitespace().next().unwrap().to_owned(), migration.name.clone());
        }
    }
    assert!(tables.len() > 30, "{tables:?}");
    let features = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/app/src/features");
    let mut files = Vec::new();
    sources(&features, &mut files);
    let mut wrong = BTreeSet::new();
    for (file, text) in &files {
        let feature = Path::new(file).strip_prefix(&features).unwrap().iter().next().unwrap().to_str().unwrap();
        let own = MIGRATION_OF.iter().find(|(name, _)| *name == feature).map_or(feature, |(_, migration)| migration);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let names = code.flat_map(|line| line.split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == '.')));
        for (table, migration) in names.filter_map(|name| tables.get_key_value(name)) {
            if !BASE.contains(&&**migration) && migration[5..] != format!("{own}.sql") {
                wrong.insert(format!("features/{feature} names {table} of {migration}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\nLet the feature of the table register a hook or a panel, or store what is read in the event.\n",
        Vec::from_iter(wrong).join("\n")
    );
}

#[tokio::test]
async fn the_database_knows_the_kinds_of_approvals_that_features_execute() {
    let database = migrated().await;
    let mut owner = database.session().await;
    let stored: Vec<String> = sqlx::query_scalar("select kind from identity.approval_kinds order by kind")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let registry = registry();
    let registered: BTreeSet<&str> = registry.pending_action_kinds().collect();
    assert_eq!(
        stored,
        Vec::from_iter(registered),
        "a migration of the feature adds its kind to identity.approval_kinds"
    );
}
