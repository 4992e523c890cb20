use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::connection::Connection;
use crate::error::Error;
use crate::plane::{Mode, Plane, Tenant, Write};

/// A transaction that is bound before any code can use it. It is rolled back when it is dropped.
///
/// A reading transaction cannot be passed to code that writes:
///
/// ```compile_fail,E0308
/// async fn insert(tx: &mut tenancy::Tx<tenancy::Write>) {}
/// async fn list(mut tx: tenancy::Tx<tenancy::Read>) {
///     insert(&mut tx).await;
/// }
/// ```
///
/// It cannot be committed, because there is nothing to commit:
///
/// ```compile_fail,E0599
/// async fn list(tx: tenancy::Tx<tenancy::Read>) {
///     tx.commit().await;
/// }
/// ```
///
/// A transaction on one plane cannot be used as one on another:
///
/// ```compile_fail,E0308
/// async fn contacts(tx: &mut tenancy::Tx<tenancy::Read>) {}
/// async fn account(mut tx: tenancy::Tx<tenancy::Read, tenancy::Account>) {
///     contacts(&mut tx).await;
/// }
/// ```
#[derive(Debug)]
pub struct Tx<M: Mode, P: Plane = Tenant> {
    connection: Connection,
    kind: PhantomData<(M, P)>,
}

impl<M: Mode, P: Plane> Tx<M, P> {
    pub(crate) fn begun(connection: Connection) -> Self {
        Self { connection, kind: PhantomData }
    }
}

impl<P: Plane> Tx<Write, P> {
    /// Commits the transaction.
    ///
    /// # Errors
    ///
    /// [`Error::Commit`]. Whether the changes were made is then not known.
    pub async fn commit(mut self) -> Result<(), Error> {
        // The pool rolls back an open transaction when a connection returns. An empty new one to roll back is cheaper than
        // telling the two cases apart. The SELECT fails if an earlier statement has failed. Without it, PostgreSQL would
        // answer the COMMIT with a rollback and no error, and the caller would believe it was done.
        self.connection.execute("SELECT; COMMIT AND CHAIN").await.map_err(Error::Commit)?;
        Ok(())
    }
}

impl<M: Mode, P: Plane> Deref for Tx<M, P> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl<M: Mode, P: Plane> DerefMut for Tx<M, P> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Sends begin, role and settings as one message. So binding costs one round trip, and the connection is never in a transaction
/// without being bound.
pub(crate) async fn begin<M: Mode, P: Plane>(
    mut connection: Connection,
    settings: &[(&'static str, Uuid)],
) -> Result<Tx<M, P>, Error> {
    let mut sql = format!("{}; SET LOCAL ROLE {}", M::BEGIN, P::ROLE);
    for (name, id) in settings {
        sql.push_str("; SET LOCAL ");
        sql.push_str(name);
        sql.push_str(" = '");
        sql.push_str(&id.to_string());
        sql.push('\'');
    }
    run(&mut connection, sql).await?;
    Ok(Tx::begun(connection))
}

#[expect(clippy::disallowed_methods, reason = "no part of the text is input")]
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Error> {
    // SECURITY: the text consists of constants and of UUIDs that we print ourselves. No part of it is input.
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    Ok(())
}

/// Turns a violated database constraint into an error that the caller can show.
pub trait OnConstraint<T> {
    /// Returns `otherwise()` as the error if the constraint `name` was violated. Any other error stays as it is.
    ///
    /// # Errors
    ///
    /// The given result is an error.
    fn on_constraint<E: From<sqlx::Error>>(self, name: &str, otherwise: impl FnOnce() -> E) -> Result<T, E>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint<E: From<sqlx::Error>>(self, name: &str, otherwise: impl FnOnce() -> E) -> Result<T, E> {
        self.map_err(|error| {
            if error.as_database_error().and_then(|e| e.constraint()) == Some(name) {
                otherwise()
            } else {
                error.into()
            }
        })
    }
}
