//! The pages that a careful person writes without a base: axum, sqlx with its default pool, and askama. The session, the membership and
//! the list are three queries, each with its own `where tenant_id`. They have none of the product's protections: no policies, no
//! row-level security, no transaction, no decision record, no headers, no log.

use askama::Template;
use axum::Router;
#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
use axum::extract::Path;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Html;
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::query::{ContactRow, Pool, select};

/// The pool, and filler for the pages, so that they are as large as those of the product.
#[derive(Clone)]
struct Shared {
    pool: Pool,
    layout: &'static str,
}

#[derive(Template)]
#[template(
    source = "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Contacts</title></head><body>
<header>{{ organization }} / {{ workspace }} ({{ role }})</header>{{ layout|safe }}
<table><thead><tr><th>Name and company</th><th>Email</th></tr></thead><tbody>
{% for contact in contacts %}<tr><td><a href=\"/o/{{ tenant }}/w/{{ workspace_id }}/contacts/{{ contact.id }}\">{{ contact.name }}</a>
<p>{{ contact.company }}</p></td><td>{{ contact.email }}</td></tr>
{% endfor %}</tbody></table></body></html>",
    ext = "html"
)]
struct List<'a> {
    layout: &'static str,
    organization: &'a str,
    workspace: &'a str,
    role: &'a str,
    tenant: Uuid,
    workspace_id: Uuid,
    contacts: &'a [ContactRow],
}

/// The routes, with pages of about `bytes`.
pub(super) fn routes(pool: Pool, bytes: usize) -> Router {
    // The rows of a page have about 200 bytes each. The rest is layout, which is the same on every page.
    let layout: &'static str =
        Box::leak("<!-- layout -->\n".repeat(bytes.saturating_sub(20 * 200) / 16).into_boxed_str());
    Router::new().route("/hand-written/{tenant}/{workspace}", get(list)).with_state(Shared { pool, layout })
}

type Answer = Result<Html<String>, (StatusCode, String)>;

#[expect(clippy::disallowed_types, reason = "this is what the product is measured against")]
async fn list(
    State(Shared { pool, layout }): State<Shared>,
    Path((tenant, workspace_id)): Path<(Uuid, Uuid)>,
    headers: HeaderMap,
) -> Answer {
    let cookie = headers.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok()?.split_once('='));
    let token = cookie.map_or("", |(_, token)| token);
    let person: Uuid = sqlx::query_scalar(
        "select user_id from identity.sessions where token_hash = $1 and ended_at is null and expires_at > now()",
    )
    .bind(Sha256::digest(token).to_vec())
    .fetch_optional(&pool)
    .await
    .map_err(internal)?
    .ok_or((StatusCode::UNAUTHORIZED, String::new()))?;
    let (role, organization, workspace): (String, String, String) = sqlx::query_as(
        "select m.role, o.name, w.name from tenant.memberships m
           join tenant.organizations o on o.tenant_id = m.tenant_id
           join tenant.workspaces w on w.tenant_id = m.tenant_id and w.id = $3
          where m.tenant_id = $1 and m.user_id = $2",
    )
    .bind(tenant)
    .bind(person)
    .bind(workspace_id)
    .fetch_optional(&pool)
    .await
    .map_err(internal)?
    .ok_or((StatusCode::NOT_FOUND, String::new()))?;
    let contacts = select(&pool, tenant, workspace_id).await.map_err(internal)?;
    let contacts = &contacts[..contacts.len().min(20)];
    let (organization, workspace, role) = (&*organization, &*workspace, &*role);
    let page = List { layout, organization, workspace, role, tenant, workspace_id, contacts };
    page.render().map(Html).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}
