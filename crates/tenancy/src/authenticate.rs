use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::access::{ClientFacts, Membership, RequestAccess, SessionFacts, Waiting, WorkspaceFacts};
use crate::connect::Db;
use crate::connection::{Key, key};
use crate::error::Error;
use crate::ids::{TenantId, UserId, WorkspaceId};
use crate::plane::{Mode, Plane};
use crate::tx::Tx;

/// Key of the advisory lock behind [`WriteLocks::serialized`]. Locks of other crates for the same organization have other keys.
const SERIALIZED: i64 = 4;

/// What the URL of a request selects. It grants nothing: the membership is read from the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The organization in the path.
    pub tenant: Option<TenantId>,
    /// The workspace in the path.
    pub workspace: Option<WorkspaceId>,
}

/// Locks that a writing transaction takes before the look-up and holds until it ends. A reading transaction takes none.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteLocks {
    /// The organization that the request was admitted to.
    pub tenant: Option<TenantId>,
    /// The person whose membership there is locked. It cannot end or change before the transaction ends.
    pub user: Option<UserId>,
    /// The API client that is locked in the same way.
    pub client: Option<Uuid>,
    /// Waits for other transactions of the organization that also set this. It is for actions that change memberships: two
    /// people who remove each other would each lock the membership that the other one waits for.
    pub serialized: bool,
    /// The organization that is being created. The transaction is bound to it instead.
    pub new_tenant: Option<TenantId>,
}

/// Whose share of the connections a look-up uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionShare {
    /// That of the organization in the path or, without one, that of the plane.
    Path,
    /// One for all networks that are over their limit. With a share for each path, such a network would get a new share for
    /// each organization that it makes up.
    OverLimit,
}

/// The share of [`ConnectionShare::OverLimit`].
const OVER_LIMIT: Key = ("over_limit", None);

/// The token or signature that an API client has presented.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken {
    /// The client.
    pub client: Uuid,
    /// Family of its token. `None` if it signed the request itself.
    pub family: Option<Uuid>,
    /// Id of its token.
    pub jti: Option<Uuid>,
}

/// The result of `identity.authenticate` and `identity.authenticate_client`.
#[derive(Deserialize)]
struct LookupRow<S> {
    session: S,
    membership: Option<Membership>,
    workspace: Option<WorkspaceFacts>,
    #[serde(default)]
    waiting: Waiting,
}

impl<S> LookupRow<S> {
    fn into_access(self, user: impl FnOnce(&S) -> Option<UserId>) -> (S, RequestAccess) {
        let Self { session, membership, workspace, waiting } = self;
        let user = user(&session);
        (session, RequestAccess { user, membership, workspace, waiting })
    }
}

impl Db {
    /// Looks up the session with this token and binds a transaction to what it may see, in one round trip.
    ///
    /// `None` if no live session has this token. On the tenant plane the transaction is bound to the organization only if
    /// the person is a member. Otherwise every query on tenant rows fails.
    ///
    /// A reading transaction authorizes a request. A second transaction writes after the body has arrived. It begins with the
    /// `locks` and the same look-up, so that it knows the current state of the caller.
    ///
    /// # Errors
    ///
    /// The database cannot be reached or refuses a statement. [`Error::Busy`] if no connection became free in time.
    pub async fn authenticate<M: Mode, P: Plane>(
        &self,
        token_hash: &[u8; 32],
        now: DateTime<Utc>,
        scope: Scope,
        locks: WriteLocks,
        share: ConnectionShare,
    ) -> Result<Option<(SessionFacts, Tx<M, P>, RequestAccess)>, Error> {
        let mut hash = String::with_capacity(64);
        for byte in token_hash {
            let _ = write!(hash, "{byte:02x}");
        }
        let call = format!("identity.authenticate('\\x{hash}', '{}', {})", now.to_rfc3339(), scope.sql());
        let found = self.look_up::<M, P, SessionFacts>(scope, &call, locks, share).await?;
        Ok(found.map(|(tx, row)| {
            let (session, access) = row.into_access(|session| Some(session.user));
            (session, tx, access)
        }))
    }

