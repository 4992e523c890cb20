use askama::Template;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};

use crate::format::format_duration;
use crate::page::with_status;
use crate::{Context, Error, Shell, assets};

#[derive(Template)]
#[template(path = "proof_of_work.html")]
struct ProofOfWorkPage<'a> {
    shell: Shell,
    action: &'a str,
    fields: &'a [(&'static str, &'a str)],
    challenge: &'a str,
    bits: u32,
    wait: String,
    module_url: &'static str,
}

impl Error {
    /// Adds the page on which a browser solves the challenge, and then submits the form with these fields to `action` again.
    /// Without JavaScript, the page says how long to wait. Other errors do not change.
    #[must_use]
    pub fn with_proof_of_work_page(self, context: &Context, action: &str, fields: &[(&'static str, &str)]) -> Self {
        let Self::ProofOfWork(work, _) = self else { return self };
        let page = ProofOfWorkPage {
            shell: context.shell(),
            action,
            fields,
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
