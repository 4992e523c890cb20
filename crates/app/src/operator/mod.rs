//! Operator commands, with the login that owns the database: lock and unlock an account, remove the factors of a person who
//! is locked out, read events that belong to no organization, and re-encrypt secrets.
//!
//! A change to an account needs a reason, records an event in its transaction, and notifies the person by email.

mod accounts;
mod events;
mod re_encrypt;

use audit::Actor;
use uuid::Uuid;
use web::MultiLine;

pub use accounts::{lock, reset_factors, unlock};
pub use events::events;
pub use re_encrypt::re_encrypt;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A sentence for the operator.
    #[error("{0}")]
    Refused(String),
    /// The database refused it.
    #[error(transparent)]
    Database(#[from] tenancy::Error),
    /// A statement failed.
    #[error(transparent)]
    Statement(#[from] sqlx::Error),
    /// An email could not be rendered.
    #[error(transparent)]
    Template(#[from] askama::Error),
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The output could not be written.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Why an operator does something, as recorded in the event.
#[derive(Debug)]
pub struct Reason(MultiLine<3, 500>);

impl Reason {
    /// Parses a reason of 3 to 500 characters.
    ///
    /// # Errors
    ///
    /// The text is too short, too long, or has characters that are not allowed.
    pub fn read(text: &str) -> Result<Self, Failure> {
        MultiLine::try_from(text).map(Self).map_err(|error| Failure::Refused(format!("--reason: {error}")))
    }
}

/// Not a user of the application: the event says that an operator did it.
fn operator() -> Actor {
    Actor::unknown(Uuid::now_v7(), "operator".to_owned())
}
