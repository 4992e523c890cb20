//! Resuming a form after sign-in, if the session had ended before the form was submitted.

mod pages;

use authz::Routes;
use web::LocalPath;

use crate::base::Feature;

pub(crate) fn feature() -> Feature {
    let routes = Routes::new().get("/resume", pages::show).post("/resume", pages::resume);
    Feature::new("resume").routes(routes)
}

/// Whether the page after the sign-in is that of a deferred form.
pub(crate) fn is_next(return_to: &LocalPath) -> bool {
    return_to.as_str().starts_with("/resume?")
}
