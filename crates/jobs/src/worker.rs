use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tenancy::Db;
use tokio::sync::{Mutex, watch};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::queue::{self, LeasedJob};
use crate::{Failure, Job, JobHandler, JobKind};

/// How often the queue is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often scheduled jobs are checked, at most.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(15);
/// Concurrency for urgent jobs alone, in addition to that of the kind.
const URGENT_CONCURRENCY: usize = 4;
/// How long running jobs may take to finish when the process stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts to store the outcome of a job.
const SETTLE_ATTEMPTS: usize = 5;

/// Runs queued jobs, with one task for each kind, so no kind waits for another.
///
/// A job that fails is retried with growing pauses for as long as its kind says. A job that cannot succeed, or was retried for
/// long enough, fails permanently: it stays as a dead letter with the reason, which is also logged.
#[derive(Clone, Debug)]
pub struct Worker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    /// A worker without handlers.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self(Arc::new(Inner { db, stop: watch::channel(false).0, tasks: Mutex::default() }))
    }

    /// Starts to run the jobs of a kind.
    pub async fn start<W: JobHandler>(&self, work: W) {
        let kind = KindRunner {
            db: self.0.db.clone(),
            work: Arc::new(work),
            after: [Uuid::nil(); 2],
            running: RunningJobs::default(),
        };
        self.0.tasks.lock().await.push(tokio::spawn(kind.run(self.0.stop.subscribe())));
    }

    /// Waits briefly for running jobs, then stops. The next process runs the others.
    pub async fn close(&self) {
        let _ = self.0.stop.send(true);
        for task in self.0.tasks.lock().await.drain(..) {
            let _ = task.await;
        }
    }
}

/// Runs the jobs of one kind in this process.
struct KindRunner<W> {
    db: Db,
    work: Arc<W>,
    /// The last owner served: of normal jobs, and of urgent ones.
    after: [Uuid; 2],
    running: RunningJobs,
}

/// The running jobs and their owners.
#[derive(Default)]
struct RunningJobs {
    tasks: JoinSet<()>,
    owners: HashMap<Id, Uuid>,
}

impl RunningJobs {
    /// The owners whose jobs use half of the concurrency.
    fn busy(&self, kind: &JobKind) -> Vec<Uuid> {
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for owner in self.owners.values() {
            *counts.entry(*owner).or_default() += 1;
        }
        let most = kind.concurrency.div_ceil(2);
        counts.into_iter().filter(|(_, count)| *count >= most).map(|(owner, _)| owner).collect()
    }

    /// Waits until a job finishes. Without running jobs it never returns.
    async fn next(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "job panicked; it will be retried when its lease expires");
                error.id()
            }
        };
        self.owners.remove(&id);
    }
}

