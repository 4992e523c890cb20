//! An organization's jobs that failed permanently, such as emails that no server accepted, and retrying them.

mod job;
mod pages;

use authz::Routes;

use crate::base::{EventKind, Feature, Organization, PageLink, policies};

use job::FailedJob;

authz::actions! {
    /// See the failed jobs.
    ListFailedJobs: Read on Organization;
    /// See one of them.
    ViewFailedJob: Read on FailedJob;
    /// Retry it.
    RetryJob: Write on FailedJob;
}

const JOB_RETRIED: EventKind = EventKind::new("job.retried", "Retried a failed job");

pub(crate) fn feature() -> Feature {
    let routes =
        Routes::new().get("", pages::list).post("/{job}/retry", pages::retry).under("/o/{organization}/failed-jobs");
    Feature::new("failed_jobs")
        .policies(policies!("failed_jobs", ACTIONS))
        .routes(routes)
        .events(&[JOB_RETRIED])
        .limits(&[job::RETRY_LIMIT])
        .link(PageLink::to::<ListFailedJobs>(
            "/o/{organization}/activity",
            "Failed jobs",
            "/o/{organization}/failed-jobs",
        ))
}
