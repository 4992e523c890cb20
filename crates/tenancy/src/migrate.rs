use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, Executor, PgConnection};

use crate::connect::check_version;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The server is too old, or does not answer.
    #[error(transparent)]
    Database(#[from] crate::Error),
    /// A migration failed or one that was applied has changed since.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for MigrateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Creates the roles and applies what is missing of the migrations, as the role `migrator`.
///
/// `owner` is the URL of a login that may create roles and owns the database. Running it again changes nothing.
pub async fn migrate(owner: &SecretString) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(owner.expose_secret()).await?;
    check_version(&mut connection).await?;
    connection.execute(include_str!("../../../migrations/roles.sql")).await?;
    connection.execute("set role migrator").await?;
    sqlx::migrate!("../../migrations").run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
