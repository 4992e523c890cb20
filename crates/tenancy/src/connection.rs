use std::ops::{Deref, DerefMut};

use fair::Permit;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

use crate::claim::Claim;
use crate::plane::Plane;

/// The shares of the connections. Each organization has one. For work that belongs to no organization, each plane has one.
pub(crate) type Key = (&'static str, Option<Uuid>);

/// The key of work on the plane `P` for `owner`.
pub(crate) fn key<P: Plane>(owner: Option<Uuid>) -> Key {
    (P::ROLE, owner)
}

/// A connection of the pool, with the request's claim to it and the permit of its share.
#[derive(Debug)]
pub(crate) struct Connection {
    pooled: PoolConnection<Postgres>,
    _claim: Claim,
    _place: Permit<Key>,
}

impl Connection {
    pub(crate) fn new(pooled: PoolConnection<Postgres>, claim: Claim, place: Permit<Key>) -> Self {
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
