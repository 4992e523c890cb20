use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, PgConnection, Postgres, SqlStr};

/// A connection of the superuser that is used again: dropped, it waits for the next who asks.
#[derive(Debug)]
pub(crate) struct Owner {
    /// `None` only while it is dropped.
    connection: Option<PgConnection>,
    idle: Arc<Mutex<Vec<PgConnection>>>,
}

impl Owner {
    pub(super) fn new(connection: PgConnection, idle: Arc<Mutex<Vec<PgConnection>>>) -> Self {
        Self { connection: Some(connection), idle }
    }
}

impl Deref for Owner {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().unwrap()
    }
}

impl DerefMut for Owner {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().unwrap()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.idle.lock().unwrap().extend(self.connection.take());
    }
}

/// As of the connection itself.
impl<'c> Executor<'c> for &'c mut Owner {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut **self).fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        (&mut **self).fetch_optional(query)
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        (&mut **self).prepare_with(sql, types)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        (&mut **self).describe(sql)
    }
}
