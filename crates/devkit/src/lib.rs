//! Nothing here can be linked into the production binary: `app` does not depend on this crate.
//!
//! It holds what development and tests need and production has elsewhere: a private PostgreSQL cluster, an OpenID
//! Connect provider, a mailbox, a DNS server.

pub mod dns;
pub mod idp;
pub mod mailbox;
pub mod postgres;
pub mod processes;
#[cfg(feature = "product")]
pub mod seed;
