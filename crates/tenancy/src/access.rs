use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::ids::{TenantId, UserId, WorkspaceId};

/// Who makes a request, and what they are where its URL points. Read from the database by the look-up that begins the
/// request's transaction.
#[derive(Clone, Debug)]
pub struct RequestAccess {
    /// The person. A service account has none.
    pub user: Option<UserId>,
    /// Their membership in the selected organization. The transaction is bound to it.
    pub membership: Option<Membership>,
    /// The selected workspace of that organization.
    pub workspace: Option<WorkspaceFacts>,
}

impl RequestAccess {
    /// The elevation they act under.
    #[must_use]
    pub fn elevation(&self) -> Option<Uuid> {
        self.membership.as_ref()?.elevation.as_ref().map(|elevation| elevation.id)
    }
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
    pub elevation: Option<ActiveElevation>,
}

/// Another role for a while, beside the one of the membership.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ActiveElevation {
    /// Its id.
    pub id: Uuid,
    /// The role.
    pub role: String,
    /// When it ends by itself.
    pub ends_at: DateTime<Utc>,
}

/// Why an organization does not accept the way a session began.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Unaccepted {
    /// The organization has since signed this member out.
    SignedOut,
    /// The session began with a link by email, which the organization does not allow.
    Link,
    /// The session began with the identity provider of another organization.
    Elsewhere,
    /// The session did not begin with the organization's own provider, which it requires. Owners can also sign in with a
    /// passkey, so a provider that is down locks nobody out.
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

/// What is stored of a client of the API that is still active.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client.
    pub client: Uuid,
    /// The organization it belongs to.
    pub tenant: TenantId,
    /// The member it acts as. `None` for a service account, which acts as itself.
    pub user: Option<UserId>,
    /// What people call it.
    pub name: String,
    /// The actions it was given.
    pub scopes: Vec<String>,
    /// It must send a proof of its key with every token (RFC 9449).
    pub dpop: bool,
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
    /// Email address, as the provider gave it. Never a key.
    pub email: String,
    /// The address is known to be theirs: the provider says so, or they have verified it with a code.
    pub email_verified: bool,
    /// The provider they signed in with. `None` if they signed in with a passkey or a link alone.
    pub issuer: Option<String>,
    /// Their subject at that provider.
    pub subject: Option<String>,
    /// The organization whose own provider the session depends on. Such a session counts in that organization only.
    pub sign_on: Option<TenantId>,
    /// When they last proved who they are.
    pub auth_time: DateTime<Utc>,
    /// How: `oidc` and the methods that the provider reports, or `passkey`.
    pub methods: Vec<String>,
    /// When a passkey was last verified in this session.
    pub passkey_at: Option<DateTime<Utc>>,
    /// When a recovery was accepted in this session.
    pub recovered_at: Option<DateTime<Utc>>,
    /// When a code of an authenticator app was last verified in this session.
    pub totp_at: Option<DateTime<Utc>>,
    /// The factors they have.
    pub enrolled: EnrolledFactors,
    /// Device family with which the session began, or with which a passkey was last verified in it.
    pub device: String,
    /// The network of that moment.
    pub network: String,
    /// What was unusual since. `None`: nothing, and the last request came from the same device and network.
    pub drift: Option<SessionDrift>,
    /// When the session began.
    pub created_at: DateTime<Utc>,
    /// When its token was last replaced.
    pub rotated_at: DateTime<Utc>,
    /// When its last use was recorded.
    pub last_seen_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// The cookie carried the token before the last rotation.
    pub by_previous: bool,
}

impl SessionFacts {
    /// Whether a decision about one is valid for the other: the same session of the same person, with the same proofs.
    /// When and from where the session was last used decides nothing by itself.
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

/// The factors that a person can use in the session: their own, and those of the organization that the session depends on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct EnrolledFactors {
    /// They have a passkey, even if it is disabled.
    pub passkey: bool,
    /// They have an authenticator app. Always false once a passkey was verified in the session: no code is accepted then.
    pub totp: bool,
}

/// What was unusual about the requests of a session.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionDrift {
    /// The person had not used this device family before.
    pub new_device: bool,
    /// Device family of the last request.
    pub seen_device: String,
    /// Network of the last request.
    pub seen_network: String,
    /// How often one of the two changed without a pause.
    pub changes: i32,
    /// How often they changed back to what they had just been.
    pub returns: i32,
    /// When they last changed.
    pub changed_at: Option<DateTime<Utc>>,
}
