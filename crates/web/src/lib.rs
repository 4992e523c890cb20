//! The HTTP edge. Every response has our headers, and no internal error text reaches a client.
//!
//! [`edge`] wraps the whole application: request id, security headers, limits, same-site rules, one log line, and the
//! page or problem document for every error. The other modules provide what handlers read from requests and respond
//! with.

mod addresses;
mod assets;
mod client;
mod connections;
pub mod cookie;
mod edge;
mod error;
mod fetch_metadata;
mod field;
mod field_errors;
mod field_names;
mod fields;
mod flash;
mod form;
#[cfg(test)]
mod form_tests;
mod format;
mod headers;
mod host;
mod id;
mod json;
mod local_path;
mod one_time_key;
mod page;
mod problem;
mod proof_of_work;
mod proof_of_work_page;
mod query;
mod quota;
mod rate_limiter;
mod refused_form;
mod serve;
mod show_refusals;
mod slot;
mod text;
mod write_timeout;

pub use addresses::Addresses;
pub use assets::{assets, passkeys_url};
pub use client::Client;
pub use edge::{Edge, IsTemporary, Limits, edge};
pub use error::{Error, Result};
pub use field::{Choice, Conditional, Control, FieldError, FieldName, FieldSpec, FieldText, FieldValue, Presence};
pub use field_errors::FieldErrors;
pub use fields::ReadsFields;
pub use flash::{Flash, Tone};
pub use form::{
    FieldView, Form, FormFields, FormView, Input, NoFields, Parser, QueryString, encode, form_of_refused,
    schema_of_form, share_body,
};
pub use format::{filters, format_date, format_datetime};
pub use host::Host;
pub use id::{Id, NoId, optional_id};
pub use json::{BodyDigest, Json};
pub use local_path::LocalPath;
pub use one_time_key::{FormOnce, OneTimeKey};
pub use page::{Banner, ClientRedirect, Context, Frame, Link, OrganizationShell, Page, Person, Shell, see_other};
pub use problem::wants_html;
pub use proof_of_work::ProofOfWork;
pub use query::{Query, StrictQuery};
pub use quota::Quota;
pub use rate_limiter::{RateLimitConfig, RateLimitKey};
pub use refused_form::RefusedForm;
pub use serve::{Config, SETTINGS, Tls, serve};
pub use show_refusals::show_refusals;
pub use text::{
    DigitCode, DisplayEmail, Domain, Email, MultiLine, SingleLine, display_domain, display_email, name_key, typed_code,
    visible,
};
