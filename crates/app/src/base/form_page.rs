use askama::Template;
use std::borrow::Cow;
use web::{FormView, Shell};

/// A page that is one form: what it is about, its fields, and the button that sends it.
#[derive(Template)]
#[template(path = "form.html")]
pub(crate) struct FormPage {
    pub(crate) shell: Shell,
    pub(crate) heading: String,
    pub(crate) lead: Cow<'static, str>,
    pub(crate) form: FormView,
    pub(crate) button: &'static str,
    /// It takes something away.
    pub(crate) removes: bool,
    /// It carries a one-time key, for a route that takes one.
    pub(crate) once: bool,
    pub(crate) action_url: String,
    pub(crate) cancel_url: String,
}
