use audit::Actor;
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
            "insert into mail.outbox (id, tenant_id, kind, recipient, subject, body, request_id)
             values ($1, nullif(current_setting('app.tenant_id', true), '')::uuid, $2, $3, $4, $5, $6)",
            Uuid::now_v7(),
            self.kind,
            address,
            self.subject,
            self.text,
            by.request,
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Queues it for a person whom the transaction sees, at their verified address. Somebody without one gets none: an
    /// address that nobody has verified may be anybody's.
    pub async fn queue_to<P: Plane>(&self, tx: &mut Tx<Write, P>, user: UserId, by: &Actor) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "insert into mail.outbox (id, tenant_id, kind, recipient, subject, body, request_id)
             select $1, nullif(current_setting('app.tenant_id', true), '')::uuid, $2, email, $3, $4, $5
               from identity.users where id = $6 and verified_email is not null",
            Uuid::now_v7(),
            self.kind,
            self.subject,
            self.text,
            by.request,
            user.uuid(),
        )
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}
