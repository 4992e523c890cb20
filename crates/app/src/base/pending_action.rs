//! Actions that need a second person. A feature declares them. `approvals` stores, shows and executes them.

use std::fmt::Debug;

use authn::{Authn, SignedIn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::{BoxFuture, Hooks, Organization};

/// An action that is stored until a second person approves it. It is executed in the transaction of the approval.
///
/// Its fields are its parameters, as they were at the time of the request. If one of them is no longer true, `execute`
/// changes nothing and returns [`STATE_CHANGED_ERROR`].
pub(crate) trait PendingAction: Debug + Send + Sync {
    /// Returns the id of the organization or member that the action affects.
    fn target(&self, organization: TenantId) -> Uuid;

    /// Whether it removes an owner's ownership or factors. The affected owner can approve it. They have three days to
    /// decline before another owner can do it alone.
    fn affects_owner(&self) -> bool {
        false
    }

    /// Whether `user` can no longer open the organization after the action.
    fn ends_access_of(&self, _user: UserId) -> bool {
        false
    }

    /// Returns a title of a few words. `member` is the name of the affected member.
    fn title(&self, member: &str) -> String;

    /// Returns a sentence about what happens when it is executed.
    fn consequences(&self) -> &'static str;

    /// Executes the action and records it.
    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>>;
}

/// A [`PendingAction`] in the form that is stored: the name of its kind, and its fields as JSON.
pub(crate) trait StoredAction: PendingAction + Serialize + DeserializeOwned + 'static {
    /// The name in the database.
    const KIND: &'static str;
}

/// The context in which a pending action is executed, with the details for its event.
pub(crate) struct Execution<'a> {
    pub(crate) authn: &'a Authn,
    pub(crate) organization: &'a Organization,
    /// The name of the affected member.
    pub(crate) member: Option<&'a str>,
    /// Who requested it, who approved it, and why.
    pub(crate) details: Value,
    pub(crate) who: &'a SignedIn,
    /// The hooks of other features.
    pub(crate) hooks: &'a Hooks,
}

/// A kind of pending action that a feature registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingActionKind {
    pub(crate) name: &'static str,
    /// Parses the parameters of a stored action. Unknown, missing and mistyped parameters are errors.
    pub(crate) parse: fn(&Value) -> Result<Box<dyn PendingAction>>,
}

impl PendingActionKind {
    pub(crate) fn of<A: StoredAction>() -> Self {
        Self { name: A::KIND, parse: parse::<A> }
    }
}

fn parse<A: StoredAction>(parameters: &Value) -> Result<Box<dyn PendingAction>> {
    Ok(Box::new(A::deserialize(parameters)?))
}

/// The error if the object of the action has changed since the request.
pub(crate) const STATE_CHANGED_ERROR: Error = Error::Conflict(
    "This has changed since it was requested. Nothing was done. Request it again if you still need it.",
    None,
);
