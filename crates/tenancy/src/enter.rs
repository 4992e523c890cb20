use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{Executor, Row};
use uuid::Uuid;

use crate::connect::key;
use crate::tx::{Mode, Plane};
use crate::{Db, Error, TenantId, Tx, UserId, WorkspaceId};

/// Key of the advisory lock behind [`Hold::in_turn`], beside those of other crates for the same organization.
const IN_TURN: i64 = 4;

/// What the URL of a request selects. It selects, it does not grant: membership is read from the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The organization in the path.
    pub tenant: Option<TenantId>,
    /// The workspace in the path.
    pub workspace: Option<WorkspaceId>,
}

/// What a transaction that writes keeps from changing until it ends. A transaction that reads keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold {
    /// The organization that the request was let into.
    pub tenant: Option<TenantId>,
    /// The person whose membership there is held: it neither ends nor changes before the transaction does.
    pub user: Option<UserId>,
    /// The client of the API that is held in the same way.
    pub client: Option<Uuid>,
    /// Waits for the others that do, one organization at a time. For whatever changes memberships: two people who remove
    /// each other would each hold the membership that the other one waits for.
    pub in_turn: bool,
    /// The organization that comes into being, to which the transaction is bound instead.
    pub new_tenant: Option<TenantId>,
}

/// What somebody is where the URL points.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The person. A service account is none.
    pub user: Option<UserId>,
    /// Their membership in the selected organization. The transaction is bound to it.
    pub membership: Option<Membership>,
    /// The selected workspace of that organization.
    pub workspace: Option<WorkspaceFacts>,
}

impl Entry {
    /// The elevation they act under.
    #[must_use]
    pub fn elevation(&self) -> Option<Uuid> {
        self.membership.as_ref()?.elevation.as_ref().map(|elevation| elevation.id)
    }
}

/// What `identity.enter` and `identity.enter_client` answer.
#[derive(Deserialize)]
struct Found<W> {
    session: W,
    membership: Option<Membership>,
    workspace: Option<WorkspaceFacts>,
}

/// What is stored of a client of the API that may still act.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client.
    pub client: Uuid,
    /// The organization it belongs to.
    pub tenant: TenantId,
    /// Whom it acts as. `None`: as itself, a service account.
    pub user: Option<UserId>,
    /// What people call it.
    pub name: String,
    /// The actions it was given.
    pub scopes: Vec<String>,
    /// It takes a proof of a key with every token.
    pub dpop: bool,
}

/// What a client of the API has shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Which client it is.
    pub client: Uuid,
    /// Family of its token. `None` where it signed the request itself.
    pub family: Option<Uuid>,
    /// Id of its token.
    pub jti: Option<Uuid>,
}

/// What is stored of a live session and of its person.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionFacts {
    /// The person.
    pub user: UserId,
    /// The session (its id, not its token).
    pub session: Uuid,
    /// Display name, as the provider gave it.
    pub name: String,
    /// E-mail address, as the provider gave it. Never a key.
    pub email: String,
    /// The address is known to be theirs: the provider says so, or they have proved it to us.
    pub email_verified: bool,
    /// Who vouches for them. `None` where they came with a passkey alone.
    pub issuer: Option<String>,
    /// Under which subject.
    pub subject: Option<String>,
    /// Its bond: the organization on whose word alone they came, by its own provider or by what was made in such a session.
    /// This one is for nothing but that organization.
    pub sign_on: Option<TenantId>,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How: `oidc` and what the provider says it did, `passkey`.
    pub methods: Vec<String>,
    /// When they last proved a passkey in this session.
    pub passkey_at: Option<DateTime<Utc>>,
    /// When a recovery was accepted in this session.
    pub recovered_at: Option<DateTime<Utc>>,
    /// When they last proved a code of an authenticator app in this session.
    pub totp_at: Option<DateTime<Utc>>,
    /// What they can prove.
    pub enrolled: Enrolled,
    /// Device family where the session began, or where a passkey was last proved in it.
    pub device: String,
    /// Network there.
    pub network: String,
    /// What was unusual since. `None`: nothing, and the last request came from there.
    pub drift: Option<Drift>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When its token was last replaced.
    pub rotated_at: DateTime<Utc>,
    /// When its use was last noted.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// The cookie carried the token before the last rotation.
    pub by_previous: bool,
}

impl SessionFacts {
    /// Whether a decision about the one is a decision about the other: the same session of the same person, who has proved
    /// the same. When and from where it was used last decides nothing by itself.
    #[must_use]
    pub fn decides_as(&self, other: &Self) -> bool {
        let basis = |facts: &Self| {
            (
                (facts.user, facts.session, facts.sign_on, facts.auth_time, facts.enrolled),
                (facts.passkey_at, facts.totp_at, facts.recovered_at, facts.email_verified),
            )
        };
        basis(self) == basis(other) && self.methods == other.methods && self.email == other.email
    }
}

/// The factors a person can prove in the session: their own, and those with its bond.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct Enrolled {
    /// They have a passkey, if only a disabled one.
    pub passkey: bool,
    /// They have an authenticator app. Not looked for where they have proved a passkey in the session: nothing takes a code
    /// then.
    pub totp: bool,
}

/// What was unusual about the requests of a session.
#[derive(Clone, Debug, Deserialize)]
pub struct Drift {
    /// The person had not come with this device family before.
    pub new_device: bool,
    /// Device family of the last request.
    pub seen_device: String,
    /// Network of the last request.
    pub seen_network: String,
    /// How often one of the two changed, without a pause between.
    pub changes: i32,
    /// How often they changed back to what they had just been.
    pub returns: i32,
    /// When they last changed.
    pub changed_at: Option<DateTime<Utc>>,
}

