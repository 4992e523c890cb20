use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use tenancy::{Read, Tx, UserId};
use uuid::Uuid;
use web::{Result, display_email, format_datetime};

use crate::base::{DisplayActor, EventKind};

/// Events on one page.
pub(super) const PAGE_SIZE: usize = 50;

/// An event as pages show it.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) id: Uuid,
    pub(crate) at: String,
    pub(crate) actor: DisplayActor,
    /// They acted in another role for a while.
    pub(crate) elevated: bool,
    pub(crate) summary: &'static str,
    pub(crate) target: String,
    pub(crate) details: Vec<Detail>,
    pub(crate) request_id: String,
    pub(crate) network: String,
}

#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) label: String,
    pub(crate) value: String,
}

/// Which events to show.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) kind: Option<String>,
    pub(super) actor: Option<UserId>,
    /// First and last day, in UTC, both included.
    pub(super) from: Option<NaiveDate>,
    pub(super) to: Option<NaiveDate>,
    /// Only what came before this event.
    pub(super) before: Option<Uuid>,
}

struct Stored {
    id: Uuid,
    at: DateTime<Utc>,
    actor: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    client: Option<String>,
    kind: String,
    target: String,
    details: Value,
    request_id: Option<Uuid>,
    network: String,
    /// Under which elevation it was done.
    elevation: Option<Uuid>,
    /// The application did it by itself.
    by_nobody: bool,
}

/// Events newest first, at most `most`.
pub(super) async fn find(
    tx: &mut Tx<Read>,
    filter: &Filter,
    most: usize,
    kinds: &[EventKind],
) -> Result<Vec<EventRow>> {
    let day = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
    let found = sqlx::query_as!(
        Stored,
        r#"select e.id, e.at, u.display_name as "actor?", u.email as "email?",
                  u.verified_email is not null as "email_verified?", coalesce(c.name, made.name, e.client_id::text) as "client?",
                  e.kind, e.target, e.details, e.request_id, e.network,
                  e.elevation, (e.actor is null and e.client_id is null) as "by_nobody!"
             from audit.events e left join identity.users u on u.id = e.actor
             left join tenant.api_clients c on c.tenant_id = e.tenant_id and c.id = e.client_id
             -- A revoked client has no row. Its name is in the event of its creation, for as long as that is kept.
             left join lateral (
               select made.details ->> 'name' as name from audit.events made
                where made.tenant_id = e.tenant_id and made.kind in ('api_client.made', 'service_account.made')
                  and made.target = 'ApiClient::"' || e.client_id || '"'
             ) made on c.id is null and e.client_id is not null
            where ($1::text is null or e.kind = $1)
              and ($2::uuid is null or e.actor = $2)
              and ($3::timestamptz is null or e.at >= $3)
              and ($4::timestamptz is null or e.at < $4)
              and ($5::uuid is null or e.id < $5)
            order by e.id desc limit $6"#,
        filter.kind,
        filter.actor.map(UserId::uuid),
        filter.from.map(day),
        filter.to.and_then(|to| to.succ_opt()).map(day),
        filter.before,
        i64::try_from(most)?,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found.into_iter().map(|event| EventRow::of(event, kinds)).collect())
}

impl EventRow {
    fn of(event: Stored, kinds: &[EventKind]) -> Self {
        let details = event.details.as_object().into_iter().flatten();
        Self {
            id: event.id,
            at: format_datetime(event.at),
            actor: if event.by_nobody {
                DisplayActor::System
            } else {
                DisplayActor::person(event.actor, event.email.as_deref(), event.email_verified).through(event.client)
            },
            elevated: event.elevation.is_some(),
            summary: EventKind::summary_of(kinds, &event.kind),
            target: event.details.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            details: std::iter::once(Detail { label: "On".to_owned(), value: event.target })
                .chain(details.map(|(label, value)| Detail { label: words(label), value: detail(label, value) }))
                .chain(event.elevation.map(|id| Detail { label: "Elevation".to_owned(), value: id.to_string() }))
                .collect(),
            request_id: event.request_id.map(|id| id.to_string()).unwrap_or_default(),
            network: event.network,
        }
    }
}

/// `bank_account` as people read it.
fn words(key: &str) -> String {
    let spaced = key.replace('_', " ");
    let mut chars = spaced.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn detail(label: &str, value: &Value) -> String {
    match (label, value) {
        ("email" | "recipient", Value::String(address)) => display_email(address),
        ("domain", Value::String(domain)) => web::display_domain(domain),
        (_, value) => shown(value),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
