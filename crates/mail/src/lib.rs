//! No email is sent for what did not happen, and none is lost for what did.
//!
//! A [`Mail`] is a job, queued in the transaction of its cause. The [`Sender`] hands it to the mail server and retries until the
//! server accepts it. All email goes through it, so this crate throttles email per recipient and per sender. Emails that wait
//! for one person are combined into one.

mod config;
mod html;
mod mail;
mod sender;

use std::time::Duration;

pub use config::{Config, ConfigError, SETTINGS};
pub use mail::{Mail, QueuedMail};
pub use sender::Sender;

/// Eight at a time, two minutes for each (all SMTP commands together), retried for three days.
const KIND: jobs::JobKind = jobs::JobKind {
    name: "mail",
    concurrency: 8,
    timeout: Duration::from_mins(2),
    retry_for: Duration::from_hours(72),
};
