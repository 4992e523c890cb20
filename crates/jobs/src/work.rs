use std::future::{Future, ready};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tenancy::{Jobs, TenantId, Tx, Write};
use uuid::Uuid;

/// How jobs of one kind are done.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As it stands in the queue.
    pub name: &'static str,
    /// How many are done at the same time in one process. Half of them for one owner; a few more for what is urgent.
    pub places: usize,
    /// Longest time one may take. It is leased for two minutes more, so that nobody else takes it meanwhile.
    pub patience: Duration,
    /// How long it is tried. Then it is given up.
    pub give_up: Duration,
}

/// A job that was taken.
#[derive(Debug)]
pub struct Job<P> {
    /// Its id, the same each time it is tried.
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
    /// Whether it was never tried before.
    pub first: bool,
}

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may go well another time.
    Again(String),
    /// It never will.
    Never(String),
    /// It was not tried, because it is too early. Until then more may be added to it.
    NotBefore(Duration),
}

/// What is done with the jobs of a kind.
pub trait Work: Send + Sync + 'static {
    /// What a job says.
    type Payload: DeserializeOwned + Send + Sync;

    /// Its name and limits.
    const KIND: Kind;

    /// How often a job is queued by itself. Of all processes one queues it, once in each such period. A kind that has
    /// one is looked for every 15 seconds instead of every second: nobody waits for it.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Does it, maybe for a second time. No transaction is open.
    fn run(&self, job: &Job<Self::Payload>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What else is noted when it is given up, in the transaction that notes that.
    fn given_up(
        &self,
        _tx: &mut Tx<Write, Jobs>,
        _job: &Job<Self::Payload>,
    ) -> impl Future<Output = Result<(), tenancy::Error>> + Send {
        ready(Ok(()))
    }
}
