//! The organization of an API client, and its workspaces.

use authz::Authorized;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use tenancy::TenantId;
use tokens::ApiClient;
use uuid::Uuid;
use web::{Json, Result, StrictQuery};

use super::ListWorkspaces;
use super::workspace::{self, WorkspaceSummary};
use crate::base::{ListQuery, Operation, request_schema, response_schema};

/// The path is not below an organization, because a client belongs to one organization, and gets its id here.
pub(super) const PATH: &str = "/api/v1/workspaces";

pub(super) const LIST: Operation = Operation {
    summary: "List workspaces",
    description: "By name, 20 at a time, with the organization of the client: the ids that other addresses need.",
    query: Some(request_schema::<ListQuery>),
    success: (200, Some(response_schema::<WorkspaceList>), &[]),
    ..Operation::DEFAULT
};

#[derive(Serialize, JsonSchema)]
struct WorkspaceList {
    /// The organization of the client.
    organization: OrganizationReference,
    workspaces: Vec<WorkspaceSummary>,
    /// The address of the next page.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct OrganizationReference {
    #[schemars(with = "Uuid")]
    id: TenantId,
    name: String,
}

pub(super) async fn list(
    mut ok: Authorized<ListWorkspaces, ApiClient>,
    StrictQuery(find): StrictQuery<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let (workspaces, next) = workspace::page(&mut tx, &find, PATH).await?;
    let organization = OrganizationReference { id: ok.on().id, name: ok.on().name.clone() };
    Ok(Json(WorkspaceList { organization, workspaces, next }))
}
