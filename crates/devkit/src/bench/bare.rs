use std::process::ExitCode;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use uuid::Uuid;

/// Where the bare server is told the address of the database.
pub(crate) const DATABASE: &str = "BENCH_DATABASE_URL";

/// The pool, held by the handler itself: what the product does not do.
#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
type Pool = sqlx::PgPool;

#[derive(Serialize, sqlx::FromRow)]
struct Found {
    id: Uuid,
    name: String,
    email: String,
    company: String,
}

/// Serves the query of the contacts list and nothing else: no session, no policy, no transaction, no headers, JSON.
pub(crate) async fn serve(port: &str) -> Result<ExitCode, String> {
    #[expect(clippy::disallowed_methods, reason = "a password does not stand in the list of processes")]
    let url = std::env::var(DATABASE).map_err(|_| format!("{DATABASE} is not set; run bin/bench"))?;
    let failed = |error: &dyn std::error::Error| format!("the bare server failed: {error}");
    let pool = PgPoolOptions::new().max_connections(super::CONNECTIONS).test_before_acquire(false).connect(&url).await;
    let app = Router::new().route("/{tenant}/{workspace}", get(list)).with_state(pool.map_err(|error| failed(&error))?);
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.map_err(|error| failed(&error))?;
    axum::serve(listener, app).await.map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}

async fn list(State(pool): State<Pool>, Path((tenant, workspace)): Path<(Uuid, Uuid)>) -> impl IntoResponse {
    let found: Vec<Found> = sqlx::query_as(
        "select id, name, email, company from tenant.contacts
          where tenant_id = $5 and workspace_id = $1
            and ($2 = '' or strpos(lower(name), lower($2)) > 0 or strpos(lower(email), lower($2)) > 0
                 or strpos(lower(company), lower($2)) > 0)
            and (name, id) > ($3, $4)
          order by name, id limit 21",
    )
    .bind(workspace)
    .bind("")
    .bind("")
    .bind(Uuid::nil())
    .bind(tenant)
    .fetch_all(&pool)
    .await
    .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let json = serde_json::to_string(&found).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok::<_, (StatusCode, String)>(([(header::CONTENT_TYPE, "application/json")], json))
}
