//! Members for clients of the API.

use authz::Authorized;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy::UserId;
use tokens::ApiClient;
use web::{Json, Result, StrictQuery};

use super::member::{self, Member};
use super::{ListMembers, ViewMember};
use crate::paging::Find;

#[derive(Serialize)]
struct Shown {
    id: UserId,
    name: String,
    email: String,
    email_verified: bool,
    role: String,
    since: DateTime<Utc>,
}

impl Shown {
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

#[derive(Serialize)]
struct Page {
    members: Vec<Shown>,
    /// Address of the next page.
    next: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListMembers, ApiClient>,
    StrictQuery(find): StrictQuery<Find>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let url = format!("/api/v1{}/members", ok.on().url());
    let (members, next) = member::page(&mut tx, &find, &url).await?;
    Ok(Json(Page { members: members.iter().map(Shown::of).collect(), next }))
}

pub(super) async fn show(ok: Authorized<ViewMember, ApiClient>) -> impl IntoResponse {
    Json(Shown::of(ok.on()))
}
