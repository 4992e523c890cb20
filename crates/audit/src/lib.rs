//! Nothing that changed can be un-recorded.
//!
//! Two append-only logs: [`Event`]s, written in the transaction of the change they tell of, and policy [`Decision`]s,
//! written in the transaction of the write they allow or, for reads and refusals, in batches by [`Decisions`]. The
//! database grants appending and nothing else; a trigger refuses changes even to the owner of the tables.

mod decision;
mod event;

pub use decision::{Decision, Decisions, Overloaded};
pub use event::{Actor, Event};

use tenancy::{Keep, Rule, keep};

/// How long the logs are kept. The database refuses to delete what is younger than a year.
pub const KEEPING: &[Rule] =
    &[keep!("audit.events", "id", "at", Keep::Records), keep!("audit.decisions", "id", "at", Keep::Records)];
