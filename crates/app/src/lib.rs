//! The product: what every feature builds on (`base`), and one folder per feature (`features`).
//!
//! `main.rs` opens the database and gives it to the crates that guard it; nothing here holds it.

pub mod config;
pub mod log;
pub mod operator;

mod base;
mod features;

use authn::SignedIn;
use authz::Routes;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tenancy::RetentionRule;
use web::{Error, Limits};

use self::base::Feature;

pub use base::{
    ADDRESSES, EventAudience, FeaturePages, Readiness, Registry, RegistryError, SecurityContact, State,
    origin_of_requests,
};

/// What all features registered.
///
/// # Errors
///
/// Something that a feature registered does not fit.
pub fn registry() -> Result<Registry, RegistryError> {
    let features: Vec<_> = features::all().into_iter().map(Feature::into_parts).collect();
    Registry::new(base::policies_of_all(), &features)
}

/// The retention of all rows that are not kept forever.
#[must_use]
pub fn retention_rules(registry: &Registry) -> Vec<RetentionRule> {
    let crates = [audit::RETENTION, jobs::RETENTION, authn::RETENTION, tokens::RETENTION];
    crates.into_iter().chain([registry.retention()]).flatten().copied().collect()
}

/// The whole application.
pub fn app(state: State, limits: Limits) -> Router {
    let routes = features::all().into_iter().fold(Routes::new(), |routes, feature| routes.and(feature.into_routes()));
    let routes =
        routes.into_router().fallback(no_such_page).layer(from_fn(authn::renew_cookie)).layer(from_fn(one_connection));
    let routes = routes.layer(from_fn_with_state(state.registry(), base::on_errors));
    let frame = state.registry().frame().clone();
    let again = routes.clone().with_state(state.clone());
    let routes = routes
        .layer(from_fn_with_state(again.clone(), web::show_refusals))
        .layer(from_fn_with_state((again, ADDRESSES), authn::resume_deferred_request))
        .merge(web::assets());
    web::edge(routes, limits, ADDRESSES, frame, tenancy::is_temporary).with_state(state)
}

/// For an address that no route has. Somebody who is signed in keeps their header.
async fn no_such_page(who: Option<SignedIn>) -> Error {
    drop(who);
    Error::NotFound
}

/// Middleware for [`tenancy::one_connection`].
async fn one_connection(request: Request, next: Next) -> Response {
    tenancy::one_connection(next.run(request)).await
}
