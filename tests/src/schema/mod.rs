//! Rules the database must keep, read from its own catalogs, so that a migration that breaks one is named here.
//!
//! Each rule also carries something that breaks it, which is done and undone: a rule that sees nothing protects nothing.

mod functions;
mod migrations;
mod roles;
mod snapshot;
mod tables;
mod values;

use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection};

use crate::harness::Database;

/// One rule of the schema.
struct Rule {
    /// What holds, as the message puts it after the name of an offender.
    says: &'static str,
    /// A query for the names of everything that breaks it.
    offenders: &'static str,
    /// Statements that break it, run by the superuser and undone,
    broken_by: &'static str,
    /// and the offender the query must name then.
    names: &'static str,
}

/// A database that was migrated itself: rights on a database are not copied from its template.
async fn migrated() -> Database {
    let database = Database::create().await;
    tenancy::migrate(&SecretString::from(database.owner_url.clone())).await.unwrap();
    database
}

/// Fails with every offender of every rule, and with every rule that does not see what breaks it.
async fn hold(rules: &[Rule]) {
    let database = migrated().await;
    let mut owner = database.session().await;
    let mut complaints = Vec::new();
    for rule in rules {
        complaints.extend(offenders(&mut owner, rule).await.iter().map(|name| format!("{name}: {}", rule.says)));
        let mut undone = owner.begin().await.unwrap();
        undone.execute(sqlx::raw_sql(rule.broken_by)).await.unwrap();
        if !offenders(&mut undone, rule).await.iter().any(|name| name == rule.names) {
            complaints.push(format!("the rule \"{}\" does not see {}", rule.says, rule.names));
        }
        undone.rollback().await.unwrap();
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

async fn offenders(connection: &mut PgConnection, rule: &Rule) -> Vec<String> {
    sqlx::query_scalar(rule.offenders).fetch_all(connection).await.unwrap_or_else(|e| panic!("{}: {e}", rule.says))
}
