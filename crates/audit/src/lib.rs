//! No change goes unrecorded, and no record can be changed.
//!
//! There are two append-only logs. An [`Event`] is written in the transaction of the change that it describes. A policy
//! [`Decision`] is written in the transaction of the write that it allows. Decisions for reads and refusals are written in batches
//! by [`Decisions`]. The database grants appending and nothing else. A trigger refuses changes even by the owner of the tables.

mod decision;
mod event;

pub use decision::{Decision, Decisions, Overloaded};
pub use event::{Actor, Event};

use tenancy::{Retention, RetentionRule, retention_rule};

/// How long the logs are kept. The database refuses to delete rows that are less than a year old.
pub const RETENTION: &[RetentionRule] = &[
    retention_rule!("audit.events", "id", "at", Retention::Records),
    retention_rule!("audit.decisions", "id", "at", Retention::Records),
];
