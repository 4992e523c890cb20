//! No mail is sent for what did not happen, and none is lost for what did.
//!
//! A [`Mail`] is a job, queued in the transaction of what it tells of. The [`Sender`] hands it to the mail server, again and
//! again until the server has it. All mail goes through it, so here it is counted, by who is written to and by who has them
//! written to: what is too much waits, and what waits for one person becomes one mail.

mod config;
mod mail;
mod sender;

use std::time::Duration;

pub use config::{Config, ConfigError, SETTINGS};
pub use mail::{Letter, Mail};
pub use sender::Sender;

/// Eight at a time, each within two minutes (all commands together), for three days.
const KIND: jobs::Kind =
    jobs::Kind { name: "mail", places: 8, patience: Duration::from_mins(2), give_up: Duration::from_hours(72) };
