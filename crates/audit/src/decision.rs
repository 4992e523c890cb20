use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tenancy::{Db, Plane, TenantId, Tx, Write};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::event::context;

/// Decisions that may wait to be written. At about 300 bytes each this bounds the queue to about 5 MB.
const QUEUE_SIZE: usize = 16_384;
/// Most decisions of one insert.
const MAX_BATCH: usize = 4_096;
/// Time in which decisions gather into one batch.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for the database to take a batch.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for room in the queue; then the request is refused rather than answered unrecorded.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// One answer of the policy engine.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The organization it was made in.
    pub tenant: Option<TenantId>,
    /// When.
    pub at: DateTime<Utc>,
    /// Who asked, as a Cedar entity id.
    pub principal: String,
    /// For which action.
    pub action: &'static str,
    /// On what, as a Cedar entity id.
    pub resource: String,
    /// What was answered.
    pub allowed: bool,
    /// Refused now, and allowed after a fresh passkey.
    pub step_up: bool,
    /// `@id`s of the policies that determined it.
    pub policies: Vec<String>,
    /// SHA-256 of the policy set.
    pub policy_set: [u8; 32],
    /// The request.
    pub request: Uuid,
    /// The client of the API through which they asked.
    pub client: Option<Uuid>,
    /// How they acted, where features say so.
    pub context: Map<String, Value>,
}

