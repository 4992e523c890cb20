//! A spare database that replaces the one in use when it is complete.

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

    /// Replaces the database in use with the spare one, and ends the connections of the old one.
    ///
    /// # Errors
    /// If there is no spare database. Nothing has changed then.
    pub async fn use_spare(&self) -> Result<(), Error> {
        let mut connection = PgConnection::connect_with(&self.options("postgres")).await?;
        // The old one is renamed and not dropped. Dropping it would take seconds, because the server first writes the new one to disk.
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

    /// Deletes the replaced database, and the spare one of a failed attempt.
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
