//! Another database beside the one in use, which takes its place when it is complete.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Cluster, Error};

impl Cluster {
    /// Creates an empty database beside the one in use. Returns the superuser's URL for it.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn create_spare(&self) -> Result<String, Error> {
        self.drop_unused().await?;
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        connection.execute("create database spare").await?;
        connection.close().await?;
        Ok(format!("postgres://owner:{}@127.0.0.1:{}/spare", self.password, self.port))
    }

    /// Puts the spare database in the place of the one in use, and ends the connections of that one.
    ///
    /// # Errors
    /// If there is no spare database; then nothing has changed.
    pub async fn use_spare(&self) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        // Dropping the old one here instead would take seconds: the server writes all of the new one to disk first.
        let rename = "begin;
            alter database spare rename to next;
            select pg_terminate_backend(pid) from pg_stat_activity where datname = 'holdfast';
            alter database holdfast rename to replaced;
            alter database next rename to holdfast;
            commit";
        connection.execute(sqlx::raw_sql(rename)).await?;
        connection.close().await?;
        Ok(())
    }

    /// Deletes the database that was replaced, and what an attempt to replace it has left.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn drop_unused(&self) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        connection.execute("drop database if exists spare with (force)").await?;
        connection.execute("drop database if exists replaced with (force)").await?;
        connection.close().await?;
        Ok(())
    }
}