impl Decision {
    /// Records the decision in the transaction of the write it allows: neither exists without the other.
    pub async fn record<P: Plane>(&self, tx: &mut Tx<Write, P>) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into audit.decisions
               (id, tenant_id, at, principal, action, resource, allowed, policies, policy_set, request_id, context)
             values ($1, nullif(current_setting('app.tenant_id', true), '')::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            Uuid::now_v7(),
            self.at,
            self.principal,
            self.action,
            self.resource,
            self.allowed,
            &self.policies,
            &self.policy_set[..],
            self.request,
            context(self.client, &self.context),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// The queue of decisions is full and stays full: the request must be refused.
#[derive(Debug, thiserror::Error)]
#[error("policy decisions cannot be recorded at the moment")]
pub struct Overloaded;

/// Records decisions that have no transaction of their own: those that allow reading, and refusals.
///
/// They are written in batches by one task. The queue is bounded: while the database does not take them, requests wait
/// and are then refused ([`Overloaded`]). Nothing is dropped in silence: [`close`](Self::close) says what it could not
/// write, and what the queue does not take is in the error log. A killed process loses what it had not
/// yet written (at most [`BATCH_INTERVAL`] old while the database is well).
#[derive(Clone, Debug)]
pub struct Decisions {
    queue: Sender<Decision>,
    task: Arc<Mutex<Option<Task>>>,
}

/// A decision on its way into the queue. Where it does not get there, because there is no room or because the request was
/// given up while it waited, it goes to the error log.
#[derive(Debug)]
struct QueuedDecision(Option<Decision>);

impl Drop for QueuedDecision {
    fn drop(&mut self) {
        if let Some(decision) = &self.0 {
            tracing::error!(?decision, "decision could not be stored");
        }
    }
}

#[derive(Debug)]
struct Task {
    close: oneshot::Sender<()>,
    done: JoinHandle<usize>,
}

impl Decisions {
    /// Starts the writing task.
    #[must_use]
    pub fn start(db: Db) -> Self {
        let (queue, waiting) = channel(QUEUE_SIZE);
        let (close, closed) = oneshot::channel();
        let done = tokio::spawn(write(db, waiting, closed));
        Self { queue, task: Arc::new(Mutex::new(Some(Task { close, done }))) }
    }

    /// Hands over a decision.
    pub async fn record(&self, decision: Decision) -> Result<(), Overloaded> {
        let mut unrecorded = QueuedDecision(Some(decision));
        let Ok(Ok(place)) = timeout(QUEUE_TIMEOUT, self.queue.reserve()).await else { return Err(Overloaded) };
        if let Some(decision) = unrecorded.0.take() {
            place.send(decision);
        }
        Ok(())
    }

    /// Hands over a decision that nobody can wait for any more. Where the queue is full it goes to the error log.
    pub fn record_now(&self, decision: Decision) {
        if let Err(TrySendError::Full(decision) | TrySendError::Closed(decision)) = self.queue.try_send(decision) {
            drop(QueuedDecision(Some(decision)));
        }
    }

    /// Writes what waits and stops. Returns how many decisions could not be written.
    pub async fn close(&self) -> usize {
        let Some(Task { close, done }) = self.task.lock().await.take() else {
            return 0;
        };
        let _ = close.send(());
        done.await.unwrap_or(usize::MAX)
    }
}

async fn write(db: Db, mut waiting: Receiver<Decision>, mut closed: oneshot::Receiver<()>) -> usize {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        tokio::select! {
            () = async {
                if batch.is_empty() {
                    batch.extend(waiting.recv().await.map(numbered));
                }
                sleep(BATCH_INTERVAL).await;
            } => {
                fill(&mut batch, &mut waiting);
                match insert(&db, &batch).await {
                    Ok(()) => batch.clear(),
                    // Kept and retried. Until that succeeds, the queue fills up and requests are refused.
                    Err(error) => tracing::error!(%error, waiting = batch.len() + waiting.len(), "decisions could not be written"),
                }
            }
            _ = &mut closed => break,
        }
    }
    waiting.close();
    loop {
        // Until the last place that was given out is used or given back.
        while batch.len() < MAX_BATCH
            && let Some(decision) = waiting.recv().await
        {
            batch.push(numbered(decision));
        }
        if batch.is_empty() {
            return 0;
        }
        if let Err(error) = insert(&db, &batch).await {
            let lost = batch.len() + waiting.len();
            tracing::error!(%error, lost, "decisions lost at shutdown");
            return lost;
        }
        batch.clear();
    }
}

fn fill(batch: &mut Vec<(Uuid, Decision)>, waiting: &mut Receiver<Decision>) {
    while batch.len() < MAX_BATCH {
        let Ok(decision) = waiting.try_recv() else { return };
        batch.push(numbered(decision));
    }
}

/// Gives a decision its id, once: a batch whose answer was lost is not written twice.
fn numbered(decision: Decision) -> (Uuid, Decision) {
    (Uuid::now_v7(), decision)
}

/// Writes a batch, and gives up where the database does not answer: the batch is kept and tried again.
async fn insert(db: &Db, batch: &[(Uuid, Decision)]) -> Result<(), tenancy::Error> {
    timeout(WRITE_TIMEOUT, insert_all(db, batch)).await.unwrap_or(Err(tenancy::Error::Busy))
}

async fn insert_all(db: &Db, batch: &[(Uuid, Decision)]) -> Result<(), tenancy::Error> {
    let mut tx = db.begin_audit().await?;
    let ids: Vec<Uuid> = batch.iter().map(|(id, _)| *id).collect();
    let batch: Vec<&Decision> = batch.iter().map(|(_, decision)| decision).collect();
    let tenants: Vec<Option<Uuid>> = batch.iter().map(|d| d.tenant.map(TenantId::uuid)).collect();
    let times: Vec<DateTime<Utc>> = batch.iter().map(|d| d.at).collect();
    let principals: Vec<String> = batch.iter().map(|d| d.principal.clone()).collect();
    let actions: Vec<String> = batch.iter().map(|d| d.action.to_owned()).collect();
    let resources: Vec<String> = batch.iter().map(|d| d.resource.clone()).collect();
    let allowed: Vec<bool> = batch.iter().map(|d| d.allowed).collect();
    let step_up: Vec<bool> = batch.iter().map(|d| d.step_up).collect();
    // An array of arrays cannot be unnested by row; policy ids contain no comma (checked when policies are loaded).
    let policies: Vec<String> = batch.iter().map(|d| d.policies.join(",")).collect();
    let sets: Vec<Vec<u8>> = batch.iter().map(|d| d.policy_set.to_vec()).collect();
    let requests: Vec<Uuid> = batch.iter().map(|d| d.request).collect();
    let contexts: Vec<Value> = batch.iter().map(|d| context(d.client, &d.context)).collect();
    sqlx::query!(
        r#"insert into audit.decisions
             (id, tenant_id, at, principal, action, resource, allowed, step_up, policies, policy_set, request_id,
              context)
           select id, tenant, at, principal, action, resource, allowed, step_up, string_to_array(policies, ','),
                  policy_set, request, context
             from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bool[],
                         $8::bool[], $9::text[], $10::bytea[], $11::uuid[], $12::jsonb[])
               as d (id, tenant, at, principal, action, resource, allowed, step_up, policies, policy_set, request, context)
           on conflict do nothing"#,
        &ids,
        &tenants as &[Option<Uuid>],
        &times,
        &principals,
        &actions,
        &resources,
        &allowed,
        &step_up,
        &policies,
        &sets,
        &requests,
        &contexts,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}
