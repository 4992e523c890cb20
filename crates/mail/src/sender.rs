use std::sync::Arc;
use std::time::Duration;

use audit::{Actor, Event};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::{AsyncTransport, Message};
use serde_json::json;
use tenancy::{Db, TenantId};
use tokio::sync::{Mutex, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::config::{Config, ConfigError, Server};

/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Mails on their way at the same time.
const BATCH: i64 = 8;

/// Longest time one mail may take, all commands together. Shorter than it is taken for, so that nobody else takes it.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longest wait for what is on its way when the process stops.
const STOP: Duration = Duration::from_secs(10);
/// How often it is tried to note what became of a mail.
const NOTES: usize = 5;
/// Enhanced status codes (RFC 3463) that say of the recipient that there is none. Whatever else a server refuses may be
/// about us, and gets better when we do.
const NO_RECIPIENT: [&str; 5] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];

/// Sends what is in the outbox.
///
/// A mail is taken for at least five minutes, sent, and deleted once the server has it. A process that dies in between
/// leaves it to be sent again, under the same Message-ID. One that the server does not take is tried again after 5, 10, 20
/// minutes and so on, at most an hour apart, for three days. Then, or at once where the server says that there is no such
/// recipient, it is given up, which the audit log keeps as `mail.undeliverable`. One that is good for a limited time is
/// dropped after it.
#[derive(Clone, Debug)]
pub struct Sender(Arc<Mutex<Option<Task>>>);

#[derive(Debug)]
struct Task {
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

struct Due {
    id: Uuid,
    tenant: Option<TenantId>,
    kind: String,
    recipient: String,
    subject: String,
    body: String,
    request: Uuid,
    /// It was tried for long enough.
    last_try: bool,
}

/// Why a mail was not sent.
enum Failure {
    /// There is no such recipient, and there will be none.
    NoRecipient(String),
    /// It may go well another time.
    Server(String),
}

impl Sender {
    /// Starts sending. The server is not asked yet: one that is down must not keep the application from starting.
    pub fn start(config: &Config, production: bool, db: Db) -> Result<Self, ConfigError> {
        let server = Server::new(config, production)?;
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(run(db, server, stopped));
        Ok(Self(Arc::new(Mutex::new(Some(Task { stop, done })))))
    }

    /// Finishes what is on its way, for a moment, and stops. What waits is sent by the next process.
    pub async fn close(&self) {
        let Some(Task { stop, done }) = self.0.lock().await.take() else { return };
        let _ = stop.send(());
        let _ = timeout(STOP, done).await;
    }
}

async fn run(db: Db, server: Server, mut stopped: oneshot::Receiver<()>) {
    loop {
        let more = send_due(&db, &server).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the outbox cannot be read");
            false
        });
        let pause = if more { Duration::ZERO } else { LOOK };
        tokio::select! {
            () = sleep(pause) => {}
            _ = &mut stopped => return,
        }
    }
}

/// Sends one batch. Returns whether there may be more.
async fn send_due(db: &Db, server: &Server) -> Result<bool, tenancy::Error> {
    let due = take(db).await?;
    let more = i64::try_from(due.len()).is_ok_and(|count| count == BATCH);
    let mut sending = JoinSet::new();
    for mail in due {
        let server = server.clone();
        sending.spawn(async move {
            let outcome = timeout(PATIENCE, send(&server, &mail)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(Failure::Server("it took too long".to_owned())));
            (mail, outcome)
        });
    }
    while let Some(sent) = sending.join_next().await {
        match sent {
            Ok((mail, outcome)) => finish(db, &mail, outcome).await,
            Err(error) => tracing::error!(%error, "a mail was not sent; it is tried again"),
        }
    }
    Ok(more)
}

async fn take(db: &Db) -> Result<Vec<Due>, tenancy::Error> {
    let mut tx = db.begin_mail().await?;
    let due = sqlx::query_as!(
        Due,
        r#"with stale as (delete from mail.outbox where next_try_at <= now() and expires_at <= now()),
                due as materialized (
                  select id from mail.outbox where next_try_at <= now() and coalesce(expires_at > now(), true)
                   order by next_try_at limit $1 for update skip locked)
           update mail.outbox o
              set tries = tries + 1, next_try_at = now() + interval '5 minutes' * least(power(2, least(tries, 6)), 12)
             from due where o.id = due.id
           returning o.id, tenant_id as "tenant: TenantId", kind, recipient, subject, body, request_id as request,
                     (created_at < now() - interval '3 days') as "last_try!""#,
        BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(due)
}

async fn send(server: &Server, mail: &Due) -> Result<(), Failure> {
    let to = mail.recipient.parse().map_err(|_| Failure::NoRecipient("it is no address".to_owned()))?;
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let message = Message::builder()
        .from(server.from.clone())
        .to(lettre::message::Mailbox::new(None, to))
        .subject(mail.subject.clone())
        .message_id(Some(format!("<{}@{}>", mail.id, server.from.email.domain())))
        // RFC 3834: nobody's holiday notice needs to answer it.
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(mail.body.clone())
        .map_err(|error| Failure::NoRecipient(error.to_string()))?;
    server.transport.send(message).await.map(drop).map_err(|error| {
        // The server's words often hold the address, so they are in no log: only its codes are.
        let words = error.to_string();
        let enhanced = words.split_whitespace().find(|word| NO_RECIPIENT.contains(word));
        let code = error.status().map_or_else(|| "no answer".to_owned(), |code| code.to_string());
        match enhanced {
            Some(enhanced) => Failure::NoRecipient(format!("{code} {enhanced}")),
            None => Failure::Server(code),
        }
    })
}

/// Notes what became of a mail, with some patience: a mail that is sent and not noted is sent again.
async fn finish(db: &Db, mail: &Due, outcome: Result<(), Failure>) {
    let reason = match outcome {
        Ok(()) => None,
        Err(Failure::Server(reason)) if !mail.last_try => {
            tracing::warn!(mail = %mail.id, kind = mail.kind, reason, "a mail was not taken; it is tried again");
            return;
        }
        Err(Failure::NoRecipient(reason) | Failure::Server(reason)) => Some(reason),
    };
    if let Some(reason) = &reason {
        tracing::error!(mail = %mail.id, kind = mail.kind, reason, "a mail was given up");
    }
    for _ in 0..NOTES {
        match note(db, mail, reason.is_some()).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, mail = %mail.id, "what became of a mail is not noted"),
        }
        sleep(LOOK).await;
    }
}

async fn note(db: &Db, mail: &Due, given_up: bool) -> Result<(), tenancy::Error> {
    let mut tx = db.begin_mail().await?;
    sqlx::query!("delete from mail.outbox where id = $1", mail.id).execute(&mut *tx).await?;
    if given_up {
        let by = Actor {
            user: None,
            session: None,
            client: None,
            elevation: None,
            request: mail.request,
            network: String::new(),
        };
        let details = json!({ "mail": mail.kind, "recipient": mail.recipient });
        let event = Event { kind: "mail.undeliverable", target: format!("Mail::{}", mail.id), details };
        event.record_in(&mut tx, mail.tenant, &by).await?;
    }
    tx.commit().await
}
