use std::time::Duration;

use fair::FairSemaphore;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor, PgConnection};

use crate::claim::Claim;
use crate::config::{Config, is_protected};
use crate::connection::{Connection, Key, key};
use crate::error::Error;
use crate::ids::TenantId;
use crate::plane::{self, Identity, Mode, Owned, Read, Write};
use crate::tx::{self, Tx};

/// Oldest release of each major version that is safe for row-level security. They have fixes for CVE-2025-8713 (statistics
/// reveal rows behind policies), CVE-2024-10976 and CVE-2023-2455 (policies of another role).
const MIN_SAFE_VERSIONS: [i32; 3] = [150_014, 160_010, 170_006];

/// Longest wait for a transaction to end when its connection returns to the pool.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The only access to the database. `main.rs` builds it once and moves it into the crates that guard it. It is never part of a
/// handler's state.
#[derive(Clone, Debug)]
pub struct Db {
    #[expect(clippy::disallowed_types, reason = "this is the only place that holds the pool")]
    pool: sqlx::PgPool,
    places: FairSemaphore<Key>,
}

/// The key of the readiness check.
const READINESS: Key = ("readiness", None);

impl Db {
    /// Connects, and checks that the server enforces policies. In production it also checks that the login cannot bypass them.
    ///
    /// # Errors
    ///
    /// [`Error::ServerTooOld`], [`Error::LoginTooPowerful`] or [`Error::Unprotected`] if a check fails. Any other error: the database
    /// cannot be reached.
    pub async fn connect(config: &Config, production: bool) -> Result<Self, Error> {
        let options: PgConnectOptions = config.url.expose_secret().parse()?;
        let options = options.statement_cache_capacity(config.statement_cache);
        // sqlx 0.9 gives every prepared statement a name, even if it is not cached. Behind a pooler, the names of several clients
        // collide. So the statements are removed at the end of the transaction.
        let end = if config.statement_cache == 0 { "ROLLBACK; DEALLOCATE ALL" } else { "ROLLBACK" };
        let mut probe = PgConnection::connect_with(&options).await?;
        // In one transaction, because a pooler may use another connection for each statement.
        probe.execute("BEGIN READ ONLY").await?;
        check_version(&mut probe).await?;
        if production && too_powerful(&mut probe).await? {
            return Err(Error::LoginTooPowerful);
        }
        probe.execute(end).await?;
        probe.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
            // sqlx checks each connection when it returns. Another check before use would cost every request a round trip.
            .test_before_acquire(false)
            .after_release(move |connection, _| {
                Box::pin(async move {
                    // Every connection returns inside a transaction (see `Tx::commit`), even after a request that was
                    // cancelled in the middle of a message. The transaction ends here, and with it role, tenant and person.
                    // A connection that does not respond is closed. Otherwise the pool would wait for it forever.
                    let ended = tokio::time::timeout(CLOSE_TIMEOUT, connection.execute(end)).await;
                    Ok(ended.is_ok_and(|ended| ended.is_ok()))
                })
            })
            .connect_with(options)
            .await?;
        let total = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
        Ok(Self { pool, places: FairSemaphore::new(total, Duration::from_millis(config.acquire_timeout_ms)) })
    }

    /// Begins a transaction that is bound to one organization, or to one person outside any organization.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] if no connection became free in time, and other errors of the database.
    pub async fn begin<M: Mode, P: Owned>(&self, owner: P::Owner) -> Result<Tx<M, P>, Error> {
        let owner = owner.into();
        tx::begin(self.connection(key::<P>(Some(owner))).await?, &[(P::SETTING, owner)]).await
    }

