//! Authorization with Cedar. Nothing that a tenant owns is read or written without an Allow.
//!
//! The first parameter of a handler is its [`Guard`]. [`Routes`] accepts no handler without one. [`Authorized<A>`] is
//! the guard for everything that belongs to an organization or an account. It exists only after the session, the
//! membership, the resource and the policies were checked. Only it opens transactions. `Authorized<A, ApiClient>` is
//! the same for API clients.

#[doc(hidden)] // for the `actions!` macro
pub use tenancy;

mod action;
mod authorized;
mod authorizer;
mod cedar;
mod context;
mod decision;
mod decision_cache;
mod distinctions;
mod entity;
mod guard;
mod policies;
mod policy_error;
mod request;
mod routes;
mod viewer;

pub use action::{Action, ActionDeclaration, ActionMode, FormFor, PathParams, Resource, TxOf};
pub use authorized::{Authorized, CallerKind};
pub use authorizer::Authorizer;
pub use context::{ContextFragment, Contribution, RefusedBecause, RoleGroup};
pub use decision::{Decision, StepUp};
pub use entity::{Entity, Sensitivity};
pub use guard::{Guard, Guarded, Public};
pub use policies::{Policies, PolicySource};
pub use policy_error::PolicyError;
pub use request::{Caller, MemberContext};
pub use routes::{Route, Routes};
pub use viewer::{RequestViewer, Viewer};
