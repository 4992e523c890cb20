//! The front page. It is a landing page for visitors, and lists the organizations of a signed-in person.

use askama::Template;
use authn::SignedIn;
use authz::{Public, Routes};
use axum::response::{IntoResponse, Redirect, Response};
use web::{Page, Shell};

use crate::base::Feature;

pub(crate) fn feature() -> Feature {
    Feature::new("home").routes(Routes::new().get("/", landing))
}

#[derive(Template)]
#[template(path = "home/landing.html")]
struct LandingPage {
    shell: Shell,
}

async fn landing(public: Public, who: Option<SignedIn>) -> Response {
    match who.and_then(|who| who.context().frame.organizations) {
        Some(page) => Redirect::to(page).into_response(),
        None => Page(LandingPage { shell: public.context.shell() }).into_response(),
    }
}
