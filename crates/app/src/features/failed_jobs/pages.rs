use askama::Template;
use authn::Authn;
use authz::Authorized;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use web::{Form, NoFields, Page, Result, Shell, filters, see_other};

use super::job::{self, FailedJob};
use super::{ListFailedJobs, RetryJob};
use crate::base::Layout;

#[derive(Template)]
#[template(path = "failed_jobs/list.html")]
struct FailedJobsPage {
    shell: Shell,
    jobs: Vec<FailedJobRow>,
    more: bool,
}

struct FailedJobRow {
    job: FailedJob,
    kind: String,
    retry_url: Option<String>,
}

pub(super) async fn list(mut ok: Authorized<ListFailedJobs>, layout: Layout) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = format!("{}/failed-jobs", ok.on().url());
    let row = |job: FailedJob| FailedJobRow {
        retry_url: (!job.expired && ok.can::<RetryJob>(&job)).then(|| format!("{url}/{}/retry", job.id)),
        kind: in_words(&job.kind),
        job,
    };
    let (all, more) = job::find(&mut tx, None).await?;
    let jobs = all.into_iter().map(row).collect();
    Ok(Page(FailedJobsPage { shell: layout.organization(&ok), jobs, more }))
}

/// Formats a kind of job: `domain_check` becomes "Domain check".
fn in_words(kind: &str) -> String {
    let words = kind.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(super) async fn retry(
    mut ok: Authorized<RetryJob>,
    State(authn): State<Authn>,
    Form(NoFields {}): Form<NoFields>,
) -> Result<Response> {
    authn.check_person_rate_limit(job::RETRY_LIMIT, ok.who()).await?;
    let by = ok.who().actor();
    let mut tx = ok.begin().await?;
    job::retry(&mut tx, ok.on(), &by).await?;
    tx.commit().await?;
    let url = format!("/o/{}/failed-jobs", ok.on().organization);
    Ok(see_other(&url, "The job is being tried again."))
}
