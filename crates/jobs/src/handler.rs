use std::future::{Future, ready};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tenancy::{Jobs, TenantId, Tx, Write};
use uuid::Uuid;

/// A kind of job and its limits.
#[derive(Clone, Copy, Debug)]
pub struct JobKind {
    /// Its name in the queue.
    pub name: &'static str,
    /// How many run at the same time in one process. At most half are for one owner. Urgent jobs get a few more.
    pub concurrency: usize,
    /// Longest time one attempt may take. The lease is two minutes longer, so no other worker takes the job in that time.
    pub timeout: Duration,
    /// How long it is retried. Then it fails permanently.
    pub retry_for: Duration,
}

/// A leased job.
#[derive(Debug)]
pub struct Job<P> {
    /// Its id. It is the same at every attempt.
    pub id: Uuid,
    /// The organization it is for.
    pub tenant: Option<TenantId>,
    /// What it is about: one payload, or several that were queued under one key while it waited.
    pub payloads: Vec<P>,
    /// How many more there were.
    pub omitted: u32,
    /// What people see of it.
    pub about: String,
    /// The request that made it necessary.
    pub request: Uuid,
    /// Whether this is the first attempt.
    pub first: bool,
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may succeed later.
    Retry(String),
    /// It cannot succeed.
    Permanent(String),
    /// It is too early for an attempt. Until then, more payloads may be added.
    Postpone(Duration),
}

/// Runs the jobs of one kind.
pub trait JobHandler: Send + Sync + 'static {
    /// What a job carries.
    type Payload: DeserializeOwned + Send + Sync;

    /// Its name and limits.
    const KIND: JobKind;

    /// How often a job of this kind is scheduled by itself: once per interval, by one of all processes. The queue is polled for
    /// such kinds every 15 seconds instead of every second, because nobody waits for them.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Runs the job, perhaps for a second time. No transaction is open.
    fn run(&self, job: &Job<Self::Payload>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What else is stored when the job fails permanently, in the same transaction.
    fn on_failure(
        &self,
        _tx: &mut Tx<Write, Jobs>,
        _job: &Job<Self::Payload>,
    ) -> impl Future<Output = Result<(), tenancy::Error>> + Send {
        ready(Ok(()))
    }
}
