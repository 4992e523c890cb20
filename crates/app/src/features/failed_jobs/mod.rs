//! An organization's jobs that failed permanently, such as emails that no server accepted. People can retry them.

mod job;
mod pages;

use authz::Routes;

use crate::base::{Feature, Organization, PageLink, events, policies};

use job::FailedJob;

authz::actions! {
    /// See the failed jobs.
    ListFailedJobs: Read on Organization;
    /// See one of them.
    ViewFailedJob: Read on FailedJob;
    /// Retry it.
    RetryJob: Write on FailedJob;
}

events! {
    JOB_RETRIED: "job.retried", "Retried a failed job", "retried the failed job {job}";
}

pub(crate) fn feature() -> Feature {
    let routes =
        Routes::new().get("", pages::list).post("/{job}/retry", pages::retry).under("/o/{organization}/failed-jobs");
    Feature::new("failed_jobs")
        .policies(policies!("failed_jobs", ACTIONS))
        .routes(routes)
        .events(EVENTS)
        .limits(&[job::RETRY_LIMIT])
        .link(PageLink::to::<ListFailedJobs>(
            "/o/{organization}/activity",
            "Failed jobs",
            "/o/{organization}/failed-jobs",
        ))
}
