/// Why the database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection became free in time. The request can be retried.
    #[error("no database connection became free in time")]
    Busy,
    /// The request already holds a connection. This is a bug of ours: the code should use the open transaction.
    #[error("a request asked for a second connection while it held one")]
    SecondConnection,
    /// The server is too old to keep tenants apart.
    #[error("PostgreSQL {0} has known faults in row-level security; use at least 15.14, 16.10, 17.6 or 18")]
    ServerTooOld(i32),
    /// The login could bypass row-level security.
    #[error(
        "the database login, or a role it may become, is a superuser, bypasses row-level security, inherits or has rights of \
         its own, or owns something; connect as the role `web` (see migrations/roles.sql)"
    )]
    LoginTooPowerful,
    /// A commit returned an error, or nothing. Whether the change was made is not known, so a retry is not safe.
    #[error("a commit failed, its outcome is not known: {0}")]
    Commit(#[source] sqlx::Error),
    /// Somebody on the network could read the connection or impersonate the server.
    #[error("the database is on another machine; its URL must say sslmode=verify-full")]
    Unprotected,
    /// Any other error of the database or of the connection.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Whether the same request may succeed a moment later: the database could not be reached, was restarting or full, or another
/// transaction held a lock for too long.
#[must_use]
pub fn is_temporary(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let error = match error.downcast_ref::<Error>() {
        Some(Error::Busy) => return true,
        Some(Error::Database(error)) => Some(error),
        Some(_) => return false,
        None => error.downcast_ref::<sqlx::Error>(),
    };
    match error {
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
        Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
            // PostgreSQL, appendix A: connection exceptions, out of resources, a server that is stopping or starting, statement
            // timeout, lock timeout, deadlock, serialization failure.
            let (class, known) = (code.get(..2), ["57P01", "57P02", "57P03", "57014", "55P03", "40P01", "40001"]);
            matches!(class, Some("08" | "53")) || known.contains(&&*code)
        }),
        _ => false,
    }
}
