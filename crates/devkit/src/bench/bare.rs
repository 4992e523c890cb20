use std::process::ExitCode;

use axum::Router;
#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
use axum::extract::Path;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgPoolOptions;
use tenancy::{ConnectionShare, Db, Read, Scope, Tenant, WriteLocks};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::query::{ContactRow, Pool, select};

/// Variables with the URL of the database, for the owner and for the login `web`.
pub(crate) const DATABASE: &str = "BENCH_DATABASE_URL";
pub(crate) const WEB_DATABASE: &str = "BENCH_WEB_DATABASE_URL";

/// Variable with the size of a page of the product, for the hand-written pages.
pub(crate) const PAGE_BYTES: &str = "BENCH_PAGE_BYTES";

/// Serves the contacts list in three ways. The bare one is only the query, as JSON: no session, no policy, no transaction, no headers.
/// Under `/bound` the query runs in the transaction of the product, which looks up the session, the membership and the workspace, and is
/// bound to the tenant. It shows how much of the difference is due to the database. Under `/hand-written` are the pages that a careful
/// person writes without a base.
pub(crate) async fn serve(port: &str) -> Result<ExitCode, String> {
    let failed = |error: &dyn std::error::Error| format!("the bare server failed: {error}");
    let pool = PgPoolOptions::new().max_connections(super::DATABASE_CONNECTIONS).test_before_acquire(false);
    let pool = pool.connect(&address(DATABASE)?).await.map_err(|error| failed(&error))?;
    let config = tenancy::Config {
        url: SecretString::from(address(WEB_DATABASE)?),
        max_connections: super::DATABASE_CONNECTIONS,
        acquire_timeout_ms: 5_000,
        statement_cache: 100,
    };
    let db = Db::connect(&config, true).await.map_err(|error| failed(&error))?;
    // The hand-written pages use the default pool of sqlx.
    let default_pool = PgPoolOptions::new().connect(&address(DATABASE)?).await.map_err(|error| failed(&error))?;
    let page_bytes = address(PAGE_BYTES)?.parse().map_err(|error: std::num::ParseIntError| failed(&error))?;
    let hand_written = super::hand_written::routes(default_pool, page_bytes);
    let bare = Router::new().route("/{tenant}/{workspace}", get(list)).with_state(pool);
    let bound = Router::new().route("/bound/{tenant}/{workspace}", get(bound_list)).with_state(db);
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.map_err(|error| failed(&error))?;
    axum::serve(listener, bare.merge(bound).merge(hand_written)).await.map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}

fn address(name: &str) -> Result<String, String> {
    #[expect(clippy::disallowed_methods, reason = "a password must not appear in the list of processes")]
    std::env::var(name).map_err(|_| format!("{name} is not set; run bin/bench"))
}

type Answer = Result<([(header::HeaderName, &'static str); 1], String), (StatusCode, String)>;

#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
async fn list(State(pool): State<Pool>, Path((tenant, workspace)): Path<(Uuid, Uuid)>) -> Answer {
    answer(select(&pool, tenant, workspace).await)
}

#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
async fn bound_list(State(db): State<Db>, Path((tenant, workspace)): Path<(Uuid, Uuid)>, headers: HeaderMap) -> Answer {
    let token =
        headers.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok()?.split_once('=')).unwrap_or_default();
    let scope = Scope { tenant: Some(tenant.into()), workspace: Some(workspace.into()) };
    #[expect(clippy::disallowed_methods, reason = "the product's clock is not measured here")]
    let now = chrono::Utc::now();
    let (hash, locks) = (Sha256::digest(token.1).into(), WriteLocks::default());
    let access = db.authenticate::<Read, Tenant>(&hash, now, scope, locks, ConnectionShare::Path).await;
    let (_, mut tx, _) = access.map_err(internal)?.ok_or((StatusCode::UNAUTHORIZED, String::new()))?;
    answer(select(&mut *tx, tenant, workspace).await)
}

fn answer(found: Result<Vec<ContactRow>, sqlx::Error>) -> Answer {
    let json = serde_json::to_string(&found.map_err(internal)?).map_err(internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}

fn internal(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
