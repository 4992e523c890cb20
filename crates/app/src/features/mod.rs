//! One folder for each feature, and the list of features. A feature registers all its parts in `feature()`.

mod account;
mod activity;
mod api;
mod approvals;
mod authenticator;
mod clients;
mod contacts;
mod elevations;
mod failed_jobs;
mod home;
mod invitations;
mod members;
mod one_time_key;
mod operations;
mod organizations;
mod passkeys;
mod recovery;
mod resume;
mod sessions;
mod settings;
mod sign_in;
mod step_up;

use crate::base::Feature;

/// Every feature, in the order of the navigation.
pub(crate) fn all() -> Vec<Feature> {
    vec![
        operations::feature(),
        home::feature(),
        sign_in::feature(),
        step_up::feature(),
        resume::feature(),
        account::feature(),
        passkeys::feature(),
        authenticator::feature(),
        sessions::feature(),
        recovery::feature(),
        one_time_key::feature(),
        organizations::feature(),
        contacts::feature(),
        members::feature(),
        invitations::feature(),
        elevations::feature(),
        approvals::feature(),
        clients::feature(),
        settings::feature(),
        api::feature(),
        activity::feature(),
        failed_jobs::feature(),
    ]
}
