//! No mail is sent for what did not happen, and none is lost for what did.
//!
//! A [`Mail`] is a row of an outbox, written in the transaction of what it tells of. Whoever writes one can read none. One
//! task in each process, the [`Sender`], takes what is due and hands it to the mail server, again and again until the
//! server has it.

mod config;
mod outbox;
mod sender;

pub use config::{Config, ConfigError, SETTINGS};
pub use outbox::Mail;
pub use sender::Sender;
