//! No row is read or written outside a transaction bound to one tenant.
//!
//! The pool is private to this crate. Other crates get a [`Tx`], a transaction. Its type says whether it may write ([`Read`],
//! [`Write`]) and on which [`Plane`] it runs. The database has bound it to one tenant, one person or one narrow role before the
//! first query can be sent.

mod access;
mod authenticate;
mod claim;
mod config;
mod connect;
mod connection;
mod error;
mod ids;
mod migrate;
mod plane;
mod retention;
mod tx;

pub use access::{ClientFacts, Facts, Membership, RequestAccess, SessionDrift, SessionFacts, Waiting, WorkspaceFacts};
pub use authenticate::{ConnectionShare, PresentedToken, Scope, WriteLocks};
pub use claim::one_connection;
pub use config::{Config, SETTINGS};
pub use connect::Db;
pub use error::{Error, is_temporary};
pub use ids::{NotCanonical, TenantId, UserId, WorkspaceId};
pub use migrate::{MigrateError, migrate};
pub use plane::{Account, Audit, Identity, Janitor, Jobs, Mode, Operator, Owned, Plane, Read, Tenant, Write};
pub use retention::{HOUR, Retention, RetentionRule};
pub use tx::{OnConstraint, Tx};
