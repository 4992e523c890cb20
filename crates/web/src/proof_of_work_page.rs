use askama::Template;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};

use crate::format::format_duration;
use crate::page::with_status;
use crate::{Context, Error, FieldName, FormFields, Input, Shell, assets};

#[derive(Template)]
#[template(path = "proof_of_work.html")]
struct ProofOfWorkPage<'a> {
    shell: Shell,
    action: &'a str,
    fields: Vec<(FieldName, &'a str)>,
    challenge: &'a str,
    bits: u32,
    wait: String,
    module_url: &'static str,
}

impl Error {
    /// Adds the page on which a browser solves the challenge and then submits the form to `action` again. Without
    /// JavaScript, the page says how long to wait. Other errors stay the same.
    #[must_use]
    pub fn with_proof_of_work_page<F: FormFields>(self, context: &Context, action: &str, form: &Input<F>) -> Self {
        let Self::ProofOfWork(work, _) = self else { return self };
        let page = ProofOfWorkPage {
            shell: context.shell(),
            action,
            fields: form.texts().collect(),
            challenge: &work.challenge,
            bits: work.bits,
            wait: format_duration(work.wait),
            module_url: assets::proof_of_work_url(),
        };
        let mut page = with_status(StatusCode::TOO_MANY_REQUESTS, page);
        page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(work.wait));
        Self::ProofOfWork(work, Some(Box::new(page)))
    }
}
