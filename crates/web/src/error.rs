use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::{FieldErrors, ProofOfWork};

/// The result of a handler.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was not executed. The variants follow the outcome, not the source.
///
/// A client sees the status, a fixed sentence and the request id. Internal details go to the log. With `?`, any other
/// error becomes [`Error::Internal`].
#[derive(Debug)]
pub enum Error {
    /// Status 404. The resource does not exist, or the caller must not learn that it does.
    NotFound,
    /// Status 403. The caller may know that the resource exists, but may not do this.
    Forbidden,
    /// Status 403. The sentence says why an API client may not do this. If another scope would help, there is a
    /// challenge (RFC 6750, section 3.1).
    NotPermitted(Cow<'static, str>, Option<HeaderValue>),
    /// Status 401. There is no live session. A page redirects to sign-in and returns afterwards. A form says it was not
    /// saved.
    Unauthenticated,
    /// Status 401. The action needs a fresh passkey or a new sign-in. Contains the address of the page that asks for it
    /// and then continues. Also contains the `Set-Cookie` that binds a deferred request to this browser. Programs get
    /// the challenge of RFC 9470.
    StepUp(String, Option<HeaderValue>),
    /// Status 401. The credentials of an API client are not valid. Contains the challenge (RFC 6750, RFC 9449) and a
    /// constant sentence.
    Challenge(HeaderValue, &'static str),
    /// Status 422. The input is not valid. May contain the page that shows the errors beside the fields.
    Invalid(FieldErrors, Option<Box<Response>>),
    /// Status 400. The request cannot be parsed. Contains a constant sentence.
    Malformed(&'static str),
    /// Status 409. The resource has changed, or a rule about the data forbids the change. Contains a constant sentence.
    /// May contain the page that keeps the input.
    Conflict(&'static str, Option<Box<Response>>),
    /// The same form was submitted before. Contains the response to the first submission.
    AlreadySubmitted(Box<Response>),
    /// Status 408. The body did not arrive in time.
    TooSlow,
    /// Status 413. The body is too large for the route.
    TooLarge,
    /// Status 415. The route does not accept this content type. The constant sentence says which one it accepts.
    UnsupportedType(&'static str),
    /// Status 429. There were too many attempts. Contains the seconds until the next one is allowed.
    TooMany(u64),
    /// Status 429. The network has made many attempts. The client may continue at once after a proof of work, or later
    /// without one. May contain the page on which a browser does the work.
    ProofOfWork(ProofOfWork, Option<Box<Response>>),
    /// Status 503. The server is overloaded, or a dependency of this request is down. The client may retry.
    Unavailable,
    /// Status 503. An external service does not respond. Contains a constant sentence.
    ExternalServiceUnavailable(&'static str),
    /// Status 500. The fault is ours, or that of a dependency.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Creates an internal error with a sentence for the log.
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
            Self::AlreadySubmitted(response) => response.status(),
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany(_) | Self::ProofOfWork(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::ExternalServiceUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

// `Error` does not implement `std::error::Error`, so this does not overlap with the reflexive `From`.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self::Internal(Box::new(error))
    }
}

/// Becomes status 422 without a page. This is for programs and for forms that no page shows again.
impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors, None)
    }
}

/// The error on its way to the edge. The edge knows the request and renders the error.
#[derive(Clone, Debug)]
pub(crate) struct ErrorSlot(pub(crate) Arc<std::sync::Mutex<Option<Error>>>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::AlreadySubmitted(response) = self {
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
