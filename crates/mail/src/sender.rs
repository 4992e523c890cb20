use std::time::Duration;

use askama::Template;
use audit::{Actor, Event};
use jobs::{Failure, Job, JobHandler, JobKind, Throttle, throttle};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncTransport, Message};
use serde_json::json;
use tenancy::{Db, Jobs, Tx, Write};

use crate::config::{Config, ConfigError, Server};
use crate::html::{HtmlMail, RULE};
use crate::mail::QueuedMail;

/// Emails of one kind to one address. Further ones wait and are combined.
const PER_RECIPIENT: Throttle =
    Throttle { name: "mail to", burst: 5, period: Duration::from_mins(10), max_wait: Duration::from_mins(10) };
/// Emails of all kinds that one person causes.
const PER_SENDER: Throttle =
    Throttle { name: "mail by", burst: 60, period: Duration::from_secs(10), max_wait: Duration::from_mins(10) };

/// Enhanced status codes (RFC 3463) for a recipient that does not exist. Any other refusal may be about our own setup, so it is
/// retried.
const NO_RECIPIENT: [&str; 5] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];

/// Hands emails to the server.
///
/// If a process dies after the server accepts an email and before that is stored, the email is sent again under the same
/// Message-ID. An email that fails permanently, such as one to a recipient that does not exist, is recorded in the audit log as
/// `mail.undeliverable`.
#[derive(Debug)]
pub struct Sender {
    server: Server,
    db: Db,
}

impl Sender {
    /// Checks the configuration. It does not connect yet: a server that is down must not stop the application from starting.
    ///
    /// # Errors
    ///
    /// A setting is missing, malformed, or unsafe in production.
    pub fn new(config: &Config, production: bool, db: Db) -> Result<Self, ConfigError> {
        Ok(Self { server: Server::new(config, production)?, db })
    }

    async fn send(&self, job: &Job<QueuedMail>, letter: &QueuedMail) -> Result<(), Failure> {
        let to = letter.to.parse().map_err(|_| Failure::Permanent("it is not an address".to_owned()))?;
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let (subject, text) = combine(job, letter);
        let html = HtmlMail { subject: &subject, text: &text }.render();
        let html = html.map_err(|error| Failure::Permanent(error.to_string()))?;
        let from = &self.server.from;
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(&*subject)
            .message_id(Some(format!("<{}@{}>", job.id, from.email.domain())))
            // RFC 3834: no vacation notice should reply to it.
            .raw_header(automatic)
            .multipart(MultiPart::alternative_plain_html(text, html))
            .map_err(|error| Failure::Permanent(error.to_string()))?;
        self.server.transport.send(message).await.map(drop).map_err(|error| {
            // The message of the server often contains the address, so only its codes are logged.
            let words = error.to_string();
            let enhanced = words.split_whitespace().find(|word| NO_RECIPIENT.contains(word));
            let code = error.status().map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            match enhanced {
                Some(enhanced) => Failure::Permanent(format!("{code} {enhanced}")),
                None => Failure::Retry(code),
            }
        })
    }

    /// Throttles an email. Urgent ones were already limited where they were requested.
    async fn check_throttle(&self, job: &Job<QueuedMail>, letter: &QueuedMail) -> Result<(), Failure> {
        if letter.urgent || !job.first {
            return Ok(());
        }
        let mut throttles = vec![(PER_RECIPIENT, format!("{} {}", letter.kind, letter.to.to_lowercase()))];
        throttles.extend(letter.by.map(|by| (PER_SENDER, by.to_string())));
        match throttle(&self.db, &throttles).await {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => Err(Failure::Postpone(wait)),
            Err(error) => Err(Failure::Retry(format!("it was not counted: {error}"))),
        }
    }
}

impl JobHandler for Sender {
    type Payload = QueuedMail;

    const KIND: JobKind = crate::KIND;

    async fn run(&self, job: &Job<QueuedMail>) -> Result<(), Failure> {
        let Some(letter) = job.payloads.first() else { return Err(Failure::Permanent("it is empty".to_owned())) };
        self.check_throttle(job, letter).await?;
        self.send(job, letter).await
    }

    async fn on_failure(&self, tx: &mut Tx<Write, Jobs>, job: &Job<QueuedMail>) -> Result<(), tenancy::Error> {
        let by = Actor::unknown(job.request, String::new());
        let kind = job.payloads.first().map_or("", |letter| &letter.kind);
        let details = json!({ "mail": kind, "recipient": job.about });
        let event = Event { kind: "mail.undeliverable", target: format!("Mail::{}", job.id), details };
        event.record_in(tx, job.tenant, &by).await?;
        Ok(())
    }
}

/// Subject and text of one email, or of several combined.
fn combine(job: &Job<QueuedMail>, first: &QueuedMail) -> (String, String) {
    let more = job.payloads.len().saturating_sub(1) + usize::try_from(job.omitted).unwrap_or_default();
    if more == 0 {
        return (first.subject.clone(), first.text.clone());
    }
    let texts: Vec<&str> = job.payloads.iter().map(|letter| letter.text.trim_end()).collect();
    let text = texts.join(&format!("\n\n{RULE}\n\n"));
    let rest = match job.omitted {
        0 => String::new(),
        omitted => format!("\n\n{RULE}\n\n{omitted} more happened, too many for one mail."),
    };
    (format!("{} (and {more} more)", first.subject), format!("{text}{rest}\n"))
}
