use askama::Template;
use audit::Actor;
use chrono::Duration;
use jobs::NewJob;
use serde::{Deserialize, Serialize};
use tenancy::{Plane, Tx, UserId, Write};
use uuid::Uuid;

use crate::KIND;

/// An email. It is written in plain text, and sent with the same as HTML.
#[derive(Clone, Debug)]
pub struct Mail {
    /// What it is about, for operators: `invitation`, `passkey.enrolled`.
    pub kind: &'static str,
    /// One line, at most 200 characters.
    pub subject: String,
    /// The text, lines ending in LF.
    pub text: String,
    /// How long it is worth sending. `None`: until the server accepts it or it fails. Somebody waits for an email that expires,
    /// so it goes first.
    pub valid_for: Option<Duration>,
}

/// An email in the queue. Only a [`Mail`] can create one.
#[derive(Debug, Deserialize, Serialize)]
pub struct QueuedMail {
    pub(crate) kind: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The person or service account that caused it.
    pub(crate) by: Option<Uuid>,
    /// Somebody waits for it.
    pub(crate) urgent: bool,
}

impl Mail {
    /// Renders an email from a template (`templates/mail`): `Subject: ` and the subject on its first line, then an empty line
    /// and the text.
    ///
    /// # Errors
    ///
    /// The template cannot be rendered, or has no subject.
    pub fn of(kind: &'static str, template: &impl Template) -> Result<Self, askama::Error> {
        let rendered = template.render()?;
        let parts = rendered.strip_prefix("Subject: ").and_then(|rest| rest.split_once("\n\n"));
        let (subject, text) = parts.ok_or_else(|| askama::Error::custom(format!("the email {kind} has no subject")))?;
        Ok(Self { kind, subject: subject.to_owned(), text: format!("{}\n", text.trim_end()), valid_for: None })
    }

    /// Queues it for an address. It is sent once `tx` is committed, and never if `tx` is rolled back.
    ///
    /// A caller that lets people send email to arbitrary addresses must limit that: see `authn::RateLimit`.
    ///
    /// # Errors
    ///
    /// The database refuses the statement, or the email is too long.
    pub async fn queue_to_address<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        address: &str,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        let owner = by.user.unwrap_or_default();
        self.queue(tx, Some(address), owner, None, by).await
    }

    /// Queues it for a person that the transaction can see, at their verified email address. A person without one gets no
    /// email, because an unverified address may belong to anybody.
    ///
    /// Emails of one kind that wait for one person are combined, except urgent ones.
    ///
    /// # Errors
    ///
    /// The database refuses a statement, or the email is too long.
    pub async fn queue_to<P: Plane>(&self, tx: &mut Tx<Write, P>, user: UserId, by: &Actor) -> Result<(), sqlx::Error> {
        let address = sqlx::query_scalar!(
            "select email from identity.users where id = $1 and verified_email is not null",
            user.uuid(),
        );
        let address = address.fetch_optional(&mut **tx).await?;
        let key = self.valid_for.is_none().then(|| format!("{} {user}", self.kind));
        self.queue(tx, address.as_deref(), user, key.as_deref(), by).await
    }

    /// Does the same work with and without an address, so the response time reveals nothing.
    async fn queue<P: Plane>(
        &self,
        tx: &mut Tx<Write, P>,
        address: Option<&str>,
        owner: UserId,
        key: Option<&str>,
        by: &Actor,
    ) -> Result<(), sqlx::Error> {
        let letter = QueuedMail {
            kind: self.kind.to_owned(),
            to: address.unwrap_or_default().to_owned(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            by: by.member(),
            urgent: self.valid_for.is_some(),
        };
        let job = NewJob {
            kind: KIND.name,
            owner,
            key,
            urgent: letter.urgent,
            valid_for: self.valid_for,
            about: &letter.to,
            payload: &letter,
        };
        job.queue_if(tx, address.is_some(), by).await
    }
}
