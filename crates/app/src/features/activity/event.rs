use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde_json::Value;
use tenancy::{Mode, Tx, UserId};
use uuid::Uuid;
use web::Result;

use crate::base::{ActingLabel, DisplayActor, EventKind, SentencePart, value_text};

/// Events on one page.
pub(super) const PAGE_SIZE: usize = 50;

/// An event of the organization.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) at: DateTime<Utc>,
    pub(crate) actor: DisplayActor,
    pub(crate) kind: String,
    /// What happened. It follows the name of the actor.
    pub(crate) sentence: Vec<SentencePart>,
    pub(crate) target: String,
    pub(crate) details: Value,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) network: String,
    /// How the actor acted. Features register the labels of its facts.
    pub(crate) context: Value,
}

#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) label: String,
    pub(crate) value: String,
}

/// The filter of the list of events.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// Whether to show only token events, or only all other events.
    pub(super) about_tokens: bool,
    pub(super) kind: Option<String>,
    pub(super) actor: Option<UserId>,
    /// The first and the last day, in UTC. Both are included.
    pub(super) from: Option<NaiveDate>,
    pub(super) to: Option<NaiveDate>,
    /// Only events before this one.
    pub(super) before: Option<Uuid>,
}

/// A recorded event, with the current name and email of its actor.
struct EventRow {
    id: Uuid,
    at: DateTime<Utc>,
    actor: Option<Uuid>,
    actor_name: String,
    /// The current name of the actor, if they are a member.
    member_name: Option<String>,
    email: Option<String>,
    email_verified: Option<bool>,
    client_id: Option<Uuid>,
    client_name: String,
    kind: String,
    target: String,
    details: Value,
    request_id: Option<Uuid>,
    network: String,
    context: Value,
}

/// Returns the newest events first, at most `most`.
pub(super) async fn find<M: Mode>(
    tx: &mut Tx<M>,
    filter: &Filter,
    most: usize,
    kinds: &[EventKind],
) -> Result<Vec<Event>> {
    let day = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let found = sqlx::query_as!(
        EventRow,
        r#"select e.id, e.at, e.actor, e.actor_name, u.display_name as "member_name?", u.email as "email?",
                  u.verified_email is not null as "email_verified?", 
                  (e.context ->> 'client')::uuid as client_id, e.client_name, e.kind, e.target, e.details,
                  e.request_id, e.network, e.context
             from audit.events e left join identity.users u on u.id = e.actor
            where e.about_token = $7
              and ($1::text is null or e.kind = $1)
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
        filter.about_tokens,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(found.into_iter().map(|row| row.into_event(kinds)).collect())
}

impl EventRow {
    fn into_event(self, kinds: &[EventKind]) -> Event {
        Event {
            id: self.id,
            at: self.at,
            sentence: EventKind::sentence_of(kinds, &self.kind, &self.details),
            actor: self.actor(),
            kind: self.kind,
            target: self.target,
            details: self.details,
            request_id: self.request_id,
            network: self.network,
            context: self.context,
        }
    }

    /// Returns the actor, by the stored name. Seed events and API client events store no name for a person. They get
    /// the current name.
    fn actor(&self) -> DisplayActor {
        let client = self.client_id.map(|_| self.client_name.clone());
        if self.actor.is_none() {
            return client.map_or(DisplayActor::System, |name| DisplayActor::Service { name });
        }
        let stored = Some(&self.actor_name).filter(|name| !name.is_empty());
        let person = match &self.member_name {
            Some(now) => {
                let name = stored.unwrap_or(now).clone();
                DisplayActor::person(Some(name), self.email.as_deref(), self.email_verified)
            }
            None => DisplayActor::FormerMember { name: self.actor_name.clone() },
        };
        person.through(client)
    }
}

impl Event {
    /// Returns actor and sentence as plain text.
    pub(crate) fn text(&self) -> String {
        let sentence: String = self.sentence.iter().map(|part| &*part.text).collect();
        let name = self.actor.name();
        format!("{} {sentence}", if name.is_empty() { self.actor.kind() } else { name })
    }

    /// Returns those of `labels` that say how the actor acted.
    pub(crate) fn acted(&self, labels: &[ActingLabel]) -> Vec<Detail> {
        let has = |label: &ActingLabel| {
            let value = self.context.get(label.fact)?.as_str()?.to_owned();
            Some(Detail { label: label.label.to_owned(), value })
        };
        labels.iter().filter_map(has).collect()
    }

    pub(crate) fn details(&self, labels: &[ActingLabel]) -> Vec<Detail> {
        let target = Some(&self.target).filter(|target| !target.is_empty());
        let target = target.map(|target| Detail { label: "On".to_owned(), value: target.clone() });
        let stored = self.details.as_object().into_iter().flatten();
        let stored = stored.map(|(key, value)| Detail { label: key_label(key), value: value_text(key, value) });
        target.into_iter().chain(stored).chain(self.acted(labels)).collect()
    }
}

/// Formats a key such as `bank_account` as people read it.
fn key_label(key: &str) -> String {
    let spaced = key.replace('_', " ");
    let mut chars = spaced.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
