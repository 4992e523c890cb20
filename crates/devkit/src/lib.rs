//! Nothing here can be linked into the production binary: `app` does not depend on this crate.
//!
//! It has the services that production gets from elsewhere, for development and tests: a private PostgreSQL cluster, an OpenID Connect
//! provider, a mailbox and a DNS server.

pub mod dns;
pub mod idp;
pub mod mailbox;
pub mod postgres;
pub mod processes;
#[cfg(feature = "product")]
pub mod seed;
