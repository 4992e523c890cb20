//! Members, for API clients.

use authz::Authorized;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use tenancy::UserId;
use tokens::ApiClient;
use uuid::Uuid;
use web::{Json, Result, StrictQuery};

use super::member::{self, Member};
use super::{ListMembers, ViewMember};
use crate::base::{ListQuery, Operation, request_schema, response_schema};

pub(super) const LIST: Operation = Operation {
    summary: "List members",
    description: "By name, 20 at a time.",
    query: Some(request_schema::<ListQuery>),
    success: (200, Some(response_schema::<MemberList>), &[]),
    ..Operation::DEFAULT
};

pub(super) const SHOW: Operation = Operation {
    summary: "See a member",
    success: (200, Some(response_schema::<MemberJson>), &[]),
    ..Operation::DEFAULT
};

#[derive(JsonSchema, Serialize)]
struct MemberJson {
    #[schemars(with = "Uuid")]
    id: UserId,
    name: String,
    email: String,
    email_verified: bool,
    role: String,
    /// When they joined.
    since: DateTime<Utc>,
}

impl MemberJson {
    fn of(member: &Member) -> Self {
        let Member { user, name, email, role, since, .. } = member;
        Self {
            id: *user,
            name: name.clone(),
            email: email.clone(),
            email_verified: member.email_verified,
            role: role.clone(),
            since: *since,
        }
    }
}

#[derive(JsonSchema, Serialize)]
struct MemberList {
    members: Vec<MemberJson>,
    /// Address of the next page.
    next: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListMembers, ApiClient>,
    StrictQuery(find): StrictQuery<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = format!("/api/v1{}/members", ok.on().url());
    let (members, next) = member::page(&mut tx, &find, &url).await?;
    Ok(Json(MemberList { members: members.iter().map(MemberJson::of).collect(), next }))
}

pub(super) async fn show(ok: Authorized<ViewMember, ApiClient>) -> impl IntoResponse {
    Json(MemberJson::of(ok.on()))
}
