use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ids::{TenantId, UserId, WorkspaceId};

/// The caller of a request, and what they are in the organization and workspace of its URL. The look-up that begins the request's
/// transaction reads this.
#[derive(Clone, Debug)]
pub struct RequestAccess {
    /// The person. A service account has none.
    pub user: Option<UserId>,
    /// Their membership in the selected organization. The transaction is bound to it.
    pub membership: Option<Membership>,
    /// The selected workspace of that organization.
    pub workspace: Option<WorkspaceFacts>,
    /// How many things wait there for the member.
    pub waiting: Waiting,
}

/// How many things wait for a member, by the name of the feature. For display: nothing is decided by it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Waiting(BTreeMap<String, u32>);

impl Waiting {
    /// Those of a feature.
    #[must_use]
    pub fn of(&self, feature: &str) -> u32 {
        self.0.get(feature).copied().unwrap_or_default()
    }
}

impl RequestAccess {
    /// What features record with every event and decision of the request: how the caller acts in it.
    #[must_use]
    pub fn audit_context(&self) -> Map<String, Value> {
        self.membership.as_ref().map(|membership| membership.facts.audit_context()).unwrap_or_default()
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
    /// Why the organization refuses the session or the client, if it does. `signed_out`: it has ended this member's sessions since.
    /// `elsewhere`: the session depends on another organization's provider. Features add other reasons.
    pub unaccepted: Option<String>,
    /// Facts of features about the member.
    #[serde(default)]
    pub facts: Facts,
}

/// Facts that features add to the look-up of a request, by the name of the feature. A feature registers its facts in its migration
/// with `identity.add_facts`, and reads them here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(from = "BTreeMap<String, Option<Value>>")]
pub struct Facts(BTreeMap<String, Value>);

impl From<BTreeMap<String, Option<Value>>> for Facts {
    fn from(all: BTreeMap<String, Option<Value>>) -> Self {
        Self(all.into_iter().filter_map(|(feature, facts)| Some((feature, facts?))).collect())
    }
}

impl Facts {
    /// The facts of a feature. `None` if it has none in this request.
    ///
    /// # Errors
    ///
    /// The feature's migration and its code disagree about the facts.
    pub fn of<F: DeserializeOwned>(&self, feature: &str) -> Result<Option<F>, serde_json::Error> {
        self.0.get(feature).map(F::deserialize).transpose()
    }

    fn audit_context(&self) -> Map<String, Value> {
        let contexts = self.0.values().filter_map(|facts| facts.get("audit")?.as_object());
        contexts.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The selected workspace.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct WorkspaceFacts {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
}

/// The stored facts about an active API client.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client.
    pub client: Uuid,
    /// The organization it belongs to.
    pub tenant: TenantId,
    /// The member it acts as. `None` for a service account, which acts as itself.
    pub user: Option<UserId>,
    /// Its name.
    pub name: String,
    /// The actions that it may do.
    pub scopes: Vec<String>,
    /// It must send a proof of its key with each token (RFC 9449).
    pub dpop: bool,
}

/// The stored facts about a live session and its person.
#[derive(Clone, Debug, Deserialize)]
pub struct SessionFacts {
    /// The person.
    pub user: UserId,
    /// The session (its id, not its token).
    pub session: Uuid,
    /// Display name, from the provider.
    pub name: String,
    /// Email address, from the provider. It never identifies a person.
    pub email: String,
    /// The address is verified: the provider says so, or the person has verified it with a code.
    pub email_verified: bool,
    /// The provider they signed in with. `None` if they signed in with only a passkey or a link.
    pub issuer: Option<String>,
    /// Their subject at that provider.
    pub subject: Option<String>,
    /// The organization whose own provider the session depends on. Such a session counts in that organization only.
    pub sso_tenant: Option<TenantId>,
    /// When they authenticated to begin this session. A factor that is verified later does not change it.
    pub auth_time: DateTime<Utc>,
    /// How they signed in: `oidc` and the methods that the provider reports, or `passkey`.
    pub methods: Vec<String>,
    /// When a passkey was last verified in this session.
    pub passkey_at: Option<DateTime<Utc>>,
    /// When a recovery was accepted in this session.
    pub recovered_at: Option<DateTime<Utc>>,
    /// When a code of an authenticator app was last verified in this session.
    pub totp_at: Option<DateTime<Utc>>,
    /// Device family at the start of the session, or when a passkey was last verified in it.
    pub device: String,
    /// The network at that time.
    pub network: String,
    /// What has been unusual since. `None` if nothing was, and the last request came from the same device and network.
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
    /// Facts of features about the session and its person.
    pub facts: Facts,
}

impl SessionFacts {
    /// Whether a decision about one is valid for the other: the same session of the same person, with the same proofs.
    /// When and where the session was last used does not matter by itself.
    #[must_use]
    pub fn decides_as(&self, other: &Self) -> bool {
        let basis = |facts: &Self| {
            (
                (facts.user, facts.session, facts.sso_tenant, facts.auth_time),
                (facts.passkey_at, facts.totp_at, facts.recovered_at, facts.email_verified),
            )
        };
        basis(self) == basis(other)
            && self.methods == other.methods
            && self.email == other.email
            && self.facts == other.facts
    }
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
