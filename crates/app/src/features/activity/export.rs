//! A copy of the audit trail, as CSV for a spreadsheet or as JSON for a program.

use askama::Template;
use authn::Authn;
use authz::{Action, Authorized, FormFor, Resource};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web::{Error, Field, FieldErrors, Form, Page, Result, Shell};

use super::event::{Event, Filter, find};
use super::pages::days;
use super::{ACTIVITY_EXPORTED, EXPORT_LIMIT, ExportActivity};
use crate::base::{Layout, Organization};

/// Most events in one file: about ten megabytes of JSON, which one response may hold in memory.
const MOST: usize = 20_000;

/// What the byte order mark tells spreadsheets, which otherwise take UTF-8 for something else.
const BYTE_ORDER_MARK: &str = "\u{feff}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportInput {
    format: String,
    #[serde(default)]
    show: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

#[derive(Template)]
#[template(path = "activity/export.html")]
struct ExportPage {
    shell: Shell,
    format: Field,
    from: Field,
    to: Field,
    about_tokens: bool,
    action_url: String,
    list_url: String,
}

impl ExportPage {
    fn of<A: Action<On = Organization>>(
        ok: &Authorized<A>,
        layout: &Layout,
        input: &ExportInput,
        errors: &FieldErrors,
    ) -> Self {
        let list_url = format!("{}/activity", ok.on().url());
        Self {
            shell: layout.organization(ok),
            format: errors.field("format", &*input.format),
            from: errors.field("from", &*input.from),
            to: errors.field("to", &*input.to),
            about_tokens: input.show == "tokens",
            action_url: format!("{list_url}/export"),
            list_url,
        }
    }

    fn has_errors(&self) -> bool {
        [&self.format, &self.from, &self.to].iter().any(|field| field.error.is_some())
    }
}

pub(super) async fn form(ok: Authorized<FormFor<ExportActivity>>, layout: Layout) -> impl IntoResponse {
    let blank = ExportInput { format: "csv".to_owned(), show: String::new(), from: String::new(), to: String::new() };
    Page(ExportPage::of(&ok, &layout, &blank, &FieldErrors::default()))
}

pub(super) async fn export(
    mut ok: Authorized<ExportActivity>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<ExportInput>,
) -> Result<Response> {
    let mut errors = FieldErrors::default();
    let (format, filter) = input.parse(&mut errors);
    let (Some(format), true) = (format, errors.is_empty()) else {
        let page = ExportPage::of(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    };
    authn.check_person_rate_limit(EXPORT_LIMIT, ok.who()).await?;
    let mut tx = ok.begin().await?;
    let events = find(&mut tx, &filter, MOST + 1, &layout.registry().events).await?;
    if events.len() > MOST {
        errors.add("from", "More than 20,000 events match. Choose fewer days.");
        let page = ExportPage::of(&ok, &layout, &input, &errors);
        return Err(errors.on_page(page));
    }
    let details = json!({
        "events": events.len(), "format": format.name(), "from": filter.from, "to": filter.to,
        "about_tokens": filter.about_tokens,
    });
    ACTIVITY_EXPORTED.record(&mut tx, ok.on().entity().to_string(), details, &ok.who().actor()).await?;
    tx.commit().await?;
    let name = format!("activity-{}.{}", authn.clock().now().format("%Y-%m-%d"), format.extension());
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, format.write(&events)?).into_response())
}

impl ExportInput {
    fn parse(&self, errors: &mut FieldErrors) -> (Option<Format>, Filter) {
        let format = match &*self.format {
            "csv" => Some(Format::Csv),
            "json" => Some(Format::Json),
            _ => {
                errors.add("format", "Choose CSV or JSON.");
                None
            }
        };
        let (from, to) = days(&self.from, &self.to, errors);
        (format, Filter { about_tokens: self.show == "tokens", from, to, ..Filter::default() })
    }
}

/// An event in a file. Its fields are columns of the CSV in this order.
#[derive(Serialize)]
struct Exported<'a, Details: Serialize> {
    at: String,
    actor: &'a str,
    actor_type: &'static str,
    actor_email: &'a str,
    kind: &'a str,
    event: String,
    target: &'a str,
    network: &'a str,
    request_id: String,
    details: Details,
}

impl<'a, Details: Serialize> Exported<'a, Details> {
    fn of(event: &'a Event, details: Details) -> Self {
        Self {
            at: event.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            actor: event.actor.name(),
            actor_type: event.actor.kind(),
            actor_email: event.actor.email().map_or("", |email| &email.text),
            kind: &event.kind,
            event: event.text(),
            target: &event.target,
            network: &event.network,
            request_id: event.request_id.map(|id| id.to_string()).unwrap_or_default(),
            details,
        }
    }
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }

    fn write(self, events: &[Event]) -> Result<Vec<u8>> {
        match self {
            Self::Csv => csv(events),
            Self::Json => {
                let events: Vec<Exported<'_, &Value>> =
                    events.iter().map(|event| Exported::of(event, &event.details)).collect();
                Ok(serde_json::to_vec_pretty(&events)?)
            }
        }
    }
}

fn csv(events: &[Event]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(BYTE_ORDER_MARK.as_bytes().to_vec());
    let header =
        ["at", "actor", "actor_type", "actor_email", "kind", "event", "target", "network", "request_id", "details"];
    writer.write_record(header).map_err(Error::internal)?;
    for event in events {
        let Exported { at, actor, actor_type, actor_email, kind, event, target, network, request_id, details } =
            Exported::of(event, event.details.to_string());
        let cells = [&at, actor, actor_type, actor_email, kind, &event, target, network, &request_id, &details];
        writer.write_record(cells.map(no_formula)).map_err(Error::internal)?;
    }
    writer.into_inner().map_err(|error| Error::internal(error.to_string()))
}

/// A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"): names are chosen by people.
fn no_formula(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(no_formula("=HYPERLINK(\"https://evil.example\")"), "'=HYPERLINK(\"https://evil.example\")");
        assert_eq!(no_formula("Vera Viewer"), "Vera Viewer");
    }
}
