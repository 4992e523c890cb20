//! The export of the audit trail, as CSV for a spreadsheet or as JSON for a program.

use authn::Authn;
use authz::{Action, Authorized, FormFor, Resource};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, SecondsFormat};
use serde::Serialize;
use serde_json::{Value, json};
use web::{Choice, Control, Error, FieldError, FieldErrors, FieldSpec, FieldText, Form, FormView, Input, Page, Result};

use super::event::{Event, Filter, find};
use super::pages::{Days, TOKENS};
use super::{ACTIVITY_EXPORTED, EXPORT_LIMIT, ExportActivity};
use crate::base::{FormPage, Layout, Organization};

/// The maximum number of events in one file. That is about ten megabytes of JSON, which one response can hold in
/// memory.
const MAX_EVENTS: usize = 20_000;

/// The byte order mark. Without it, spreadsheets do not read the file as UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

web::form! {
    pub(super) struct ExportForm {
        days: Days,
        show: Option<TokenEvents> { label: "Events" },
        format: Format {},
    }
}

/// The choice of token events instead of changes.
pub(super) struct TokenEvents;

impl TryFrom<&str> for TokenEvents {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        if text == TOKENS { Ok(Self) } else { Err(FieldError::Empty) }
    }
}

impl FieldText for TokenEvents {
    const SPEC: FieldSpec = FieldSpec {
        noun: "the events",
        control: Control::Checkboxes,
        choices: &[Choice { key: TOKENS, label: "Token events instead of changes", about: "" }],
        ..FieldSpec::TEXT
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

impl TryFrom<&str> for Format {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        match text {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => Err(FieldError::Empty),
        }
    }
}

impl FieldText for Format {
    const SPEC: FieldSpec = FieldSpec {
        label: "Format",
        noun: "CSV or JSON",
        control: Control::Radios,
        initial: "csv",
        choices: &[
            Choice { key: "csv", label: "CSV, for a spreadsheet", about: "" },
            Choice { key: "json", label: "JSON, for a program", about: "" },
        ],
        ..FieldSpec::TEXT
    };
}

fn form_page<A: Action<On = Organization>>(ok: &Authorized<A>, layout: &Layout, form: FormView) -> FormPage {
    let list_url = format!("{}/activity", ok.on().url());
    FormPage {
        shell: layout.organization(ok),
        heading: "Export activity".to_owned(),
        lead: "Download what was done in this organization. The export itself is recorded. Leave both days empty to export \
               everything that is kept, up to 20,000 events. Days are in UTC."
            .into(),
        form,
        button: "Export",
        removes: false,
        once: false,
        action_url: format!("{list_url}/export"),
        cancel_url: list_url,
    }
}

pub(super) async fn form(ok: Authorized<FormFor<ExportActivity>>, layout: Layout) -> impl IntoResponse {
    Page(form_page(&ok, &layout, Input::<ExportForm>::default().view()))
}

pub(super) async fn export(
    mut ok: Authorized<ExportActivity>,
    layout: Layout,
    State(authn): State<Authn>,
    Form(input): Form<Input<ExportForm>>,
) -> Result<Response> {
    let check = |form: &ExportForm, errors: &mut FieldErrors| form.days.check(errors);
    let ExportForm { days, show, format } = input.read_with(check, |form| form_page(&ok, &layout, form))?;
    let filter = Filter { about_tokens: show.is_some(), from: days.from(), to: days.to(), ..Filter::default() };
    authn.check_person_rate_limit(EXPORT_LIMIT, ok.who()).await?;
    let mut tx = ok.begin().await?;
    let events = find(&mut tx, &filter, MAX_EVENTS + 1, &layout.registry().events).await?;
    if events.len() > MAX_EVENTS {
        let text = "More than 20,000 events match. Choose fewer days.";
        return Err(input.refuse(Days::FIELD.from, text, |form| form_page(&ok, &layout, form)));
    }
    let details = json!({
        "events": events.len(), "format": format.name(), "from": filter.from, "to": filter.to,
        "about_tokens": filter.about_tokens,
    });
    ACTIVITY_EXPORTED.record(&mut tx, ok.on().entity().to_string(), details, &ok.who().actor()).await?;
    tx.commit().await?;
    format.response(&events, authn.clock().now().date_naive())
}

/// An event in a file. Its fields are the columns of the CSV, in this order.
#[derive(Serialize)]
struct ExportRow<'a, Details: Serialize> {
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

impl<'a, Details: Serialize> ExportRow<'a, Details> {
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

    /// Builds the response: a file with the date in its name.
    fn response(self, events: &[Event], date: NaiveDate) -> Result<Response> {
        let disposition = format!("attachment; filename=\"activity-{date}.{}\"", self.extension());
        let headers = [(header::CONTENT_TYPE, self.content_type()), (header::CONTENT_DISPOSITION, &*disposition)];
        Ok((headers, self.write(events)?).into_response())
    }

    fn write(self, events: &[Event]) -> Result<Vec<u8>> {
        match self {
            Self::Csv => csv(events),
            Self::Json => {
                let events: Vec<ExportRow<'_, &Value>> =
                    events.iter().map(|event| ExportRow::of(event, &event.details)).collect();
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
        let ExportRow { at, actor, actor_type, actor_email, kind, event, target, network, request_id, details } =
            ExportRow::of(event, event.details.to_string());
        let cells = [&at, actor, actor_type, actor_email, kind, &event, target, network, &request_id, &details];
        writer.write_record(cells.map(no_formula)).map_err(Error::internal)?;
    }
    writer.into_inner().map_err(|error| Error::internal(error.to_string()))
}

/// Makes a cell safe, so that no spreadsheet reads it as a formula (OWASP, "CSV Injection"). People choose the names in
/// it.
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
