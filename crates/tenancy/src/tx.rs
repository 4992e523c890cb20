use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use sqlx::{Executor, PgConnection};
use uuid::Uuid;

use crate::connection::Connection;
use crate::error::Error;
use crate::plane::{Mode, Plane, Tenant, Write};

/// A transaction that is bound before anyone can use it. Dropped, it is rolled back.
///
/// A transaction that reads cannot be handed to code that writes:
///
/// ```compile_fail,E0308
/// async fn insert(tx: &mut tenancy::Tx<tenancy::Write>) {}
/// async fn list(mut tx: tenancy::Tx<tenancy::Read>) {
///     insert(&mut tx).await;
/// }
/// ```
///
/// nor be committed, because there is nothing to commit:
///
/// ```compile_fail,E0599
/// async fn list(tx: tenancy::Tx<tenancy::Read>) {
///     tx.commit().await;
/// }
/// ```
///
/// A transaction on one plane does not pass for one on another:
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
    /// Makes everything done in this transaction last.
    pub async fn commit(mut self) -> Result<(), Error> {
        // The pool rolls back what is open when a connection returns. A new, empty transaction to roll back is cheaper
        // than telling the two cases apart. The query in front fails where a statement has failed before: PostgreSQL
        // would answer that COMMIT with a rollback and no error, and the caller would believe it was done.
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

/// Sends begin, role and settings as one message, so binding costs a single round trip and there is no moment at which
/// the connection is in a transaction but not bound.
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

#[expect(clippy::disallowed_methods, reason = "nothing in it is anybody's string")]
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Error> {
    // SECURITY: the text is made of constants and of UUIDs that we print ourselves; nothing in it is anybody's string.
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
    Ok(())
}

/// Turns a violated database constraint into an error the caller can show.
pub trait OnConstraint<T> {
    /// `Err(otherwise())` where the constraint `name` was violated; any other failure as it is.
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
