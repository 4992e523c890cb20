use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tenancy::Db;
use tokio::sync::{Mutex, watch};
use tokio::task::{Id, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::queue::{self, Taken};
use crate::{Failure, Job, Kind, Work};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether a period has begun, at most.
const PERIODS: Duration = Duration::from_secs(15);
/// Places that only what is urgent may take, besides those of the kind.
const URGENT_PLACES: usize = 4;
/// Longest wait for what is being done when the process stops.
const STOP: Duration = Duration::from_secs(10);
/// How often it is tried to note what became of a job.
const NOTES: usize = 5;

/// Does what is queued: one task for each kind that was given to it, so that no kind waits for another.
///
/// What is not done is tried again, with longer and longer pauses, for as long as its kind says. Then, or at once where it can
/// never be done, it is given up: it stays as a dead letter with the reason, which the log tells.
#[derive(Clone, Debug)]
pub struct Worker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    /// One that does nothing yet.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self(Arc::new(Inner { db, stop: watch::channel(false).0, tasks: Mutex::default() }))
    }

    /// Starts doing the jobs of a kind.
    pub async fn start<W: Work>(&self, work: W) {
        let kind =
            Doing { db: self.0.db.clone(), work: Arc::new(work), after: [Uuid::nil(); 2], running: Running::default() };
        self.0.tasks.lock().await.push(tokio::spawn(kind.run(self.0.stop.subscribe())));
    }

    /// Finishes what is being done, for a moment, and stops. What waits is done by the next process.
    pub async fn close(&self) {
        let _ = self.0.stop.send(true);
        for task in self.0.tasks.lock().await.drain(..) {
            let _ = task.await;
        }
    }
}

/// The jobs of one kind, in this process.
struct Doing<W> {
    db: Db,
    work: Arc<W>,
    /// Whose turn was last, of what is not urgent and of what is.
    after: [Uuid; 2],
    running: Running,
}

/// What is being done, and for whom.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    owners: HashMap<Id, Uuid>,
}

impl Running {
    /// Those for whom half of the places are taken.
    fn busy(&self, kind: &Kind) -> Vec<Uuid> {
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for owner in self.owners.values() {
            *counts.entry(*owner).or_default() += 1;
        }
        let most = kind.places.div_ceil(2);
        counts.into_iter().filter(|(_, count)| *count >= most).map(|(owner, _)| owner).collect()
    }

    /// Waits until one is done; for ever where there is none.
    async fn next(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "a job was not finished; it is tried again when its lease is over");
                error.id()
            }
        };
        self.owners.remove(&id);
    }
}

impl<W: Work> Doing<W> {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next_period = Instant::now();
        let look = self.work.every().map_or(LOOK, |every| PERIODS.min(every).max(LOOK));
        loop {
            if let Some(every) = self.work.every()
                && next_period <= Instant::now()
            {
                match queue::period(&self.db, &W::KIND, every).await {
                    Ok(()) => next_period = Instant::now() + PERIODS.min(every),
                    Err(error) => tracing::error!(%error, kind = W::KIND.name, "a job that is due again is not queued"),
                }
            }
            if let Err(error) = self.fill().await {
                tracing::error!(%error, kind = W::KIND.name, "the queue cannot be read");
            }
            tokio::select! {
                () = sleep(look) => {}
                () = self.running.next() => {}
                _ = stop.changed() => break,
            }
        }
        let rest = async { while self.running.tasks.join_next().await.is_some() {} };
        if timeout(STOP, rest).await.is_err() {
            tracing::warn!(
                kind = W::KIND.name,
                "jobs were not finished; they are tried again when their leases are over"
            );
        }
    }

    /// Takes as much as there are places for, what is urgent first.
    async fn fill(&mut self) -> Result<(), tenancy::Error> {
        let places = W::KIND.places;
        for (urgent, places) in [(true, places + URGENT_PLACES), (false, places)] {
            while let free @ 1.. = places.saturating_sub(self.running.tasks.len()) {
                let after = self.after[usize::from(urgent)];
                let taken = queue::take(&self.db, &W::KIND, urgent, after, &self.running.busy(&W::KIND), free).await?;
                let last = taken.iter().map(|job| job.owner).max();
                if last.is_none() && after.is_nil() {
                    break;
                }
                // After the last of them it is the turn of the first again.
                self.after[usize::from(urgent)] = last.unwrap_or_default();
                for job in taken {
                    self.start(job);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, taken: Taken) {
        let (db, work, owner) = (self.db.clone(), self.work.clone(), taken.owner);
        let task = self.running.tasks.spawn(async move {
            let payloads: Result<Vec<_>, _> = taken.payloads.iter().cloned().map(serde_json::from_value).collect();
            let Ok(payloads) = payloads else {
                let job = Job { payloads: Vec::new(), ..Job::of(&taken) };
                return settle(&db, &*work, &taken, &job, Err(Failure::Never("it cannot be read".to_owned()))).await;
            };
            let job = Job { payloads, ..Job::of(&taken) };
            let outcome = timeout(W::KIND.patience, work.run(&job)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(Failure::Again("it took too long".to_owned())));
            settle(&db, &*work, &taken, &job, outcome).await;
        });
        self.running.owners.insert(task.id(), owner);
    }
}

impl<P> Job<P> {
    fn of(taken: &Taken) -> Self {
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

/// Notes what became of a job, with some patience: one that is done and not noted is done again.
async fn settle<W: Work>(db: &Db, work: &W, taken: &Taken, job: &Job<W::Payload>, outcome: Result<(), Failure>) {
    let kind = W::KIND.name;
    let outcome = match outcome {
        Err(Failure::Again(reason)) if taken.last_try => Err(Failure::Never(reason)),
        other => other,
    };
    match &outcome {
        Err(Failure::Never(reason)) => tracing::error!(job = %taken.id, kind, reason, "a job was given up"),
        Err(Failure::Again(reason)) => tracing::warn!(job = %taken.id, kind, reason, "a job failed; it is tried again"),
        Ok(()) | Err(Failure::NotBefore(_)) => {}
    }
    for _ in 0..NOTES {
        match note(db, work, taken, job, &outcome).await {
            Ok(true) => return,
            Ok(false) => {
                tracing::warn!(job = %taken.id, kind, "a job took longer than its lease; somebody else has it");
                return;
            }
            Err(error) => tracing::error!(%error, job = %taken.id, kind, "what became of a job is not noted"),
        }
        sleep(LOOK).await;
    }
}

async fn note<W: Work>(
    db: &Db,
    work: &W,
    taken: &Taken,
    job: &Job<W::Payload>,
    outcome: &Result<(), Failure>,
) -> Result<bool, tenancy::Error> {
    match outcome {
        Ok(()) => queue::done(db, taken).await,
        Err(Failure::Again(_)) => queue::again(db, taken).await,
        Err(Failure::NotBefore(wait)) => queue::not_before(db, taken, *wait).await,
        Err(Failure::Never(reason)) => {
            let Some(mut tx) = queue::give_up(db, taken, reason).await? else { return Ok(false) };
            work.given_up(&mut tx, job).await?;
            tx.commit().await?;
            Ok(true)
        }
    }
}
