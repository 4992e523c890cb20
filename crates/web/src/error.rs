use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::{FieldErrors, ProofOfWork};

/// What a handler answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not done, by outcome and not by source.
///
/// A client sees the status, a fixed sentence and the request id. What went wrong inside goes to the log.
/// Every other error turns into [`Error::Internal`] by `?`.
#[derive(Debug)]
pub enum Error {
    /// 404. It does not exist, or the person must not learn that it does.
    NotFound,
    /// 403. They may know of it, and may not do this.
    Forbidden,
    /// Status 403. A client of the API may not do this, and the sentence says why. With the challenge of RFC 6750, section
    /// 3.1, where another scope would change that.
    NotPermitted(Cow<'static, str>, Option<HeaderValue>),
    /// 401. No live session. A page sends the person to sign in and back. A form says that it was not saved.
    Unauthenticated,
    /// Status 401. A passkey proved now, or signing in again, would turn the refusal into a permission. Holds the address of
    /// the page that asks for it and then goes on, and the `Set-Cookie` that ties a kept form to this browser; programs get
    /// the challenge of RFC 9470.
    StepUp(String, Option<HeaderValue>),
    /// Status 401. What a client of the API shows proves nothing. Holds the challenge (RFC 6750, RFC 9449), and a constant
    /// sentence that says why.
    Challenge(HeaderValue, &'static str),
    /// 422. The input was read and is not acceptable. Holds the page that shows the errors beside the fields.
    Invalid(FieldErrors, Option<Box<Response>>),
    /// 400. The input could not even be read. The sentence is a constant of ours.
    Malformed(&'static str),
    /// Status 409. It changed in the meantime, or a rule of the data forbids it. The sentence is a constant of ours. With
    /// it the page that keeps what was typed, where something was.
    Conflict(&'static str, Option<Box<Response>>),
    /// It was done before, by the same form. Holds the answer it got then.
    Answered(Box<Response>),
    /// 408. The body did not arrive in time.
    TooSlow,
    /// 413. The body is larger than the route takes.
    TooLarge,
    /// 415. The body is of a type the route does not take. The constant sentence says which one it takes.
    UnsupportedType(&'static str),
    /// Status 429. Too many tries; holds the seconds after which another one may be made.
    TooMany(u64),
    /// Status 429. Many have come from their network: they may go on at once after some work, or later without. With it the
    /// page that has a browser do it.
    ProofOfWork(ProofOfWork, Option<Box<Response>>),
    /// 503. Too much to do at the moment, or something this request needs is down. May be tried again.
    Unavailable,
    /// 503. Somebody else who has to be asked for this does not answer. The sentence is a constant of ours.
    Unanswered(&'static str),
    /// 500. A fault of ours, or of something we depend on.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// An internal error that is only a sentence for the log.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::Internal(message.to_string().into())
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Forbidden | Self::NotPermitted(..) => StatusCode::FORBIDDEN,
            Self::Unauthenticated | Self::StepUp(..) | Self::Challenge(..) => StatusCode::UNAUTHORIZED,
            Self::Invalid(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::Answered(response) => response.status(),
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany(_) | Self::ProofOfWork(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Unanswered(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

// `Error` itself is no `std::error::Error`, so this does not overlap with the reflexive `From`.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Internal(Box::new(error))
    }
}

/// The error on its way to the edge, which alone knows the request and renders it.
#[derive(Clone, Debug)]
pub(crate) struct ErrorSlot(pub(crate) Arc<std::sync::Mutex<Option<Error>>>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Answered(response) = self {
            return *response;
        }
        let mut response = self.status().into_response();
        if let Self::StepUp(_, Some(cookie)) = &self {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        response.extensions_mut().insert(ErrorSlot(Arc::new(std::sync::Mutex::new(Some(self)))));
        response
    }
}
