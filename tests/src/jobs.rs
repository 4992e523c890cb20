//! Jobs run if their cause was committed, are settled once even if a process dies, and take turns.

mod failed;
mod fair;
mod once;
mod samples;

use std::time::Duration;

use audit::Actor;
use jobs::{Failure, Job, JobHandler, JobKind, NewJob, Worker};
use secrecy::SecretString;
use tenancy::{Db, Tenant, TenantId, Tx, UserId, Write};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::harness::{Database, World};

/// Reports each job, and waits for the outcome that the test chooses.
struct Probe {
    taken: mpsc::UnboundedSender<Held>,
    every: Option<Duration>,
}

/// A job that a worker is at.
struct Held {
    what: Option<Vec<String>>,
    answer: oneshot::Sender<Result<(), Failure>>,
}

impl JobHandler for Probe {
    type Payload = Option<String>;

    const KIND: JobKind =
        JobKind { name: "probe", concurrency: 4, timeout: Duration::from_mins(5), retry_for: Duration::from_hours(1) };

    fn interval(&self) -> Option<Duration> {
        self.every
    }

    async fn run(&self, job: &Job<Option<String>>) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let what = job.payloads.iter().cloned().collect();
        let _ = self.taken.send(Held { what, answer });
        match answered.await {
            Ok(answer) => answer,
            // Nobody answers any more: the process is dead.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Held {
    fn what(&self) -> String {
        self.what.clone().unwrap_or_default().join("+")
    }

    fn say(self, answer: Result<(), Failure>) {
        self.answer.send(answer).unwrap();
    }
}

/// A process with one worker.
struct Process {
    worker: Worker,
    taken: mpsc::UnboundedReceiver<Held>,
}

impl Process {
    async fn start(database: &Database) -> Self {
        Self::start_with(database, None).await
    }

    async fn start_with(database: &Database, every: Option<Duration>) -> Self {
        let (tell, taken) = mpsc::unbounded_channel();
        let worker = Worker::new(connect(database).await);
        worker.start(Probe { taken: tell, every }).await;
        Self { worker, taken }
    }

    async fn next(&mut self) -> Held {
        tokio::time::timeout(Duration::from_secs(30), self.taken.recv()).await.expect("nothing is taken").unwrap()
    }

    /// Whether it looks at the queue twice and finds nothing.
    async fn finds_nothing(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(2_500), self.taken.recv()).await.is_err()
    }
}

async fn connect(database: &Database) -> Db {
    let url = SecretString::from(database.web_url.clone());
    let config = tenancy::Config { url, max_connections: 3, acquire_timeout_ms: 10_000, statement_cache: 100 };
    Db::connect(&config, true).await.unwrap()
}

fn nobody() -> Actor {
    Actor::unknown(Uuid::now_v7(), String::new())
}

async fn queue(tx: &mut Tx<Write, Tenant>, what: &str, key: Option<&str>, urgent: bool) {
    let payload = Some(what.to_owned());
    let job = NewJob {
        kind: Probe::KIND.name,
        owner: UserId::new(),
        key,
        urgent,
        valid_for: None,
        about: what,
        payload: &payload,
    };
    job.queue(tx, &nobody()).await.unwrap();
}

async fn queue_for(db: &Db, organization: Uuid, what: &str) {
    let mut tx = db.begin::<Write, Tenant>(TenantId::from(organization)).await.unwrap();
    queue(&mut tx, what, None, false).await;
    tx.commit().await.unwrap();
}

/// The state of the only job.
async fn state(world: &World) -> (i32, bool) {
    sqlx::query_as("select tries, failed_at is not null from jobs.queue where kind = 'probe'")
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

const WAITING: &str = "select count(*) from jobs.queue where kind = 'probe'";

/// Ends the lease of the only job.
async fn lease_ends(world: &World) {
    assert_eq!(world.change("update jobs.queue set due_at = now() where kind = 'probe'").await, 1);
}
