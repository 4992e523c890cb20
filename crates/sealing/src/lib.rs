//! Whoever reads the database alone reads no secret in it, and what is sealed opens only where it was put.
//!
//! For secrets that must be read again, which a hash cannot be. Each is sealed under the key of the configuration for its
//! [`Place`]: moved to another row, or into another column, it does not open. What leaves us and must come back unchanged
//! carries a mark of the same key ([`Keys::mark`]).

mod config;
mod keys;
mod once;

pub use config::{Config, ConfigError, SETTINGS};
pub use keys::{Column, Keys, NotOpened, Place};
pub use once::{open_once, seal_once};