/// Membership of the person in the selected organization.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub tenant: TenantId,
    /// Its name.
    pub organization: String,
    /// One of the seven roles, as stored.
    pub role: String,
    /// Why the organization does not take the way the session began, where it does not.
    pub unaccepted: Option<Unaccepted>,
    /// The other role they act in for a while, where somebody approved that. Clients of the API have none.
    pub elevation: Option<Elevation>,
}

/// Another role for a while, beside the one of the membership.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Elevation {
    /// Its id.
    pub id: Uuid,
    /// The role.
    pub role: String,
    /// When it ends by itself.
    pub ends_at: DateTime<Utc>,
}

/// Why an organization does not take the way a session began.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Unaccepted {
    /// Before it ended this member's sessions there.
    SignedOut,
    /// With a link by mail, which it does not allow.
    Link,
    /// With the provider that another organization brings.
    Elsewhere,
    /// Not with the provider it brings itself, which it wants of everybody. Owners come in with a passkey, too, so that a
    /// provider that is down locks nobody out.
    SignOn,
}

/// The selected workspace.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct WorkspaceFacts {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
}

impl Db {
    /// Finds the session behind a cookie and binds a transaction to what it may see, in one round trip.
    ///
    /// `None` where no live session has this token. On the tenant plane the transaction is bound to the organization
    /// only if the entry has a membership; without one every query on tenant rows fails.
    ///
    /// A request is let in by a transaction that reads, and writes in another one, after its body has arrived. That one
    /// begins with the same look-up, so that it knows who is asking now, and with locks on what `hold` names.
    pub async fn enter<M: Mode, P: Plane>(
        &self,
        token_hash: &[u8; 32],
        now: DateTime<Utc>,
        scope: Scope,
        hold: Hold,
    ) -> Result<Option<(SessionFacts, Tx<M, P>, Entry)>, Error> {
        let mut hash = String::with_capacity(64);
        for byte in token_hash {
            let _ = write!(hash, "{byte:02x}");
        }
        let call = format!("identity.enter('\\x{hash}', to_timestamp({}), {})", now.timestamp(), scope.sql());
        let found = self.find::<M, P, SessionFacts>(scope, &call, hold).await?;
        Ok(found.map(|(tx, found)| {
            let Found { session, membership, workspace } = found;
            let entry = Entry { user: Some(session.user), membership, workspace };
            (session, tx, entry)
        }))
    }

    /// Finds a client of the API and binds a transaction to what it may see, in one round trip, as [`enter`](Self::enter)
    /// does for a session. `None` where it is gone, or what it shows was taken back.
    pub async fn enter_client<M: Mode, P: Plane>(
        &self,
        shown: Shown,
        scope: Scope,
        hold: Hold,
    ) -> Result<Option<(ClientFacts, Tx<M, P>, Entry)>, Error> {
        let Shown { client, family, jti } = shown;
        let call = format!("identity.enter_client({}, '{client}', {}, {})", scope.sql(), id(family), id(jti));
        let found = self.find::<M, P, ClientFacts>(scope, &call, hold).await?;
        Ok(found.map(|(tx, found)| {
            let Found { session: client, membership, workspace } = found;
            let entry = Entry { user: client.user, membership, workspace };
            (client, tx, entry)
        }))
    }

    async fn find<M: Mode, P: Plane, W: DeserializeOwned + Send + Unpin + 'static>(
        &self,
        scope: Scope,
        call: &str,
        hold: Hold,
    ) -> Result<Option<(Tx<M, P>, Found<W>)>, Error> {
        let mut connection = self.connection(key::<P>(scope.tenant.map(TenantId::uuid))).await?;
        let (begin, role, locks, bind) = (M::BEGIN, P::ROLE, hold.locks(), hold.bind());
        let sql = format!("{begin}; {locks}SET LOCAL ROLE identity_rows; SELECT {call}; SET LOCAL ROLE {role}{bind}");
        // SECURITY: constants, hex, UUIDs and an integer that we print ourselves; nothing in it is anybody's string.
        // One simple message carries begin, the look-up and the role, because a round trip is what costs here.
        #[expect(clippy::disallowed_methods, reason = "nothing in it is anybody's string")]
        let rows = connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
        // Locks answer with rows of their own. The look-up comes last and always has one.
        let found: Option<Json<Found<W>>> = rows.last().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(found.map(|Json(found)| (Tx::begun(connection), found)))
    }
}

impl Hold {
    /// Statements that wait for whoever is changing what is held, before it is looked at: in `READ COMMITTED` the
    /// look-up after them sees what they waited for.
    fn locks(self) -> String {
        let mut sql = String::new();
        let Some(tenant) = self.tenant else { return sql };
        if self.in_turn {
            let _ = write!(sql, "SELECT pg_advisory_xact_lock(hashtextextended('{tenant}', {IN_TURN})); ");
        }
        let _ = write!(sql, "SET LOCAL ROLE tenant_rows; SET LOCAL app.tenant_id = '{tenant}'; ");
        if let Some(user) = self.user {
            let _ = write!(sql, "SELECT FROM tenant.memberships WHERE user_id = '{user}' FOR KEY SHARE; ");
        }
        if let Some(client) = self.client {
            let _ = write!(sql, "SELECT FROM tenant.api_clients WHERE id = '{client}' FOR KEY SHARE; ");
        }
        // Bound to nothing again: that is for the look-up to say.
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