    /// Looks up an API client and binds a transaction to what it may see, as [`authenticate`](Self::authenticate) does for a
    /// session. `None` if the client is deleted, or its token was revoked.
    ///
    /// # Errors
    ///
    /// As [`authenticate`](Self::authenticate).
    pub async fn authenticate_client<M: Mode, P: Plane>(
        &self,
        presented: PresentedToken,
        scope: Scope,
        locks: WriteLocks,
    ) -> Result<Option<(ClientFacts, Tx<M, P>, RequestAccess)>, Error> {
        let PresentedToken { client, family, jti } = presented;
        let call = format!("identity.authenticate_client({}, '{client}', {}, {})", scope.sql(), id(family), id(jti));
        let found = self.look_up::<M, P, ClientFacts>(scope, &call, locks, ConnectionShare::Path).await?;
        Ok(found.map(|(tx, row)| {
            let (client, access) = row.into_access(|client| client.user);
            (client, tx, access)
        }))
    }

    async fn look_up<M: Mode, P: Plane, S: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        scope: Scope,
        call: &str,
        locks: WriteLocks,
        share: ConnectionShare,
    ) -> Result<Option<(Tx<M, P>, LookupRow<S>)>, Error> {
        let key = match share {
            ConnectionShare::Path => key::<P>(scope.tenant.map(TenantId::uuid)),
            ConnectionShare::OverLimit => OVER_LIMIT,
        };
        let mut connection = self.connection(key).await?;
        let (begin, role, locks, bind) = (M::BEGIN, P::ROLE, locks.sql(), locks.bind());
        let sql = format!("{begin}; {locks}SET LOCAL ROLE identity_rows; SELECT {call}; SET LOCAL ROLE {role}{bind}");
        // SECURITY: the text consists of constants, and of hex, UUIDs and a time that we print ourselves. No part of it is input.
        // Begin, look-up and role are one simple message, because each round trip costs time.
        #[expect(clippy::disallowed_methods, reason = "no part of the text is input")]
        let rows = connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        // Locks return rows of their own. The look-up comes last and always returns one.
        let found: Option<Json<LookupRow<S>>> = rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(found.map(|Json(row)| (Tx::begun(connection), row)))
    }
}

impl WriteLocks {
    /// Statements that wait for transactions that are changing the locked rows. In `READ COMMITTED` the look-up after them
    /// sees those changes.
    fn sql(self) -> String {
        let mut sql = String::new();
        let Some(tenant) = self.tenant else { return sql };
        if self.serialized {
            let _ = write!(sql, "SELECT pg_advisory_xact_lock(hashtextextended('{tenant}', {SERIALIZED})); ");
        }
        let _ = write!(sql, "SET LOCAL ROLE tenant_rows; SET LOCAL app.tenant_id = '{tenant}'; ");
        if let Some(user) = self.user {
            let _ = write!(sql, "SELECT FROM tenant.memberships WHERE user_id = '{user}' FOR KEY SHARE; ");
        }
        if let Some(client) = self.client {
            let _ = write!(sql, "SELECT FROM tenant.api_clients WHERE id = '{client}' FOR KEY SHARE; ");
        }
        // Unbind the transaction again, because only the look-up may bind it.
        sql.push_str("SET LOCAL app.tenant_id = ''; ");
        sql
    }

    fn bind(self) -> String {
        self.new_tenant.map(|tenant| format!("; SET LOCAL app.tenant_id = '{tenant}'")).unwrap_or_default()
    }
}

impl Scope {
    fn sql(self) -> String {
        format!("{}, {}", id(self.tenant.map(TenantId::uuid)), id(self.workspace.map(WorkspaceId::uuid)))
    }
}

fn id(id: Option<Uuid>) -> String {
    id.map_or_else(|| "null".to_owned(), |id| format!("'{id}'"))
}
