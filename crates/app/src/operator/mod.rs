//! What an operator does for the people of an installation, from the command line and with the login that owns the database:
//! lock an account and unlock it, take the factors of somebody who is locked out, read the events that belong to no
//! organization, and re-encrypt secrets under a new key.
//!
//! Whatever changes somebody's account takes a reason, is an event in its transaction, and is told to them by mail.

mod accounts;
mod events;
mod re_encrypt;

use audit::Actor;
use uuid::Uuid;
use web::MultiLine;

pub use accounts::{lock, reset_factors, unlock};
pub use events::events;
pub use re_encrypt::re_encrypt;

/// Why a command could not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A sentence for the operator.
    #[error("{0}")]
    Refused(String),
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] tenancy::Error),
    /// A statement failed.
    #[error(transparent)]
    Statement(#[from] sqlx::Error),
    /// The system has no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The answer could not be written.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

/// Why an operator does something, as recorded in the event.
#[derive(Debug)]
pub struct Reason(MultiLine<3, 500>);

impl Reason {
    /// At least three characters and at most 500.
    pub fn read(text: &str) -> Result<Self, Failure> {
        MultiLine::try_from(text).map(Self).map_err(|error| Failure::Refused(format!("--reason: {error}")))
    }
}

/// Nobody the application knows: the event says that an operator did it.
fn operator() -> Actor {
    Actor {
        user: None,
        session: None,
        client: None,
        elevation: None,
        request: Uuid::now_v7(),
        network: "operator".to_owned(),
    }
}
