use audit::Actor;
use chrono::Duration;
use jobs::NewJob;
use serde::{Deserialize, Serialize};
use tenancy::{Plane, Tx, UserId, Write};
use uuid::Uuid;

use crate::KIND;

/// A mail in plain text.
#[derive(Clone, Debug)]
pub struct Mail {
    /// What it is about, for operators: `invitation`, `passkey.enrolled`.
    pub kind: &'static str,
    /// One line, at most 200 characters.
    pub subject: String,
    /// The text, lines ending in LF.
    pub text: String,
    /// How long it is worth sending. `None`: until the server has it, or it is given up. What is good for a while is what
    /// people wait for, so it goes first.
    pub good_for: Option<Duration>,
}

/// A mail as it stands in the queue: made of a [`Mail`] alone.
#[derive(Debug, Deserialize, Serialize)]
pub struct Letter {
    pub(crate) kind: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// Whoever made it necessary: the person or the service account.
    pub(crate) by: Option<Uuid>,
    /// Somebody waits for it.
    pub(crate) urgent: bool,
}

impl Mail {
    /// Queues it for an address. It is sent once `tx` is committed, and never if it is not.
    ///
    /// Whoever lets people have mail sent to addresses counts it: see `authn::RateLimit`.
    pub async fn queue_to_address<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        address: &str,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        let owner = by.user.unwrap_or_default();
        self.queue(tx, Some(address), owner, None, by).await
    }

    /// Queues it for a person whom the transaction sees, at their verified address. Somebody without one gets none: an
    /// address that nobody has verified may be anybody's.
    ///
    /// Mails of one kind to one person that wait at the same time become one, but those that somebody waits for.
    pub async fn queue_to<P: Plane>(&self, tx: &mut Tx<Write, P>, user: UserId, by: &Actor) -> Result<(), sqlx::Error> {
        let address = sqlx::query_scalar!(
            "select email from identity.users where id = $1 and verified_email is not null",
            user.uuid(),
        );
        let address = address.fetch_optional(&mut **tx).await?;
        let key = self.good_for.is_none().then(|| format!("{} {user}", self.kind));
        self.queue(tx, address.as_deref(), user, key.as_deref(), by).await
    }

    /// As much work whether or not there is an address, so that time does not tell.
    async fn queue<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        address: Option<&str>,
        owner: UserId,
        key: Option<&str>,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        let letter = Letter {
            kind: self.kind.to_owned(),
            to: address.unwrap_or_default().to_owned(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            by: by.member(),
            urgent: self.good_for.is_some(),
        };
        let job = NewJob {
            kind: KIND.name,
            owner,
            key,
            urgent: letter.urgent,
            good_for: self.good_for,
            about: &letter.to,
            payload: &letter,
        };
        job.queue_if(tx, address.is_some(), by).await
    }
}
