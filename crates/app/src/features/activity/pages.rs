use askama::Template;
use authz::Authorized;
use axum::response::IntoResponse;
use chrono::NaiveDate;
use serde::Deserialize;
use tenancy::UserId;
use web::{
    Control, DisplayEmail, FieldError, FieldErrors, FieldSpec, FieldText, FormView, Id, Input, Link, Page, Query,
    Result, Shell, filters, optional_id,
};

use super::event::{Event, Filter, PAGE_SIZE, find};
use super::{ExportActivity, ViewActivity};
use crate::base::{ActingLabel, EventKind, Layout, truncate};

#[derive(Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ActivityQuery {
    /// `tokens` for token events.
    show: String,
    action: String,
    #[serde(deserialize_with = "optional_id")]
    person: Option<Id>,
    from: String,
    to: String,
    #[serde(deserialize_with = "optional_id")]
    before: Option<Id>,
}

web::form! {
    /// The first and the last day of a range. An empty day leaves that side open.
    pub(super) struct Days {
        from: Option<Day> { label: "From" },
        to: Option<Day> { label: "To" },
    }
}

impl Days {
    pub(super) fn from(&self) -> Option<NaiveDate> {
        self.from.as_ref().map(|Day(day)| *day)
    }

    pub(super) fn to(&self) -> Option<NaiveDate> {
        self.to.as_ref().map(|Day(day)| *day)
    }

    pub(super) fn check(&self, errors: &mut FieldErrors) {
        if let (Some(Day(from)), Some(Day(to))) = (&self.from, &self.to)
            && to < from
        {
            errors.add(Self::FIELD.to, "Enter a last day that is not before the first one.");
        }
    }
}

pub(super) struct Day(NaiveDate);

impl TryFrom<&str> for Day {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        let day = text.parse::<NaiveDate>().ok().filter(|day| (2000..=2999).contains(&chrono::Datelike::year(day)));
        day.map(Self).ok_or_else(|| "Enter a day as year-month-day, such as 2026-01-31.".into())
    }
}

impl FieldText for Day {
    const SPEC: FieldSpec = FieldSpec { noun: "a date", control: Control::Input("date"), ..FieldSpec::TEXT };
}

#[derive(Template)]
#[template(path = "activity/list.html")]
struct ActivityPage {
    shell: Shell,
    actions: Vec<ActionChoice>,
    people: Vec<PersonChoice>,
    more_people: bool,
    days: FormView,
    /// Whether a filter hides some of the events.
    filtered: bool,
    events: Vec<Event>,
    acting_labels: Vec<ActingLabel>,
    about_tokens: bool,
    /// The URL of the page with the other kinds of events.
    other_url: String,
    export_url: Option<String>,
    next_url: Option<String>,
    first_url: Option<String>,
    list_url: String,
    links: Vec<Link>,
}

struct ActionChoice {
    key: &'static str,
    label: &'static str,
    selected: bool,
}

struct PersonChoice {
    id: UserId,
    name: String,
    email: DisplayEmail,
    selected: bool,
}

pub(super) async fn list(
    mut ok: Authorized<ViewActivity>,
    layout: Layout,
    Query(query): Query<ActivityQuery>,
) -> Result<impl IntoResponse> {
    let days = Input::<Days>::default().with(Days::FIELD.from, &*query.from).with(Days::FIELD.to, &*query.to);
    let (filter, errors) = match days.parse(Days::check) {
        Ok(days) => (query.filter(&days), FieldErrors::default()),
        Err(errors) => (query.filter(&Days { from: None, to: None }), errors),
    };
    let mut tx = ok.begin().await?;
    let events = find(&mut tx, &filter, PAGE_SIZE + 1, &layout.registry().events).await?;
    let (events, more) = truncate(events, PAGE_SIZE);
    let (people, more_people) = people(&mut tx, filter.actor).await?;
    let list_url = format!("{}/activity", ok.on().url());
    let show = |tokens| if tokens { format!("{list_url}?show={TOKENS}") } else { list_url.clone() };
    let last = events.last().filter(|_| more);
    let page = ActivityPage {
        shell: layout.organization(&ok),
        actions: action_choices(&layout.registry().events, &filter),
        people,
        more_people,
        days: days.view_with(&errors),
        filtered: query != ActivityQuery { show: query.show.clone(), ..ActivityQuery::default() },
        next_url: last.map(|last| query.url(&list_url, &last.id.to_string())),
        first_url: filter.before.map(|_| query.url(&list_url, "")),
        events,
        acting_labels: layout.registry().acting_labels.clone(),
        links: layout.links(&ok),
        about_tokens: filter.about_tokens,
        other_url: show(!filter.about_tokens),
        export_url: ok.can::<ExportActivity>(ok.on()).then(|| format!("{list_url}/export")),
        list_url: show(filter.about_tokens),
    };
    if errors.is_empty() { Ok(Page(page)) } else { Err(errors.on_page(page)) }
}

/// Returns the kinds of events that a person can choose.
fn action_choices(kinds: &[EventKind], filter: &Filter) -> Vec<ActionChoice> {
    let choice = |kind: &EventKind| ActionChoice {
        key: kind.name,
        label: kind.label,
        selected: filter.kind.as_deref() == Some(kind.name),
    };
    kinds.iter().filter(|kind| kind.is_about_tokens() == filter.about_tokens).map(choice).collect()
}

impl ActivityQuery {
    fn filter(&self, days: &Days) -> Filter {
        let given = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
        Filter {
            about_tokens: self.show == TOKENS || self.action.starts_with(EventKind::TOKEN_PREFIX),
            kind: given(&self.action),
            actor: self.person.map(|person| UserId::from(person.uuid())),
            from: days.from(),
            to: days.to(),
            before: self.before.map(Id::uuid),
        }
    }

    fn url(&self, list_url: &str, before: &str) -> String {
        let mut query = web::QueryString::default();
        let person = self.person.map(|person| person.uuid().to_string()).unwrap_or_default();
        let pairs = [
            ("show", &*self.show),
            ("action", &*self.action),
            ("person", &*person),
            ("from", &*self.from),
            ("to", &*self.to),
            ("before", before),
        ];
        for (name, value) in pairs {
            query.add(name, value);
        }
        query.on(list_url)
    }
}

/// The value of `show` for token events.
pub(super) const TOKENS: &str = "tokens";

/// The maximum number of people that a person can choose from.
const MAX_PEOPLE: usize = 500;

/// Returns the members by name, and whether there are more.
async fn people(tx: &mut tenancy::Tx<tenancy::Read>, selected: Option<UserId>) -> Result<(Vec<PersonChoice>, bool)> {
    let found = sqlx::query!(
        r#"select u.id as "id: UserId", u.display_name as name, u.email,
                  u.verified_email is not null as "email_verified!"
             from tenant.memberships m join identity.users u on u.id = m.user_id
            order by u.display_name collate "und-x-icu", u.id limit 501"#
    );
    let (found, more) = truncate(found.fetch_all(&mut **tx).await?, MAX_PEOPLE);
    let choices = found.into_iter().map(|person| PersonChoice {
        id: person.id,
        name: person.name,
        email: DisplayEmail::of_person(&person.email, person.email_verified),
        selected: Some(person.id) == selected,
    });
    Ok((choices.collect(), more))
}
