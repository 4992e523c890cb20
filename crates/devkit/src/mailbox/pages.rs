//! The messages as pages.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{Mailbox, Message};
use crate::idp::page::{escape, page, refusal};

pub(super) async fn list(State(mailbox): State<Mailbox>) -> Response {
    let mails: String = mailbox.messages().iter().rev().map(row).collect();
    let mails = if mails.is_empty() {
        "<p class=\"mails empty\">No mail yet</p>"
    } else {
        &format!("<ul class=mails>{mails}</ul>")
    };
    page(StatusCode::OK, "Mailbox", &format!("{NOTICE}<h1>Mailbox</h1>{mails}"), "")
}

fn row(message: &Message) -> String {
    format!(
        "<li><a class=mail-row href=\"/mail/{}\"><span class=who><span class=name>{}</span><span class=mail>to {}</span></span>{}</a></li>",
        message.id,
        title(message),
        escape(&message.to.join(", ")),
        time(message, "%H:%M:%S"),
    )
}

#[expect(clippy::disallowed_types, reason = "the id is the name of a mail in memory")]
pub(super) async fn show(
    State(mailbox): State<Mailbox>,
    axum::extract::Path(id): axum::extract::Path<String>,
) -> Response {
    let messages = mailbox.messages();
    let Some(message) = messages.iter().find(|message| message.id.to_string() == id) else {
        return refusal(StatusCode::NOT_FOUND, "There is no such message, or no longer.");
    };
    let from = if message.from.is_empty() { "nobody" } else { &message.from };
    let body = format!(
        "{NOTICE}<p><a href=\"/\">All mail</a></p><h1 class=letter>{}</h1>\
         <dl><dt>From<dd>{}<dt>To<dd>{}<dt>Received<dd>{}</dl><pre>{}</pre>",
        title(message),
        escape(from),
        escape(&message.to.join(", ")),
        time(message, "%Y-%m-%d %H:%M:%S UTC"),
        linked(&message.text),
    );
    page(StatusCode::OK, &message.subject, &body, "")
}

const NOTICE: &str = "<p class=notice>Development mail: delivered to nobody</p>";

fn title(message: &Message) -> String {
    escape(if message.subject.is_empty() { "(no subject)" } else { &message.subject })
}

fn time(message: &Message, format: &str) -> String {
    let received = message.received;
    format!(
        "<time class=time datetime=\"{}\">{}</time>",
        received.format("%Y-%m-%dT%H:%M:%SZ"),
        received.format(format)
    )
}

/// Text as HTML, with the addresses in it to click on.
fn linked(text: &str) -> String {
    let mut html = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let start = word.find("https://").or_else(|| word.find("http://")).unwrap_or(word.len());
        let (before, rest) = word.split_at(start);
        let address = rest.trim_end_matches(|c: char| c.is_whitespace() || ".,;:!?)>'\"".contains(c));
        html.push_str(&escape(before));
        if !address.is_empty() {
            let address = escape(address);
            html += &["<a rel=noreferrer href=\"", &address, "\">", &address, "</a>"].concat();
        }
        html.push_str(&escape(&rest[address.len()..]));
    }
    html
}
