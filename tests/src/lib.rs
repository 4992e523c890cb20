//! Every test of the running application: the real router, served over TCP, on a real PostgreSQL, with a real identity
//! provider on another origin. Run by `bin/test`.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test says what went wrong by failing, and stands outside of the application's doors"
)]

mod browser;
mod harness;

mod account;
mod addresses;
mod api;
mod approvals;
mod audit_log;
mod authenticator;
mod configuration;
mod contacts;
mod deferred_requests;
mod edge;
mod elevations;
mod invitations;
mod isolation;
mod jobs;
mod journey;
mod lists;
mod lockout;
mod mail;
mod members;
mod navigation;
mod one_time_key;
mod operator;
mod organizations;
mod passkeys;
mod policies;
mod recovery;
mod refusals;
mod retention;
mod routes;
mod schema;
mod sessions;
mod sign_in;
mod sign_out;
mod sso;
mod structure;
mod text;
mod withheld;
