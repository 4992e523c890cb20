//! Why a sensitive change is made: two fields of its form, kept with the record of the change.

use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};
use web::{Field, FieldErrors, MultiLine, Result, Shell, SingleLine};

/// A reason, and perhaps where the change was asked for.
#[derive(Debug)]
pub(crate) struct Justification {
    reason: MultiLine<3, 500>,
    ticket: Option<Ticket>,
}

/// A link to where the change was asked for.
#[derive(Debug)]
struct Ticket(SingleLine<1, 500>);

impl TryFrom<&str> for Ticket {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let line = SingleLine::try_from(text)?;
        let host = line.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if host.is_some_and(|host| !host.is_empty()) && !line.contains(char::is_whitespace) {
            Ok(Self(line))
        } else {
            Err("Give the full address, beginning with https://".to_owned())
        }
    }
}

impl Justification {
    /// Reads the fields `reason` and `ticket`.
    pub(crate) fn read(errors: &mut FieldErrors, reason: &str, ticket: &str) -> Option<Self> {
        let reason = errors.parse("reason", reason);
        let no_ticket = ticket.trim().is_empty();
        let ticket = if no_ticket { Some(None) } else { errors.parse::<Ticket>("ticket", ticket).map(Some) };
        Some(Self { reason: reason?, ticket: ticket? })
    }

    /// The details of an event, with the reason and the link.
    pub(crate) fn details(&self, facts: Value) -> Value {
        with_reason(facts, self.reason(), self.ticket())
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn ticket(&self) -> Option<&str> {
        self.ticket.as_ref().map(|Ticket(link)| &**link)
    }
}

/// The details of an event about what was asked for before, with the reason and the link that were given then.
pub(crate) fn with_reason(mut facts: Value, reason: &str, ticket: Option<&str>) -> Value {
    facts["reason"] = json!(reason);
    if let Some(link) = ticket {
        facts["ticket"] = json!(link);
    }
    facts
}

/// A form of these two fields alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JustificationInput {
    reason: String,
    #[serde(default)]
    ticket: String,
}

impl JustificationInput {
    /// What was given. 422 with the page that asked, and the errors beside its fields, where it is not acceptable.
    pub(crate) fn read<P: Template>(&self, page: impl FnOnce(JustificationFields) -> P) -> Result<Justification> {
        let mut errors = FieldErrors::default();
        Justification::read(&mut errors, &self.reason, &self.ticket).ok_or_else(|| {
            let page = page(JustificationFields::of(&self.reason, &self.ticket, &errors));
            errors.on_page(page)
        })
    }
}

/// The two fields, as a form shows them (`parts::reason`).
pub(crate) struct JustificationFields {
    pub(crate) reason: Field,
    pub(crate) ticket: Field,
}

impl JustificationFields {
    /// Nothing is typed yet.
    pub(crate) fn empty() -> Self {
        Self::of("", "", &FieldErrors::default())
    }

    pub(crate) fn of(reason: &str, ticket: &str, errors: &FieldErrors) -> Self {
        Self { reason: errors.field("reason", reason), ticket: errors.field("ticket", ticket) }
    }

    pub(crate) fn have_errors(&self) -> bool {
        self.reason.error.is_some() || self.ticket.error.is_some()
    }
}

/// A page that says what is about to be done, and asks why.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct ConfirmPage {
    pub(crate) shell: Shell,
    pub(crate) heading: String,
    pub(crate) lead: &'static str,
    pub(crate) button: &'static str,
    /// It takes something away.
    pub(crate) ends: bool,
    /// It carries a one-time key, for a route that takes one.
    pub(crate) once: bool,
    pub(crate) justification: JustificationFields,
    pub(crate) action_url: String,
    pub(crate) cancel_url: String,
}
