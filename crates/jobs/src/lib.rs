//! A job runs if, and only if, its cause was committed, and its outcome is stored once.
//!
//! A [`NewJob`] is a row, written in the transaction of its cause. Each kind of job has a [`JobHandler`]. A [`Worker`] in each
//! process leases the jobs that are due, runs their handlers while no transaction is open, and deletes the rows. A worker whose
//! lease has expired cannot store an outcome: the count of attempts fences it off. A handler may therefore run twice, if a
//! process dies, and has to tolerate that. The row is settled once.
//!
//! Owners (organizations, and people outside any) take turns. Urgent jobs go first.

mod handler;
mod janitor;
mod new;
mod queue;
mod throttle;
mod worker;

pub use handler::{Failure, Job, JobHandler, JobKind};
pub use janitor::{Janitor, RetentionConfig, RetentionError, SETTINGS};
pub use new::NewJob;
pub use throttle::{Throttle, throttle};
pub use worker::Worker;

use std::time::Duration;

use tenancy::{HOUR, Retention, RetentionRule, retention_rule};

/// Retention of the rows of this crate.
pub const RETENTION: &[RetentionRule] = &[
    retention_rule!("jobs.queue", "id", "failed_at", Retention::For(Duration::from_hours(30 * 24))),
    retention_rule!("jobs.queue", "id", "expires_at", HOUR),
    retention_rule!("jobs.rate_limits", "key", "tat", HOUR),
];

/// The owner of jobs that belong to nobody: an id that nobody has.
const NO_OWNER: uuid::Uuid = uuid::Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0000);
