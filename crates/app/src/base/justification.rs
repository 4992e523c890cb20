//! The justification of a sensitive change. It consists of two form fields, and is stored with the record of the
//! change.

use serde_json::{Value, json};
use web::{Control, FieldError, FieldSpec, FieldText, MultiLine, SingleLine};

web::form! {
    /// A reason, and optionally a link to the request for the change.
    #[derive(Debug)]
    pub(crate) struct Justification {
        reason: MultiLine<3, 500> {
            label: "Reason", noun: "a reason", control: Control::TextArea(3),
            hint: "A sentence is enough. It is kept in the activity record with this change.",
        },
        pub(crate) ticket: Option<Ticket> {
            label: "Link to the request or ticket", noun: "a link", control: Control::Input("url"),
            hint: "A full address, beginning with https://",
        },
    }
}

/// A link to the request for the change.
#[derive(Debug)]
pub(crate) struct Ticket(SingleLine<1, 500>);

impl TryFrom<&str> for Ticket {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        let line = SingleLine::try_from(text)?;
        let host = line.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        if host.is_some_and(|host| !host.is_empty()) && !line.contains(char::is_whitespace) {
            Ok(Self(line))
        } else {
            Err("Give the full address, beginning with https://".into())
        }
    }
}

impl FieldText for Ticket {
    const SPEC: FieldSpec = FieldSpec { max: 500, ..FieldSpec::TEXT };
}

impl Justification {
    /// Adds the reason and the link to the details of an event.
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

/// Adds a stored reason and link to the details of an event. For events about a request that was made earlier.
pub(crate) fn with_reason(mut facts: Value, reason: &str, ticket: Option<&str>) -> Value {
    facts["reason"] = json!(reason);
    if let Some(link) = ticket {
        facts["ticket"] = json!(link);
    }
    facts
}
