//! An organization's jobs that failed for good, such as mails that no server accepted, and trying one again.

mod job;
mod pages;

use authz::{PolicySource, Routes};

use crate::Feature;
use crate::organizations::Organization;

use job::FailedJob;

authz::actions! {
    /// See the jobs that failed for good.
    ListFailedJobs: Read on Organization;
    /// See one of them.
    ViewFailedJob: Read on FailedJob;
    /// Retry it.
    RetryJob: Write on FailedJob;
}

pub(crate) fn feature() -> Feature {
    let routes =
        Routes::new().get("", pages::list).post("/{job}/retry", pages::retry).under("/o/{organization}/failed-jobs");
    let policies = PolicySource {
        name: "failed_jobs",
        schema: include_str!("../../../../policies/failed_jobs.cedarschema"),
        policies: include_str!("../../../../policies/failed_jobs.cedar"),
        actions: ACTIONS,
        context: None,
    };
    Feature {
        routes,
        policies: Some(policies),
        events: &[("job.retried", "Tried a failed job again")],
        ..Feature::default()
    }
}
