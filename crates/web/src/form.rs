mod declared;
mod input;
mod schema;
mod view;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::refused_form::SentForm;
use crate::slot::Slot;
use crate::{Error, FieldErrors, FieldName};

pub use declared::{FormFields, Parser};
pub use input::Input;
pub use schema::schema_of_form;
pub use view::{FieldView, FormView};

/// A content type, and the error for any other content type.
pub(crate) type Kind = (&'static str, &'static str);

pub(crate) const FORM: Kind =
    ("application/x-www-form-urlencoded", "This address takes form fields (application/x-www-form-urlencoded).");
/// The maximum size of a form, in bytes. The longest field has 4,000 characters.
const MAX_BODY: usize = 64 * 1024;
/// The maximum time for a body to arrive after its headers.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A submitted form. `T` is an [`Input`], or a struct of strings that denies unknown fields.
///
/// Rejections: 415 for another content type, 413 above 64 KiB, 408 after 10 seconds, and 400 if the body is not
/// percent-encoded UTF-8. Unknown, repeated or missing fields and a query string get 422. `T` parses the strings; see
/// [`FieldErrors`].
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Form<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        parse(&read(&parts, body, FORM).await?).map(Self)
    }
}

/// Reads a form or a document without parsing its fields.
pub(crate) async fn read(parts: &Parts, body: Body, (wanted, other): Kind) -> Result<Bytes, Error> {
    let form = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted));
    if !form {
        return Err(Error::UnsupportedType(other));
    }
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Error::UnsupportedType("Send the body as it is, without a content encoding."));
    }
    if parts.uri.query().is_some_and(|query| !query.is_empty()) {
        // Fields belong in the body. A second place could be used to smuggle a field in.
        return Err(unexpected("a query string beside the form"));
    }
    let slot = parts.extensions.get::<Slot>();
    if let Some(slot) = slot {
        slot.give_up();
    }
    let bytes = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY))
        .await
        .map_err(|_| Error::TooSlow)?
        .map_err(|error| {
            let too_large =
                std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
            if too_large { Error::TooLarge } else { Error::Malformed("The form did not arrive whole.") }
        })?;
    if let Some(slot) = slot {
        slot.take().await?;
    }
    SentForm::note(&parts.extensions, &bytes);
    Ok(bytes)
}

/// The body of a request. A guard that refuses the request can still read it.
#[derive(Clone, Debug)]
struct SharedBody(Arc<Mutex<Body>>);

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

/// Middleware that lets a guard read the form of a request that the guard refuses ([`form_of_refused`]).
pub async fn share_body(mut request: Request, next: Next) -> Response {
    let body = SharedBody(Arc::new(Mutex::new(std::mem::take(request.body_mut()))));
    request.extensions_mut().insert(body.clone());
    *request.body_mut() = Body::new(body);
    next.run(request).await
}

/// Reads the form of a request whose handler will not run, with the same limits as [`Form`]. Does not parse the fields.
///
/// # Errors
///
/// The same as the rejections of [`Form`].
pub async fn form_of_refused(parts: &Parts) -> Result<Bytes, Error> {
    let body = parts.extensions.get::<SharedBody>().cloned();
    let body = body.ok_or_else(|| Error::internal("share_body is not around this route"))?;
    read(parts, Body::new(body), FORM).await
}

/// Encodes a form as a browser does.
///
/// # Errors
///
/// The value is not a flat struct.
pub fn encode(form: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    Ok(serde_html_form::to_string(form)?.into_bytes())
}

/// A form without fields.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let decoded = decode(bytes).ok_or(Error::Malformed("What was sent is not encoded as forms are."))?;
    if decoded.contains('\0') {
        // The database cannot store a NUL character.
        return Err(unexpected("a NUL character"));
    }
    // serde names the unknown, missing or repeated field. The name came from the client. It is escaped and goes back
    // only to that client.
    serde_html_form::from_bytes(bytes).map_err(unexpected)
}

pub(crate) fn unexpected(what: impl fmt::Display) -> Error {
    FieldErrors::of(FieldName::FORM, format!("The fields sent are not the fields expected: {what}.")).into()
}

/// Decodes percent-encoded text. Returns `None` for invalid UTF-8 or an incomplete percent sequence. `serde_html_form`
/// would replace such bytes, and the stored text would differ from the text that was sent.
fn decode(bytes: &[u8]) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        decoded.push(if *byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { *byte });
    }
    String::from_utf8(decoded).ok()
}

/// Builds a query string for links to other pages of a list. Empty values are omitted.
#[derive(Debug, Default)]
pub struct QueryString(Vec<(&'static str, String)>);

impl QueryString {
    /// Adds a parameter unless its value is empty.
    pub fn add(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.push((name, value.to_owned()));
        }
    }

    /// Returns the path with these parameters.
    #[must_use]
    pub fn on(&self, path: &str) -> String {
        match serde_html_form::to_string(&self.0) {
            Ok(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Name {
        name: String,
    }

    fn read(text: &str) -> Result<String, u16> {
        parse::<Name>(text.as_bytes()).map(|form| form.name).map_err(|error| error.status().as_u16())
    }

    #[test]
    fn what_is_read_is_what_was_sent() {
        assert_eq!(read("name=Zo%C3%AB+%e2%98%83%2B").unwrap(), "Zoë ☃+");
        assert_eq!(read("name=Zoë").unwrap(), "Zoë");
        assert_eq!(read("name=").unwrap(), "");
        for malformed in ["name=%", "name=%4", "name=%zz", "name=%ff", "name=%c3", "name=%ED%A0%80", "%fe=1"] {
            assert_eq!(read(malformed), Err(400), "{malformed}");
        }
        for refused in ["", "name=a&name=b", "name=a&role=owner", "name=a%00", "na%00me=a", "{\"name\":\"a\"}"] {
            assert_eq!(read(refused), Err(422), "{refused}");
        }
        assert_eq!(parse::<Name>(b"name=\xff").map_err(|error| error.status().as_u16()).unwrap_err(), 400);
    }
}
