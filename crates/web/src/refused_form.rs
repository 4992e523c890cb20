use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::http::Extensions;

/// The rule that refused a form, and the submitted values.
#[derive(Debug)]
pub struct RefusedForm {
    pub(crate) rule: &'static str,
    pub(crate) fields: Vec<(String, String)>,
}

/// The body of a submitted form. It is set as soon as the form has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct SentForm(Arc<OnceLock<Bytes>>);

impl SentForm {
    pub(crate) fn note(extensions: &Extensions, bytes: &Bytes) {
        if let Some(Self(sent)) = extensions.get() {
            sent.get_or_init(|| bytes.clone());
        }
    }

    /// Returns names and values. Empty if the form has not been read.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let sent = self.0.get().map(|bytes| serde_html_form::from_bytes(bytes));
        sent.and_then(Result::ok).unwrap_or_default()
    }
}
