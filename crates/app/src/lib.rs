//! The product: one folder per feature. A feature is its actions, its routes, its policies and the words for its events.
//!
//! `main.rs` opens the database and gives it to the crates that guard it; nothing here holds it.

pub mod config;
pub mod log;
pub mod operator;

mod account;
mod activity;
mod actor;
mod addresses;
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
mod notices;
mod one_time_key;
mod operations;
mod organizations;
mod paging;
mod passkeys;
mod recovery;
mod resume;
mod sessions;
mod settings;
mod shell;
mod sign_in;
mod state;
mod step_up;
mod why;

use std::sync::LazyLock;

use authz::{ContextFragment, Contribution, PolicySource, Route, Routes};
use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tenancy::Rule;
use web::Limits;

use self::api::{Api, Scope};
use self::members::Role;

pub use self::settings::DomainCheck;
pub use addresses::ADDRESSES;
pub use operations::origin_of_requests;
pub use state::State;

/// One folder of the product.
#[derive(Default)]
struct Feature {
    routes: Routes<State>,
    /// Its part of the API.
    api: Api,
    /// Its actions that a client of the API can be given.
    scopes: &'static [Scope],
    policies: Option<PolicySource>,
    /// Kind of each audit event it records, and what a person reads for it.
    events: &'static [(&'static str, &'static str)],
    /// How long the rows of its tables are kept.
    keeping: &'static [Rule],
}

fn features() -> Vec<Feature> {
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
        members::feature(),
        invitations::feature(),
        elevations::feature(),
        approvals::feature(),
        settings::feature(),
        clients::feature(),
        api::feature(),
        activity::feature(),
        failed_jobs::feature(),
        contacts::feature(),
    ]
}

/// Every policy of the product, the base first.
#[must_use]
pub fn policies() -> Vec<PolicySource> {
    let base = PolicySource {
        name: "base",
        schema: include_str!("../../../policies/base.cedarschema"),
        policies: include_str!("../../../policies/base.cedar"),
        actions: &[],
        // `authz` adds these attributes itself.
        context: Some(ContextFragment {
            schema: include_str!("../../../policies/base.context.cedarschema"),
            role_groups: Role::GROUPS,
            read: |_| Ok(Contribution::default()),
        }),
    };
    std::iter::once(base).chain(features().into_iter().filter_map(|feature| feature.policies)).collect()
}

/// The actions that clients of the API can be given.
#[must_use]
pub fn scopes() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| api::scopes().map(|scope| scope.action).collect());
    &NAMES
}

/// How long everything is kept that is not kept for ever.
#[must_use]
pub fn keeping() -> Vec<Rule> {
    let crates = [audit::KEEPING, jobs::KEEPING, authn::KEEPING, tokens::KEEPING];
    crates.into_iter().chain(features().into_iter().map(|feature| feature.keeping)).flatten().copied().collect()
}

/// Every route of the product: method, path, guard.
#[must_use]
pub fn table() -> Vec<Route> {
    routes().table()
}

/// What is told of an event by mail.
#[derive(Debug)]
pub struct Told {
    /// The kind of the event.
    pub kind: &'static str,
    /// Subject of the mail.
    pub subject: &'static str,
    /// Who gets it: owners, admins, the member whom it is about. Nobody, where the event is not in the table of `notices`.
    pub audience: Vec<&'static str>,
}

/// Every kind of event, and who hears of it.
#[must_use]
pub fn told() -> Vec<Told> {
    let told = |kind| match notices::ANNOUNCED.iter().find(|announced| announced.kind == kind) {
        Some(announced) => announced.told(),
        None => Told { kind, subject: "", audience: Vec::new() },
    };
    events().map(|(kind, _)| told(kind)).collect()
}

/// The whole application.
pub fn app(state: State, limits: Limits) -> Router {
    let routes = routes().into_router().layer(from_fn(authn::renew_cookie)).layer(from_fn(one_connection));
    let again = routes.clone().with_state(state.clone());
    let routes = routes.layer(from_fn_with_state((again, ADDRESSES), authn::go_on)).merge(web::assets());
    web::edge(routes, limits, ADDRESSES, tenancy::is_temporary).with_state(state)
}

/// Middleware for [`tenancy::one_connection`].
async fn one_connection(request: Request, next: Next) -> Response {
    tenancy::one_connection(next.run(request)).await
}

fn routes() -> Routes<State> {
    features().into_iter().fold(Routes::new(), |routes, feature| routes.and(feature.routes).and(feature.api.routes))
}

fn events() -> impl Iterator<Item = (&'static str, &'static str)> {
    static ALL: LazyLock<Vec<(&str, &str)>> =
        LazyLock::new(|| features().into_iter().flat_map(|feature| feature.events.iter().copied()).collect());
    ALL.iter().copied()
}
