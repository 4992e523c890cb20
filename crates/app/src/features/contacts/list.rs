use askama::Template;
use authz::Authorized;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use tenancy::{Read, Tx};
use uuid::Uuid;
use web::{DisplayEmail, Page, Query, Result, Shell};

use super::contact::list_url;
use super::{CreateContact, ListContacts};
use crate::base::{Layout, ListQuery, Workspace};

#[derive(Template)]
#[template(path = "contacts/list.html")]
struct ContactsPage {
    shell: Shell,
    workspace: String,
    query: String,
    contacts: Vec<ContactSummary>,
    may_create: bool,
    new_url: String,
    list_url: String,
    next_url: Option<String>,
    first_url: Option<String>,
}

pub(super) async fn list(
    mut ok: Authorized<ListContacts>,
    layout: Layout,
    Query(find): Query<ListQuery>,
) -> Result<impl IntoResponse> {
    let mut tx = ok.begin().await?;
    let list_url = list_url(ok.on());
    let (contacts, next_url) = page(&mut tx, ok.on(), &find, &list_url).await?;
    Ok(Page(ContactsPage {
        shell: layout.organization(&ok),
        workspace: ok.on().name.clone(),
        contacts,
        may_create: ok.can::<CreateContact>(ok.on()),
        new_url: format!("{list_url}/new"),
        next_url,
        first_url: find.first_url(&list_url),
        query: find.q,
        list_url,
    }))
}

#[derive(JsonSchema, Serialize)]
pub(super) struct ContactSummary {
    id: Uuid,
    name: String,
    email: String,
    company: String,
}

impl ContactSummary {
    fn address(&self) -> DisplayEmail {
        DisplayEmail::of_nobody(&self.email)
    }
}

/// Returns one page of the contacts that match `find`, and the URL of the next page below `list_url`.
pub(super) async fn page(
    tx: &mut Tx<Read>,
    workspace: &Workspace,
    find: &ListQuery,
    list_url: &str,
) -> Result<(Vec<ContactSummary>, Option<String>)> {
    let search_term = find.search_term();
    let found = if search_term.is_empty() {
        all(tx, workspace, find).await?
    } else {
        select(tx, workspace, find, &search_term).await?
    };
    Ok(find.page(found, list_url, |contact| (&contact.name, contact.id)))
}

/// Returns the contacts of one page and one more, by name.
async fn all(tx: &mut Tx<Read>, workspace: &Workspace, find: &ListQuery) -> Result<Vec<ContactSummary>> {
    Ok(sqlx::query_as!(
        ContactSummary,
        r#"select id, name, email, company from tenant.contacts
            where workspace_id = $1 and (name collate "und-x-icu", id) > ($2, $3)
            order by name collate "und-x-icu", id limit 21"#,
        workspace.id.uuid(),
        find.after,
        find.after_id(),
    )
    .fetch_all(&mut **tx)
    .await?)
}

/// Returns the same for contacts with a word that begins with the search term. The term is not a pattern. U+FFFF sorts
/// after every character (CLDR, root collation).
///
/// A rare term is searched by word, and the matches are sorted. A common term is searched by name, because the next
/// contacts of the list are likely to match. Only if 5,000 of them do not fill a page, all matching words are read.
async fn select(
    tx: &mut Tx<Read>,
    workspace: &Workspace,
    find: &ListQuery,
    search_term: &str,
) -> Result<Vec<ContactSummary>> {
    Ok(sqlx::query_as!(
        ContactSummary,
        r#"with few as materialized (
             select from tenant.contact_words w
              where w.workspace_id = $1
                and w.word >= $2 collate tenant.alike and w.word < ($2 || U&'\FFFF') collate tenant.alike
              limit 2001),
           rare as (select count(*) <= 2000 as it_is from few),
           near as materialized (
             select c.name, c.id
               from (select name, id from tenant.contacts
                      where not (select it_is from rare)
                        and workspace_id = $1 and (name collate "und-x-icu", id) > ($3, $4)
                      order by name collate "und-x-icu", id limit 5000) c,
                    lateral (select from tenant.contact_words w
                              where w.contact_id = c.id
                                and w.word >= $2 collate tenant.alike and w.word < ($2 || U&'\FFFF') collate tenant.alike
                              limit 1) w
              order by c.name collate "und-x-icu", c.id limit 21),
           page as (
             select case when it_is then false
                         when (select count(*) from near) = 21 then true
                         else not exists (select from tenant.contacts
                                           where workspace_id = $1 and (name collate "und-x-icu", id) > ($3, $4)
                                           order by name collate "und-x-icu", id offset 5000 limit 1)
                    end as is_near from rare),
           anywhere as (
             select distinct w.name, w.contact_id as id from tenant.contact_words w
              where not (select is_near from page) and w.workspace_id = $1
                and w.word >= $2 collate tenant.alike and w.word < ($2 || U&'\FFFF') collate tenant.alike
                and (w.name collate "und-x-icu", w.contact_id) > ($3, $4)
              order by w.name, w.contact_id limit 21)
           select c.id, c.name, c.email, c.company
             from (select name, id from near where (select is_near from page)
                    union all select name, id from anywhere) f
             join tenant.contacts c on c.id = f.id
            order by f.name collate "und-x-icu", f.id"#,
        workspace.id.uuid(),
        search_term,
        find.after,
        find.after_id(),
    )
    .fetch_all(&mut **tx)
    .await?)
}
