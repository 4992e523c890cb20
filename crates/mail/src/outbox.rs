use audit::Actor;
use chrono::Duration;
use tenancy::{Plane, Tx, UserId, Write};
use uuid::Uuid;

/// A mail in plain text.
#[derive(Clone, Debug)]
pub struct Mail {
    /// What it is about, for operators: `invitation`, `passkey.enrolled`.
    pub kind: &'static str,
    /// One line, at most 200 characters.
    pub subject: String,
    /// The text, lines ending in LF.
    pub text: String,
    /// How long it is worth sending. `None`: until the server has it, or it is given up.
    pub good_for: Option<Duration>,
}

impl Mail {
    /// Queues it for an address. It is sent once `tx` is committed, and never if it is not.
    pub async fn queue_to_address<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        address: &str,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into mail.outbox (id, tenant_id, kind, recipient, subject, body, request_id, expires_at)
             values ($1, nullif(current_setting('app.tenant_id', true), '')::uuid, $2, $3, $4, $5, $6,
                     now() + make_interval(secs => $7))",
            Uuid::now_v7(),
            self.kind,
            address,
            self.subject,
            self.text,
            by.request,
            self.seconds() as Option<f64>,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Queues it for a person whom the transaction sees, at their verified address. Somebody without one gets none: an
    /// address that nobody has verified may be anybody's.
    pub async fn queue_to<P: Plane>(&self, tx: &mut Tx<Write, P>, user: UserId, by: &Actor) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into mail.outbox (id, tenant_id, kind, recipient, subject, body, request_id, expires_at)
             select $1, nullif(current_setting('app.tenant_id', true), '')::uuid, $2, email, $3, $4, $5,
                    now() + make_interval(secs => $7)
               from identity.users where id = $6 and verified_email is not null",
            Uuid::now_v7(),
            self.kind,
            self.subject,
            self.text,
            by.request,
            user.uuid(),
            self.seconds() as Option<f64>,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    fn seconds(&self) -> Option<f64> {
        self.good_for.map(Duration::as_seconds_f64)
    }
}