impl<W: JobHandler> KindRunner<W> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next_period = Instant::now();
        let look = self.work.interval().map_or(POLL_INTERVAL, |every| SCHEDULE_INTERVAL.min(every).max(POLL_INTERVAL));
        loop {
            if let Some(every) = self.work.interval()
                && next_period <= Instant::now()
            {
                match queue::schedule(&self.db, &W::KIND, every).await {
                    Ok(()) => next_period = Instant::now() + SCHEDULE_INTERVAL.min(every),
                    Err(error) => tracing::error!(%error, kind = W::KIND.name, "scheduled job could not be queued"),
                }
            }
            if let Err(error) = self.fill().await {
                tracing::error!(%error, kind = W::KIND.name, "job queue could not be read");
            }
            tokio::select! {
                () = sleep(look) => {}
                () = self.running.next() => {}
                _ = stop.changed() => break,
            }
        }
        let rest = async { while self.running.tasks.join_next().await.is_some() {} };
        if timeout(SHUTDOWN_TIMEOUT, rest).await.is_err() {
            tracing::warn!(
                kind = W::KIND.name,
                "jobs did not finish before shutdown; they will be retried when their leases expire"
            );
        }
    }

    /// Leases jobs up to the concurrency of the kind, urgent ones first.
    async fn fill(&mut self) -> Result<(), tenancy::Error> {
        let places = W::KIND.concurrency;
        for (urgent, places) in [(true, places + URGENT_CONCURRENCY), (false, places)] {
            while let free @ 1.. = places.saturating_sub(self.running.tasks.len()) {
                let after = self.after[usize::from(urgent)];
                let taken = queue::lease(&self.db, &W::KIND, urgent, after, &self.running.busy(&W::KIND), free).await?;
                let last = taken.iter().map(|job| job.owner).max();
                if last.is_none() && after.is_nil() {
                    break;
                }
                // After the last owner, start over with the first.
                self.after[usize::from(urgent)] = last.unwrap_or_default();
                for job in taken {
                    self.start(job);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, taken: LeasedJob) {
        let (db, work, owner) = (self.db.clone(), self.work.clone(), taken.owner);
        let task = self.running.tasks.spawn(async move {
            let payloads: Result<Vec<_>, _> = taken.payloads.iter().cloned().map(serde_json::from_value).collect();
            let Ok(payloads) = payloads else {
                let job = Job { payloads: Vec::new(), ..Job::of(&taken) };
                return settle(&db, &*work, &taken, &job, Err(Failure::Permanent("it cannot be read".to_owned())))
                    .await;
            };
            let job = Job { payloads, ..Job::of(&taken) };
            let outcome = timeout(W::KIND.timeout, work.run(&job)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(Failure::Retry("it took too long".to_owned())));
            settle(&db, &*work, &taken, &job, outcome).await;
        });
        self.running.owners.insert(task.id(), owner);
    }
}

impl<P> Job<P> {
    fn of(taken: &LeasedJob) -> Self {
        Self {
            id: taken.id,
            tenant: taken.tenant,
            payloads: Vec::new(),
            omitted: u32::try_from(taken.omitted).unwrap_or_default(),
            about: taken.about.clone(),
            request: taken.request,
            first: taken.tries == 1,
        }
    }
}

/// Stores the outcome of a job. It tries several times, because a job whose outcome is lost runs again.
async fn settle<W: JobHandler>(
    db: &Db,
    work: &W,
    taken: &LeasedJob,
    job: &Job<W::Payload>,
    outcome: Result<(), Failure>,
) {
    let kind = W::KIND.name;
    let outcome = match outcome {
        Err(Failure::Retry(reason)) if taken.last_try => Err(Failure::Permanent(reason)),
        other => other,
    };
    match &outcome {
        Err(Failure::Permanent(reason)) => tracing::error!(job = %taken.id, kind, reason, "job failed permanently"),
        Err(Failure::Retry(reason)) => tracing::warn!(job = %taken.id, kind, reason, "job failed; it will be retried"),
        Ok(()) | Err(Failure::Postpone(_)) => {}
    }
    for _ in 0..SETTLE_ATTEMPTS {
        match note(db, work, taken, job, &outcome).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(job = %taken.id, kind, "job lease expired; another worker has the job");
                return;
            }
            Err(error) => tracing::error!(%error, job = %taken.id, kind, "job outcome could not be stored"),
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn note<W: JobHandler>(
    db: &Db,
    work: &W,
    taken: &LeasedJob,
    job: &Job<W::Payload>,
    outcome: &Result<(), Failure>,
) -> Result<bool, tenancy::Error> {
    match outcome {
        Ok(()) => queue::complete(db, taken).await,
        Err(Failure::Retry(_)) => queue::retry(db, taken).await,
        Err(Failure::Postpone(wait)) => queue::postpone(db, taken, *wait).await,
        Err(Failure::Permanent(reason)) => {
            let Some(mut tx) = queue::fail(db, taken, reason).await? else { return Ok(false) };
            work.on_failure(&mut tx, job).await?;
            tx.commit().await?;
            Ok(true)
        }
    }
}
