use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::tx::{Mode, Plane, Read};
use crate::{Db, Error, TenantId, Tx, UserId, WorkspaceId};

/// What the URL of a request selects. It selects, it does not grant: membership is read from the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The organization in the path.
    pub tenant: Option<TenantId>,
    /// The workspace in the path.
    pub workspace: Option<WorkspaceId>,
}

/// A live session of an unlocked person, and what they are where the URL points.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The session and the person it belongs to.
    pub session: SessionFacts,
    /// Their membership in the selected organization. The transaction is bound to it.
    pub membership: Option<Membership>,
    /// The selected workspace of that organization.
    pub workspace: Option<WorkspaceFacts>,
}

/// A row of `identity.sessions` with its person.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is the column of its name")]
pub struct SessionFacts {
    pub id: Uuid,
    pub user: UserId,
    pub display_name: String,
    pub email: String,
    pub email_verified: bool,
    pub issuer: String,
    pub subject: String,
    pub auth_time: DateTime<Utc>,
    pub methods: Vec<String>,
    pub device: String,
    pub network: String,
    pub created_at: DateTime<Utc>,
    pub rotated_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// The cookie carried the token before the last rotation.
    pub by_previous: bool,
}

/// Membership of the person in the selected organization.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The organization.
    pub tenant: TenantId,
    /// Its name.
    pub organization: String,
    /// One of the seven roles, as stored.
    pub role: String,
}

/// The selected workspace.
#[derive(Clone, Debug)]
pub struct WorkspaceFacts {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
}

const COLUMNS: &str = "session_id, user_id, display_name, email, email_verified, issuer, subject, auth_time, methods, \
     device, network, created_at, rotated_at, last_seen_at, expires_at, by_previous, tenant_id, organization_name, role, \
     workspace_id, workspace_name";

impl Db {
    /// Finds the session behind a cookie and binds a reading transaction to what it may see, in one round trip.
    ///
    /// `None` where no live session has this token. On the tenant plane the transaction is bound to the organization
    /// only if the entry has a membership; without one every query on tenant rows fails.
    pub async fn enter<P: Plane>(
        &self,
        token_hash: &[u8; 32],
        now: DateTime<Utc>,
        scope: Scope,
    ) -> Result<Option<(Tx<Read, P>, Entry)>, Error> {
        let mut connection = self.connection().await?;
        let mut hash = String::with_capacity(64);
        for byte in token_hash {
            let _ = write!(hash, "{byte:02x}");
        }
        let id = |id: Option<Uuid>| id.map_or_else(|| "null".to_owned(), |id| format!("'{id}'"));
        let sql = format!(
            "{}; SET LOCAL ROLE identity_rows; \
             SELECT {COLUMNS} FROM identity.enter('\\x{hash}', to_timestamp({}), {}, {}); \
             SET LOCAL ROLE {}",
            Read::BEGIN,
            now.timestamp(),
            id(scope.tenant.map(TenantId::uuid)),
            id(scope.workspace.map(WorkspaceId::uuid)),
            P::ROLE,
        );
        // SECURITY: constants, hex, UUIDs and an integer that we print ourselves; nothing in it is anybody's string.
        // One simple message carries begin, the look-up and the role, because a round trip is what costs here.
        #[expect(clippy::disallowed_methods, reason = "nothing in it is anybody's string")]
        let found = connection.fetch_optional(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        let Some(row) = found else {
            return Ok(None);
        };
        let membership = match row.try_get::<Option<Uuid>, _>("tenant_id")? {
            Some(tenant) => Some(Membership {
                tenant: tenant.into(),
                organization: row.try_get("organization_name")?,
                role: row.try_get("role")?,
            }),
            None => None,
        };
        let workspace = match row.try_get::<Option<Uuid>, _>("workspace_id")? {
            Some(id) => Some(WorkspaceFacts { id: id.into(), name: row.try_get("workspace_name")? }),
            None => None,
        };
        let session = SessionFacts {
            id: row.try_get("session_id")?,
            user: row.try_get::<Uuid, _>("user_id")?.into(),
            display_name: row.try_get("display_name")?,
            email: row.try_get("email")?,
            email_verified: row.try_get("email_verified")?,
            issuer: row.try_get("issuer")?,
            subject: row.try_get("subject")?,
            auth_time: row.try_get("auth_time")?,
            methods: row.try_get("methods")?,
            device: row.try_get("device")?,
            network: row.try_get("network")?,
            created_at: row.try_get("created_at")?,
            rotated_at: row.try_get("rotated_at")?,
            last_seen_at: row.try_get("last_seen_at")?,
            expires_at: row.try_get("expires_at")?,
            by_previous: row.try_get("by_previous")?,
        };
        Ok(Some((Tx::begun(connection), Entry { session, membership, workspace })))
    }
}
