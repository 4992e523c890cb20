//! Proving a factor for what needs it, and then going on with exactly that.

mod pages;

use authz::Routes;

use crate::Feature;

pub(crate) fn feature() -> Feature {
    let routes = Routes::new()
        .get("/step-up", pages::ask)
        .post("/step-up", pages::accept)
        .post("/step-up/code", pages::accept_code)
        .post("/step-up/options", pages::options);
    Feature { routes, ..Feature::default() }
}
