//! Encryption of secrets in the database. A copy of the database alone reveals no secret, and an encrypted secret
//! decrypts only where it was written.
//!
//! This crate is for secrets that must be read again, so a hash is not enough. Each secret is encrypted under the
//! configured key and bound to its [`EncryptionContext`]. If it is copied to another row or column, it does not
//! decrypt. [`KeyRing::mac`] authenticates text that leaves the server and must return unchanged.

mod config;
mod key_ring;
mod one_time_key;

pub use config::{Config, ConfigError, SETTINGS};
pub use key_ring::{Column, DecryptError, EncryptionContext, KeyRing};
pub use one_time_key::{decrypt_with_token, encrypt_with_token};
