//! Actions that take a second person. A feature declares them; `approvals` stores, shows and executes them.

use std::fmt::Debug;

use authn::{Authn, SignedIn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenancy::{TenantId, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use super::{BoxFuture, Hooks, Organization};

/// An action that is stored until a second person approves it, and executed in the transaction of the approval.
///
/// Its fields are its parameters, as they were when it was requested. If one of them is not true any more, `execute` changes
/// nothing and returns [`STATE_CHANGED_ERROR`].
pub(crate) trait PendingAction: Debug + Send + Sync {
    /// The organization or the member it is done to.
    fn target(&self, organization: TenantId) -> Uuid;

    /// Whether it takes the ownership or the factors of an owner. The owner concerned can approve it, and has three days to
    /// decline before another owner does it alone.
    fn affects_owner(&self) -> bool {
        false
    }

    /// Whether `user` can no longer open the organization after it.
    fn ends_access_of(&self, _user: UserId) -> bool {
        false
    }

    /// In a few words. `member` is the name of the member it is done to.
    fn title(&self, member: &str) -> String;

    /// What happens when it is executed.
    fn consequences(&self) -> &'static str;

    /// Does it and records it.
    fn execute<'a>(&'a self, tx: &'a mut Tx<Write>, execution: Execution<'a>) -> BoxFuture<'a, Result<()>>;
}

/// A [`PendingAction`] as the row of its request has it: under the name of its kind, with its fields as JSON.
pub(crate) trait StoredAction: PendingAction + Serialize + DeserializeOwned + 'static {
    /// As the database names it.
    const KIND: &'static str;
}

/// On whose word a pending action is executed, and what its event says about that.
pub(crate) struct Execution<'a> {
    pub(crate) authn: &'a Authn,
    pub(crate) organization: &'a Organization,
    /// Name of the member it is done to.
    pub(crate) member: Option<&'a str>,
    /// Who requested it, who approved it, and why.
    pub(crate) details: Value,
    pub(crate) who: &'a SignedIn,
    /// What other features do then.
    pub(crate) hooks: &'a Hooks,
}

/// A kind of pending action, as its feature registers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingActionKind {
    pub(crate) name: &'static str,
    /// Reads the parameters of a stored action. Unknown, missing and mistyped ones are errors.
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

/// What an action is about is no longer as it was.
pub(crate) const STATE_CHANGED_ERROR: Error = Error::Conflict(
    "This has changed since it was requested. Nothing was done. Request it again if you still need it.",
    None,
);
