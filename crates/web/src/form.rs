use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use crate::Error;

/// Largest form, in bytes. The longest field is 4,000 characters.
const LARGEST: usize = 64 * 1024;
/// Longest time for a form to arrive once its headers have.
const ARRIVAL: Duration = Duration::from_secs(10);

/// A form as it was sent: `T` is a struct of strings that refuses unknown fields.
///
/// 415 for another content type, 413 for more than 64 KiB, 408 for one that takes longer than 10 s, 422 for unknown,
/// repeated or missing fields. What the strings mean is for `T` to say; see [`FieldErrors`].
#[derive(Debug)]
pub struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Form<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if !form || request.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(Error::UnsupportedType);
        }
        let bytes = tokio::time::timeout(ARRIVAL, to_bytes(request.into_body(), LARGEST))
            .await
            .map_err(|_| Error::TooSlow)?
            .map_err(|error| {
                let too_large =
                    std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
                if too_large { Error::TooLarge } else { Error::Malformed("The form did not arrive whole.") }
            })?;
        parse(&bytes).map(Self)
    }
}

/// A query string, by the same rules: unknown and repeated parameters are 422.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parse(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_urlencoded::from_bytes(bytes).map_err(|error| {
        // serde names the field that is unknown, missing or repeated; the name came from the client and goes back to it
        // escaped, as part of an answer that only it sees.
        let mut errors = FieldErrors::default();
        errors.add("form", format!("The fields sent are not the fields expected: {error}."));
        Error::Invalid(errors, None)
    })
}

/// What is wrong with which field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(BTreeMap<&'static str, String>);

impl FieldErrors {
    /// Notes an error. The first one of a field stands.
    pub fn add(&mut self, field: &'static str, error: impl Into<String>) {
        self.0.entry(field).or_insert_with(|| error.into());
    }

    /// Parses one field into its type, or notes why not.
    pub fn parse<'a, T: TryFrom<&'a str, Error = String>>(&mut self, field: &'static str, text: &'a str) -> Option<T> {
        T::try_from(text).map_err(|error| self.add(field, error)).ok()
    }

    /// The field with its text and its error, for a form that is shown again.
    #[must_use]
    pub fn field(&self, name: &'static str, value: impl Into<String>) -> Field {
        Field { name, value: value.into(), error: self.0.get(name).cloned() }
    }

    /// Nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Field and error, by name of the field.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(field, error)| (*field, error.as_str()))
    }
}

/// An input of a form, as templates show it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name and id of the input.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// A query string in the making, for links to other pages of a list. Empty values are left out.
#[derive(Debug, Default)]
pub struct QueryString(Vec<(&'static str, String)>);

impl QueryString {
    /// Adds a parameter, unless it is empty.
    pub fn add(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.push((name, value.to_owned()));
        }
    }

    /// The address `path` with these parameters.
    #[must_use]
    pub fn on(&self, path: &str) -> String {
        match serde_urlencoded::to_string(&self.0) {
            Ok(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path.to_owned(),
        }
    }
}
