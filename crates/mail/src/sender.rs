use std::time::Duration;

use audit::{Actor, Event};
use jobs::{Failure, Job, Kind, Pace, Work, pace};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::{AsyncTransport, Message};
use serde_json::json;
use tenancy::{Db, Jobs, Tx, Write};

use crate::config::{Config, ConfigError, Server};
use crate::mail::Letter;

/// Mails of one kind to one address. The next ones wait, and become one.
const TO: Pace = Pace { name: "mail to", burst: 5, period: Duration::from_mins(10), longest: Duration::from_mins(10) };
/// Mails of all kinds that one person has sent to others.
const BY: Pace = Pace { name: "mail by", burst: 60, period: Duration::from_secs(10), longest: Duration::from_mins(10) };

/// Enhanced status codes (RFC 3463) that say of the recipient that there is none. Whatever else a server refuses may be
/// about us, and gets better when we do.
const NO_RECIPIENT: [&str; 5] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];

/// Hands mails to the server.
///
/// A process that dies between the server's answer and its note of it leaves a mail that is sent again, under the same
/// Message-ID. One that is given up, for instance because the server says that there is no such recipient, stands in the audit
/// log as `mail.undeliverable`.
#[derive(Debug)]
pub struct Sender {
    server: Server,
    db: Db,
}

impl Sender {
    /// The server is not asked yet: one that is down must not keep the application from starting.
    pub fn new(config: &Config, production: bool, db: Db) -> Result<Self, ConfigError> {
        Ok(Self { server: Server::new(config, production)?, db })
    }

    async fn send(&self, job: &Job<Letter>, letter: &Letter) -> Result<(), Failure> {
        let to = letter.to.parse().map_err(|_| Failure::Never("it is no address".to_owned()))?;
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let (subject, text) = gathered(job, letter);
        let from = &self.server.from;
        let message = Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", job.id, from.email.domain())))
            // RFC 3834: nobody's holiday notice needs to answer it.
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| Failure::Never(error.to_string()))?;
        self.server.transport.send(message).await.map(drop).map_err(|error| {
            // The server's words often hold the address, so they are in no log: only its codes are.
            let words = error.to_string();
            let enhanced = words.split_whitespace().find(|word| NO_RECIPIENT.contains(word));
            let code = error.status().map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            match enhanced {
                Some(enhanced) => Failure::Never(format!("{code} {enhanced}")),
                None => Failure::Again(code),
            }
        })
    }

    /// Counts a mail, and says how long it has to wait. What somebody waits for was counted by who lets them ask for it.
    async fn turn(&self, job: &Job<Letter>, letter: &Letter) -> Result<(), Failure> {
        if letter.urgent || !job.first {
            return Ok(());
        }
        let mut paces = vec![(TO, format!("{} {}", letter.kind, letter.to.to_lowercase()))];
        paces.extend(letter.by.map(|by| (BY, by.to_string())));
        match pace(&self.db, &paces).await {
            Ok(Duration::ZERO) => Ok(()),
            Ok(wait) => Err(Failure::NotBefore(wait)),
            Err(error) => Err(Failure::Again(format!("it was not counted: {error}"))),
        }
    }
}

impl Work for Sender {
    type Payload = Letter;

    const KIND: Kind = crate::KIND;

    async fn run(&self, job: &Job<Letter>) -> Result<(), Failure> {
        let Some(letter) = job.payloads.first() else { return Err(Failure::Never("it is empty".to_owned())) };
        self.turn(job, letter).await?;
        self.send(job, letter).await
    }

    async fn given_up(&self, tx: &mut Tx<Write, Jobs>, job: &Job<Letter>) -> Result<(), tenancy::Error> {
        let by = Actor {
            user: None,
            session: None,
            client: None,
            elevation: None,
            request: job.request,
            network: String::new(),
        };
        let kind = job.payloads.first().map_or("", |letter| &letter.kind);
        let details = json!({ "mail": kind, "recipient": job.about });
        let event = Event { kind: "mail.undeliverable", target: format!("Mail::{}", job.id), details };
        event.record_in(tx, job.tenant, &by).await?;
        Ok(())
    }
}

/// Subject and text: of one mail, or of several that became one.
fn gathered(job: &Job<Letter>, first: &Letter) -> (String, String) {
    let more = job.payloads.len().saturating_sub(1) + usize::try_from(job.omitted).unwrap_or_default();
    if more == 0 {
        return (first.subject.clone(), first.text.clone());
    }
    let texts: Vec<&str> = job.payloads.iter().map(|letter| letter.text.trim_end()).collect();
    let text = texts.join("\n\n----------\n\n");
    let rest = match job.omitted {
        0 => String::new(),
        omitted => format!("\n\n----------\n\n{omitted} more happened, too many for one mail."),
    };
    (format!("{} (and {more} more)", first.subject), format!("{text}{rest}\n"))
}