    /// Begins a transaction on users, sessions and sign-ins. Only `authn` uses it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_identity<M: Mode>(&self) -> Result<Tx<M, Identity>, Error> {
        tx::begin(self.connection(key::<Identity>(None)).await?, &[]).await
    }

    /// The same for a message of an organization's provider. It uses that organization's share of the connections.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_identity_for<M: Mode>(&self, organization: Option<TenantId>) -> Result<Tx<M, Identity>, Error> {
        tx::begin(self.connection(key::<Identity>(organization.map(TenantId::uuid))).await?, &[]).await
    }

    /// Begins a transaction that can only append to the audit log. Only `audit` uses it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_audit(&self) -> Result<Tx<Write, plane::Audit>, Error> {
        tx::begin(self.connection(key::<plane::Audit>(None)).await?, &[]).await
    }

    /// Begins a transaction on the queue of jobs. Only `jobs` and its handlers use it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_jobs(&self) -> Result<Tx<Write, plane::Jobs>, Error> {
        tx::begin(self.connection(key::<plane::Jobs>(None)).await?, &[]).await
    }

    /// Begins a transaction that can only delete expired rows. Only the janitor of `jobs` uses it.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_janitor(&self) -> Result<Tx<Write, plane::Janitor>, Error> {
        tx::begin(self.connection(key::<plane::Janitor>(None)).await?, &[]).await
    }

    /// Connects with the login that owns the database, for the commands of an operator.
    ///
    /// # Errors
    ///
    /// [`Error::Unprotected`] if the connection to another machine is not protected. Otherwise as [`connect`](Self::connect).
    pub async fn connect_as_owner(url: SecretString) -> Result<Self, Error> {
        need_protection(&url)?;
        let config = Config { url, max_connections: 1, acquire_timeout_ms: 10_000, statement_cache: 100 };
        Self::connect(&config, false).await
    }

    /// Begins a transaction of an operator. Only the owner of the database can do this. The application's login is refused.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_operator<M: Mode>(&self) -> Result<Tx<M, plane::Operator>, Error> {
        tx::begin(self.connection(key::<plane::Operator>(None)).await?, &[]).await
    }

    /// Checks that the database responds and that its schema exists.
    ///
    /// # Errors
    ///
    /// The database does not respond, or has no schema.
    pub async fn ready(&self) -> Result<(), Error> {
        // It has a share of its own, so the result is about the database even if other requests wait for connections.
        let mut tx = tx::begin::<Read, Identity>(self.connection(READINESS).await?, &[]).await?;
        tx.execute("select from identity.users limit 0").await?;
        Ok(())
    }

    /// Waits until every connection has returned, and closes them.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection, as soon as it is the turn of `key`. One organization never holds all connections.
    #[expect(clippy::disallowed_methods, reason = "the only place that takes a connection; it never leaves unbound")]
    pub(crate) async fn connection(&self, key: Key) -> Result<Connection, Error> {
        let claim = Claim::take()?;
        let place = self.places.acquire(key).await.ok_or(Error::Busy)?;
        let pooled = self.pool.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => Error::Busy,
            error => Error::Database(error),
        })?;
        Ok(Connection::new(pooled, claim, place))
    }
}

/// Refuses a URL of the owner's login if somebody on the network could get hold of the password. That login can do everything.
pub(crate) fn need_protection(owner: &SecretString) -> Result<(), Error> {
    if is_protected(owner) { Ok(()) } else { Err(Error::Unprotected) }
}

pub(crate) async fn check_version(connection: &mut PgConnection) -> Result<(), Error> {
    let version = sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "version!""#)
        .fetch_one(connection)
        .await?;
    if keeps_policies(version) { Ok(()) } else { Err(Error::ServerTooOld(version)) }
}

/// Whether a release (in the form of `server_version_num`) has the fixes of [`MIN_SAFE_VERSIONS`], or is of a major version that
/// never had these faults.
fn keeps_policies(version: i32) -> bool {
    match MIN_SAFE_VERSIONS.iter().find(|from| **from / 10_000 == version / 10_000) {
        Some(from) => version >= *from,
        None => version >= 180_000,
    }
}

/// Whether the login has rights of its own, can become other roles than those of the planes, or owns anything. Also whether one
/// of those roles could bypass row-level security.
async fn too_powerful(connection: &mut PgConnection) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select (r.rolsuper or r.rolbypassrls or r.rolinherit or r.rolcreaterole or r.rolcreatedb or r.rolreplication
                   or exists (select from pg_roles other
                               where other.oid <> r.oid and pg_has_role(r.oid, other.oid, 'member')
                                 and other.rolname not in ('tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows'))
                   -- Owns something, or was granted something itself (but to connect to a database).
                   or exists (select from pg_shdepend d
                               where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
                                 and (d.deptype = 'o' or d.deptype = 'a' and d.classid <> 'pg_database'::regclass))
                   or exists (select from pg_roles plane
                               where plane.rolname in ('tenant_rows', 'account_rows', 'identity_rows', 'audit_rows', 'jobs_rows', 'janitor_rows')
                                 and (plane.rolsuper or plane.rolbypassrls or plane.rolcreaterole or plane.rolcreatedb
                                      or plane.rolreplication
                                      or exists (select from pg_shdepend d
                                                  where d.refclassid = 'pg_authid'::regclass and d.refobjid = plane.oid
                                                    and d.deptype = 'o'))))
                  as "powerful!"
             from pg_roles r where r.rolname = session_user"#
    )
    .fetch_one(connection)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::keeps_policies;

    // control: TEN-01
    #[test]
    fn a_server_with_known_faults_in_row_level_security_is_refused() {
        let releases = [
            (90_624, false),
            (140_019, false),
            (149_999, false),
            (150_000, false),
            (150_013, false),
            (150_014, true),
            (150_099, true),
            (160_000, false),
            (160_009, false),
            (160_010, true),
            (170_005, false),
            (170_006, true),
            (180_000, true),
            (190_001, true),
        ];
        for (version, safe) in releases {
            assert_eq!(keeps_policies(version), safe, "{version}");
        }
    }
}
