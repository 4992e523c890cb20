use askama::Template;
use std::borrow::Cow;
use web::{FormView, Shell};

/// A page with one form: a heading, the fields, and the submit button.
#[derive(Template)]
#[template(path = "form.html")]
pub(crate) struct FormPage {
    pub(crate) shell: Shell,
    pub(crate) heading: String,
    pub(crate) lead: Cow<'static, str>,
    pub(crate) form: FormView,
    pub(crate) button: &'static str,
    /// Whether submitting the form removes something.
    pub(crate) removes: bool,
    /// Whether the form contains a one-time key, for a route that takes one.
    pub(crate) once: bool,
    pub(crate) action_url: String,
    pub(crate) cancel_url: String,
}
