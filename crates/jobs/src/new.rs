use audit::Actor;
use chrono::Duration;
use serde::Serialize;
use serde_json::Value;
use tenancy::{Plane, Tx, UserId, Write};
use uuid::Uuid;

/// Largest payload, in bytes of JSON. Ten of them fit into a row.
const MAX_PAYLOAD: usize = 96 * 1024;

/// A job that is not queued yet.
#[derive(Clone, Debug)]
pub struct NewJob<'a, P> {
    /// Which [`JobHandler`](crate::JobHandler) does it.
    pub kind: &'static str,
    /// The person it counts for. In a transaction of an organization it counts for the organization.
    pub owner: UserId,
    /// Only one job waits for each owner, kind and key. Others are added to its payloads, up to ten.
    pub key: Option<&'a str>,
    /// Somebody waits for it. It goes before jobs that are not urgent.
    pub urgent: bool,
    /// How long it is useful. `None`: until it succeeds or fails.
    pub valid_for: Option<Duration>,
    /// What people see of it.
    pub about: &'a str,
    /// Its payload.
    pub payload: &'a P,
}

impl<P: Serialize> NewJob<'_, P> {
    /// Queues it. It is done once `tx` is committed, and never if it is not.
    ///
    /// # Errors
    ///
    /// The database refuses the statement, or the payload is too long.
    pub async fn queue<T: Plane>(&self, tx: &mut Tx<Write, T>, by: &Actor) -> Result<(), sqlx::Error> {
        self.queue_if(tx, true, by).await
    }

    /// The same, or the same work without a job, so that the response time reveals nothing.
    ///
    /// # Errors
    ///
    /// As [`queue`](Self::queue).
    pub async fn queue_if<T: Plane>(&self, tx: &mut Tx<Write, T>, really: bool, by: &Actor) -> Result<(), sqlx::Error> {
        let payload = self.payload()?;
        let (id, owner, seconds) = (Uuid::now_v7(), self.owner.uuid(), self.valid_for.map(Duration::as_seconds_f64));
        let Some(key) = self.key else {
            sqlx::query!(
                "insert into jobs.queue (id, kind, tenant_id, owner, urgent, payloads, about, request_id, expires_at)
                 select $1, $2, bound.tenant, coalesce(bound.tenant, $3), $4, array[$5::jsonb], $6, $7,
                        now() + make_interval(secs => $8)
                   from (select nullif(current_setting('app.tenant_id', true), '')::uuid as tenant) bound where $9",
                id,
                self.kind,
                owner,
                self.urgent,
                payload,
                self.about,
                by.request,
                seconds as Option<f64>,
                really,
            )
            .execute(&mut **tx)
            .await?;
            return Ok(());
        };
        sqlx::query!(
            "insert into jobs.queue as q (id, kind, tenant_id, owner, urgent, key, payloads, about, request_id, expires_at)
             select $1, $2, bound.tenant, coalesce(bound.tenant, $3), $4, $5, array[$6::jsonb], $7, $8,
                    now() + make_interval(secs => $9)
               from (select nullif(current_setting('app.tenant_id', true), '')::uuid as tenant) bound where $10
             on conflict (owner, kind, key) where waiting and key is not null do update set
               payloads = case when cardinality(q.payloads) < 10 then q.payloads || excluded.payloads else q.payloads end,
               omitted = q.omitted + case when cardinality(q.payloads) < 10 then 0 else 1 end",
            id,
            self.kind,
            owner,
            self.urgent,
            key,
            payload,
            self.about,
            by.request,
            seconds as Option<f64>,
            really,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    fn payload(&self) -> Result<Value, sqlx::Error> {
        let payload = serde_json::to_value(self.payload).map_err(|error| sqlx::Error::Encode(error.into()))?;
        if payload.to_string().len() > MAX_PAYLOAD {
            return Err(sqlx::Error::Encode(format!("a payload of {} is too long", self.kind).into()));
        }
        Ok(payload)
    }
}
