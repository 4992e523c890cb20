//! Nothing that changed can be un-recorded.
//!
//! Two append-only logs: [`Event`]s, written in the transaction of the change they tell of, and policy [`Decision`]s,
//! written in the transaction of the write they allow or, for reads and refusals, in batches by [`Decisions`]. The
//! database grants appending and nothing else; a trigger refuses changes even to the owner of the tables.

mod decision;
mod event;

pub use decision::{Decision, Decisions, Overloaded};
pub use event::{Actor, Event};

use tenancy::{Retention, RetentionRule, retention_rule};

/// How long the logs are kept. The database refuses to delete what is younger than a year.
pub const RETENTION: &[RetentionRule] = &[
    retention_rule!("audit.events", "id", "at", Retention::Records),
    retention_rule!("audit.decisions", "id", "at", Retention::Records),
];
