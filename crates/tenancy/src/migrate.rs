use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, Executor, PgConnection};

use crate::connect::{check_version, need_protection};
use crate::error::Error;

/// Why the schema could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The server is too old, or does not respond.
    #[error(transparent)]
    Database(#[from] Error),
    /// A migration failed, or an applied migration has changed since.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Creates the roles and applies the missing migrations, as the role `migrator`.
///
/// `owner` is the URL of a login that can create roles and owns the database. A second run changes nothing.
///
/// On a database that is in use, it waits three seconds for a lock. All other requests for the same table wait behind it. Then it
/// lets them go first and tries again, for about two minutes. Completed migrations stay. The current one is rolled back.
///
/// # Errors
///
/// [`MigrateError`]: the server is unsuitable, or a migration fails.
pub async fn migrate(owner: &SecretString) -> Result<(), MigrateError> {
    need_protection(owner)?;
    let mut pauses = PAUSES.iter();
    loop {
        match apply(owner).await {
            Err(error) if was_in_the_way(&error) => match pauses.next() {
                Some(seconds) => {
                    tracing::warn!(%error, seconds, "migration lock timed out; retrying");
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                None => return Err(error),
            },
            done => return done,
        }
    }
}

const PAUSES: [u64; 8] = [1, 2, 4, 8, 15, 30, 30, 30];

/// Whether another transaction caused the error: a lock timeout, a deadlock or a serialization failure.
fn was_in_the_way(error: &MigrateError) -> bool {
    let source = match error {
        MigrateError::Database(Error::Database(error))
        | MigrateError::Migration(
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _),
        ) => Some(error),
        _ => None,
    };
    let code = source.and_then(|error| error.as_database_error()?.code());
    code.is_some_and(|code| ["55P03", "40P01", "40001"].contains(&&*code))
}

async fn apply(owner: &SecretString) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(owner.expose_secret()).await?;
    check_version(&mut connection).await?;
    // This also limits the wait for another migrator. A statement that runs for ten minutes is a mistake, or its table needs another
    // plan.
    connection.execute("set lock_timeout = '3s'; set statement_timeout = '10min'").await?;
    connection.execute(include_str!("../../../migrations/roles.sql")).await?;
    connection.execute("set role migrator").await?;
    sqlx::migrate!("../../migrations").run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
