use askama::Template;
use authz::Authorized;
use axum::response::IntoResponse;
use serde::Serialize;
use tenancy::{Read, Tx};
use uuid::Uuid;
use web::{Page, Query, Result, Shell, ShownEmail};

use super::contact::list_url;
use super::{CreateContact, ListContacts};
use crate::organizations::Workspace;
use crate::paging::Find;
use crate::shell::{Nav, shell};

#[derive(Template)]
#[template(path = "contacts/list.html")]
struct List {
    shell: Shell,
    workspace: String,
    query: String,
    contacts: Vec<ListRow>,
    may_create: bool,
    new_url: String,
    list_url: String,
    next_url: Option<String>,
    first_url: Option<String>,
}

struct ListRow {
    url: String,
    name: String,
    email: ShownEmail,
    company: String,
}

pub(super) async fn list(mut ok: Authorized<ListContacts>, Query(find): Query<Find>) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let list_url = list_url(ok.on());
    let (found, next_url) = page(&mut tx, ok.on(), &find, &list_url).await?;
    let row = |found: Found| ListRow {
        url: format!("{list_url}/{}", found.id),
        name: found.name,
        email: ShownEmail::of_nobody(&found.email),
        company: found.company,
    };
    Ok(Page(List {
        shell: shell(&ok, Nav::Contacts),
        workspace: ok.on().name.clone(),
        contacts: found.into_iter().map(row).collect(),
        may_create: ok.would::<CreateContact>(ok.on()),
        new_url: format!("{list_url}/new"),
        next_url,
        first_url: find.first_url(&list_url),
        query: find.q,
        list_url,
    }))
}

#[derive(Serialize)]
pub(super) struct Found {
    id: Uuid,
    name: String,
    email: String,
    company: String,
}

/// One page of those that `find` looks for, and the address of the next one below `list_url`.
pub(super) async fn page(
    tx: &mut Tx<Read>,
    workspace: &Workspace,
    find: &Find,
    list_url: &str,
) -> Result<(Vec<Found>, Option<String>)> {
    let found = select(tx, workspace, find).await?;
    Ok(find.page(found, list_url, |contact| (&contact.name, contact.id)))
}

/// One page and one contact more, by name. The words sought are compared as they are: nothing in them is a pattern.
async fn select(tx: &mut Tx<Read>, workspace: &Workspace, find: &Find) -> Result<Vec<Found>> {
    Ok(sqlx::query_as!(
        Found,
        "select id, name, email, company from tenant.contacts
          where workspace_id = $1
            and ($2 = '' or strpos(lower(name), lower($2)) > 0 or strpos(lower(email), lower($2)) > 0
                 or strpos(lower(company), lower($2)) > 0)
            and (name, id) > ($3, $4)
          order by name, id limit 21",
        workspace.id.uuid(),
        find.q.trim(),
        find.after,
        find.after_id(),
    )
    .fetch_all(&mut **tx)
    .await?)
}
