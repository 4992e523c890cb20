//! Members for clients of the API.

use authz::Authorized;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tenancy::UserId;
use tokens::ApiClient;
use web::{Json, Result};

use super::member::{self, Member};
use super::{ListMembers, ViewMember};

#[derive(Serialize)]
struct Shown {
    id: UserId,
    name: String,
    email: String,
    role: String,
    since: DateTime<Utc>,
}

impl Shown {
    fn of(member: &Member) -> Self {
        let Member { user, name, email, role, since, .. } = member;
        Self { id: *user, name: name.clone(), email: email.clone(), role: role.clone(), since: *since }
    }
}

#[derive(Serialize)]
struct Everybody {
    members: Vec<Shown>,
}

pub(super) async fn list(mut ok: Authorized<ListMembers, ApiClient>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    Ok(Json(Everybody { members: member::all(&mut tx).await?.iter().map(Shown::of).collect() }))
}

pub(super) async fn show(ok: Authorized<ViewMember, ApiClient>) -> impl IntoResponse {
    Json(Shown::of(ok.on()))
}
