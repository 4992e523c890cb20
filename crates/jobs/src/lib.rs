//! What is to be done later is done if, and only if, its cause was committed, and what became of it is said once.
//!
//! A [`NewJob`] is a row, written in the transaction of what makes it necessary. Whoever owns its kind does the [`Work`]: a
//! [`Worker`] in each process takes what is due, with a lease, has the world asked while no transaction is open, and deletes the
//! row. A worker whose lease is over says nothing any more: it is fenced by the count of tries. So the world may be asked
//! twice, where a process dies in between, and every kind of work has to bear that; the row is settled once.
//!
//! Owners (organizations, and people outside any) take turns, and what somebody waits for goes first.

mod janitor;
mod new;
mod pace;
mod queue;
mod work;
mod worker;

pub use janitor::{Janitor, KeepingConfig, KeepingError, SETTINGS};
pub use new::NewJob;
pub use pace::{Pace, pace};
pub use work::{Failure, Job, Kind, Work};
pub use worker::Worker;

use std::time::Duration;

use tenancy::{HOUR, Keep, Rule, keep};

/// How long what is here is kept.
pub const KEEPING: &[Rule] = &[
    keep!("jobs.queue", "id", "failed_at", Keep::For(Duration::from_hours(30 * 24))),
    keep!("jobs.queue", "id", "expires_at", HOUR),
    keep!("jobs.paces", "key", "free_at", HOUR),
];

/// Whose turn jobs take that are nobody's: an id that nobody has.
const NOBODY: uuid::Uuid = uuid::Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0000);
