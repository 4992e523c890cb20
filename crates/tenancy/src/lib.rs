//! No row is read or written outside a transaction bound to one tenant.
//!
//! The pool is private here. What leaves this crate is a [`Tx`]: a transaction whose type says whether it may write
//! ([`Read`], [`Write`]) and on which [`Plane`] it runs, and which the database has bound to one tenant, one person or
//! one narrow role before the first query can be sent.

mod claim;
mod config;
mod connect;
mod enter;
mod ids;
mod keeping;
mod migrate;
mod tx;

pub use claim::one_connection;
pub use config::{Config, SETTINGS};
pub use connect::{Db, Error, is_temporary};
pub use enter::{
    ClientFacts, Drift, Elevation, Enrolled, Entry, Hold, Membership, Scope, SessionFacts, Shown, Unaccepted,
    WorkspaceFacts,
};
pub use ids::{NotCanonical, TenantId, UserId, WorkspaceId};
pub use keeping::{HOUR, Keep, Rule};
pub use migrate::{MigrateError, migrate};
pub use tx::{
    Account, Audit, Identity, Janitor, Jobs, Mode, OnConstraint, Operator, Owned, Plane, Read, Tenant, Tx, Write,
};
