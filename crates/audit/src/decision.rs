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

/// Maximum number of decisions in the queue. At about 300 bytes each, that is about 5 MB.
const QUEUE_SIZE: usize = 16_384;
/// Maximum number of decisions in one insert.
const MAX_BATCH: usize = 4_096;
/// How long decisions are collected into one batch.
const BATCH_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for the database to store a batch.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for room in the queue. After it the request is refused, because it must not be answered without a record.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// One decision of the policy engine.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The organization that it belongs to.
    pub tenant: Option<TenantId>,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The principal, as a Cedar entity id.
    pub principal: String,
    /// The action.
    pub action: &'static str,
    /// The resource, as a Cedar entity id.
    pub resource: String,
    /// Whether the action is allowed.
    pub allowed: bool,
    /// It is refused, but would be allowed after a fresh passkey.
    pub step_up: bool,
    /// `@id`s of the policies that determined it.
    pub policies: Arc<[String]>,
    /// SHA-256 of the policy set.
    pub policy_set: [u8; 32],
    /// The request.
    pub request: Uuid,
    /// The API client that was used.
    pub client: Option<Uuid>,
    /// How they acted, as features report it.
    pub context: Map<String, Value>,
}

impl Decision {
    /// Records the decision in the transaction of the write that it allows. Neither exists without the other.
    ///
    /// # Errors
    ///
    /// The database refuses the statement.
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
            &self.policies[..],
            &self.policy_set[..],
            self.request,
            context(self.client, &self.context),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// The queue of decisions stays full. The request must be refused.
#[derive(Debug, thiserror::Error)]
#[error("policy decisions cannot be recorded at the moment")]
pub struct Overloaded;

/// Records decisions that have no transaction of their own: for reads, and refusals.
///
/// One task writes them in batches. The queue is bounded. If the database does not keep up, requests wait and are then refused
/// ([`Overloaded`]). No decision is lost silently: [`close`](Self::close) returns how many could not be written, and a decision that
/// does not fit into the queue goes to the error log. A killed process loses the decisions that it has not written yet. They are
/// at most [`BATCH_INTERVAL`] old while the database works.
#[derive(Clone, Debug)]
pub struct Decisions {
    queue: Sender<Decision>,
    task: Arc<Mutex<Option<Task>>>,
}

/// A decision that is about to be queued. If there is no room, or the request is cancelled while it waits, the decision goes to the
/// error log.
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

    /// Queues a decision.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] if the queue stays full.
    pub async fn record(&self, decision: Decision) -> Result<(), Overloaded> {
        let mut unrecorded = QueuedDecision(Some(decision));
        let Ok(Ok(place)) = timeout(QUEUE_TIMEOUT, self.queue.reserve()).await else { return Err(Overloaded) };
        if let Some(decision) = unrecorded.0.take() {
            place.send(decision);
        }
        Ok(())
    }

    /// Queues a decision without waiting. If the queue is full, the decision goes to the error log.
    pub fn record_now(&self, decision: Decision) {
        if let Err(TrySendError::Full(decision) | TrySendError::Closed(decision)) = self.queue.try_send(decision) {
            drop(QueuedDecision(Some(decision)));
        }
    }

    /// Writes the queued decisions and stops. Returns how many could not be written.
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
                    // The batch is kept and retried. Until that succeeds, the queue fills up and requests are refused.
                    Err(error) => tracing::error!(%error, waiting = batch.len() + waiting.len(), "decisions could not be written"),
                }
            }
            _ = &mut closed => break,
        }
    }
    waiting.close();
    loop {
        // Wait until every reserved place in the queue is used or released.
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

/// Gives a decision its id, once. So a batch is not written twice if the response to the first attempt was lost.
fn numbered(decision: Decision) -> (Uuid, Decision) {
    (Uuid::now_v7(), decision)
}

/// Writes a batch, with a timeout. The caller keeps a failed batch and tries again.
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
    // An array of arrays cannot be unnested by row. Policy ids contain no comma: this is checked when policies are loaded.
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
