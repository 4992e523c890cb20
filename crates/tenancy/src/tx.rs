use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use fair::Place;
use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, Postgres};
use uuid::Uuid;

use crate::claim::Claim;
use crate::connect::Key;
use crate::{Error, TenantId, UserId};

mod sealed {
    pub trait Sealed {}
}

/// What a transaction may do: [`Read`] or [`Write`].
pub trait Mode: sealed::Sealed + std::fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    const BEGIN: &'static str;
}

/// May only look. The database refuses writes as well, and every query of the transaction sees the same moment.
#[derive(Debug)]
pub enum Read {}
/// May look and change.
#[derive(Debug)]
pub enum Write {}

impl sealed::Sealed for Read {}
impl sealed::Sealed for Write {}
impl Mode for Read {
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
}
impl Mode for Write {
    const BEGIN: &'static str = "BEGIN";
}

/// Whose rows a transaction sees: each plane is one database role with its own grants and policies.
pub trait Plane: sealed::Sealed + std::fmt::Debug + Send + Sync + 'static {
    #[doc(hidden)]
    const ROLE: &'static str;
}

/// Rows of one organization.
#[derive(Debug)]
pub enum Tenant {}
/// What one person sees outside any organization.
#[derive(Debug)]
pub enum Account {}
/// Users, sessions and running sign-ins, and where a person belongs.
#[derive(Debug)]
pub enum Identity {}
/// Appending to the audit log.
#[derive(Debug)]
pub enum Audit {}
/// What is to be done later.
#[derive(Debug)]
pub enum Jobs {}
/// Deleting what has been kept for long enough.
#[derive(Debug)]
pub enum Janitor {}
/// What an operator does for the people of the installation. The login of the application cannot become it.
#[derive(Debug)]
pub enum Operator {}

impl sealed::Sealed for Tenant {}
impl sealed::Sealed for Account {}
impl sealed::Sealed for Identity {}
impl sealed::Sealed for Audit {}
impl sealed::Sealed for Jobs {}
impl sealed::Sealed for Janitor {}
impl sealed::Sealed for Operator {}
impl Plane for Tenant {
    const ROLE: &'static str = "tenant_rows";
}
impl Plane for Account {
    const ROLE: &'static str = "account_rows";
}
impl Plane for Identity {
    const ROLE: &'static str = "identity_rows";
}
impl Plane for Audit {
    const ROLE: &'static str = "audit_rows";
}
impl Plane for Jobs {
    const ROLE: &'static str = "jobs_rows";
}
impl Plane for Janitor {
    const ROLE: &'static str = "janitor_rows";
}
impl Plane for Operator {
    const ROLE: &'static str = "operator_rows";
}

/// A plane whose rows have an owner, to whom its transactions are bound: one organization or one person.
pub trait Owned: Plane {
    /// Type of the owner.
    type Owner: Copy + Into<Uuid> + Send + Sync;
    #[doc(hidden)]
    const SETTING: &'static str;
}

impl Owned for Tenant {
    type Owner = TenantId;
    const SETTING: &'static str = "app.tenant_id";
}
impl Owned for Account {
    type Owner = UserId;
    const SETTING: &'static str = "app.user_id";
}

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

/// A connection of the pool, the request's claim to it, and the place it takes among those who share the pool.
#[derive(Debug)]
pub(crate) struct Connection {
    pooled: PoolConnection<Postgres>,
    _claim: Claim,
    _place: Place<Key>,
}

impl Connection {
    pub(crate) fn new(pooled: PoolConnection<Postgres>, claim: Claim, place: Place<Key>) -> Self {
        Self { pooled, _claim: claim, _place: place }
    }
}

impl Deref for Connection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.pooled
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.pooled
    }
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
