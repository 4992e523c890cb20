//! A mail server that delivers to nobody. It stores emails and shows them on a page, for development and tests.
//!
//! The SMTP part is small but strict (RFC 5321), so a client with wrong lines, order or sizes fails here and not at the first real
//! server. It has no TLS and no authentication, and listens on loopback only.

mod pages;
mod smtp;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chrono::{DateTime, Utc};
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::pages::{list, show};
use self::smtp::{Envelope, Session};
use self::source::{encoded_words, header, split, text_of};
use crate::idp::page::{local_only, refuse_beyond_loopback};

/// Maximum number of stored messages. The oldest are dropped first.
const MAX_MESSAGES: usize = 200;
/// Maximum length of a message, in bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// Maximum length of a line, in bytes: 998, CRLF, and the dot that stuffing adds (RFC 5321 4.5.3.1.6).
const MAX_LINE: u64 = 1001;
/// Maximum number of recipients of a message (RFC 5321 4.5.3.1.8).
const MAX_RECIPIENTS: usize = 100;
/// How long a client may be silent (RFC 5321 4.5.3.2.7).
const CLIENT_TIMEOUT: Duration = Duration::from_mins(5);

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number, from 1, in order of arrival.
    pub id: u64,
    /// The sender on the envelope. Empty for a bounce.
    pub from: String,
    /// The recipients on the envelope.
    pub to: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// When it arrived.
    pub received: DateTime<Utc>,
    /// Header and body, dots unstuffed, lines ending in CRLF.
    pub raw: Vec<u8>,
    /// The first plain text part, decoded, lines ending in LF.
    pub text: String,
    /// The same of the first HTML part. Empty if there is none.
    pub html: String,
}

/// A handle to a running mailbox. It runs until the runtime it was started on ends.
#[derive(Clone)]
pub struct Mailbox(Arc<Inner>);

struct Inner {
    messages: Mutex<VecDeque<Message>>,
    /// How many messages have arrived.
    arrived: watch::Sender<u64>,
}

impl Mailbox {
    /// Accepts mail on `smtp` and shows it on `web`. Both must be on loopback.
    ///
    /// # Errors
    /// If a listener is not on loopback.
    pub fn start(smtp: TcpListener, web: TcpListener) -> io::Result<Mailbox> {
        refuse_beyond_loopback(smtp.local_addr()?)?;
        refuse_beyond_loopback(web.local_addr()?)?;
        let mailbox = Mailbox(Arc::new(Inner { messages: Mutex::default(), arrived: watch::Sender::new(0) }));
        let router = Router::new()
            .route("/", get(list))
            .route("/mail/{id}", get(show))
            .layer(axum::middleware::from_fn(local_only))
            .with_state(mailbox.clone());
        tokio::spawn(async move { axum::serve(web, router).await });
        let handle = mailbox.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = smtp.accept().await else {
                    // For example, too many open files. The listener still works.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                let session =
                    Session { stream: BufReader::new(stream), mailbox: handle.clone(), envelope: Envelope::default() };
                tokio::spawn(session.run());
            }
        });
        Ok(mailbox)
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().iter().cloned().collect()
    }

    /// The newest message to this address. If there is none yet, waits for the first one.
    pub async fn wait_for(&self, to: &str, timeout: Duration) -> Option<Message> {
        let mut arrived = self.0.arrived.subscribe();
        let found = async {
            loop {
                arrived.borrow_and_update();
                let is_for = |message: &&Message| message.to.iter().any(|known| known.eq_ignore_ascii_case(to));
                if let Some(message) = self.lock().iter().rfind(is_for) {
                    return Some(message.clone());
                }
                arrived.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout, found).await.ok().flatten()
    }

    /// Deletes all messages, so that [`Mailbox::wait_for`] waits for a new one.
    pub fn clear(&self) {
        self.lock().clear();
    }

    #[allow(clippy::disallowed_methods, reason = "mail arrives by the time of the system")]
    fn keep(&self, from: String, to: Vec<String>, raw: Vec<u8>) {
        let source = String::from_utf8_lossy(&raw);
        let (headers, body) = split(&source);
        let subject = header(&headers, "subject").map(encoded_words).unwrap_or_default();
        let text = text_of(&source, "text/plain", 0).unwrap_or_else(|| body.replace("\r\n", "\n"));
        let html = text_of(&source, "text/html", 0).unwrap_or_default();
        let mut messages = self.lock();
        let id = *self.0.arrived.borrow() + 1;
        if messages.len() == MAX_MESSAGES {
            messages.pop_front();
        }
        messages.push_back(Message { id, from, to, subject, received: Utc::now(), raw, text, html });
        self.0.arrived.send_replace(id);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
