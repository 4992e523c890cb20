use askama::Template;
use axum::extract::Request;
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::fetch_metadata::came_from_elsewhere;
use crate::format::format_duration;
use crate::{Addresses, ClientRedirect, Context, Error, LocalPath, Page, Shell};

/// The challenge of RFC 9470, section 3. `max_age` is the maximum age in the policy `base.fresh_passkey`.
const STEP_UP_CHALLENGE: &str = "Session error=\"insufficient_user_authentication\", \
     error_description=\"This needs a passkey proved just now\", acr_values=\"passkey\", max_age=\"300\"";

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    status: u16,
    heading: &'static str,
    text: String,
    request_id: String,
    link_url: String,
    link_label: String,
}

/// The parts of a request that are needed to render an error.
pub(crate) struct RequestInfo {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) html: bool,
    pub(crate) elsewhere: bool,
    /// The page that submitted the request, if the browser reports it.
    pub(crate) sent_from: LocalPath,
}

impl RequestInfo {
    pub(crate) fn of(request: &Request, addresses: &Addresses) -> Self {
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers());
        // A client of the API is a program, whatever its `Accept` header says.
        let html = wants_html(headers) && !uri.path().starts_with(addresses.programs);
        Self { method, uri, html, elsewhere: came_from_elsewhere(headers), sent_from: sent_from(headers) }
    }
}

/// Returns the page of a form, as the browser reports it, if it is on the requested host. Otherwise returns the front
/// page.
pub(crate) fn sent_from(headers: &HeaderMap) -> LocalPath {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let page = text(header::REFERER).and_then(|referer| referer.parse::<Uri>().ok());
    let page = page.filter(|page| page.authority().map(Authority::as_str) == text(header::HOST));
    LocalPath::or_home(page.as_ref().and_then(Uri::path_and_query).map_or("/", PathAndQuery::as_str))
}

/// Whether the client wants an HTML page. All other clients get documents.
#[must_use]
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

/// Renders an error: a page for people, and a problem document (RFC 9457) for programs. A page that needs a session
/// redirects to sign-in.
pub(crate) fn render(
    status: StatusCode,
    error: Option<Error>,
    info: &RequestInfo,
    shell: Shell,
    context: &Context,
    addresses: &Addresses,
) -> Response {
    match error {
        Some(Error::Unauthenticated) if info.html && info.method == Method::GET => {
            send_to_sign_in(info, context, addresses)
        }
        Some(Error::StepUp(page, _)) if info.html => go_to(&page),
        Some(Error::Invalid(_, Some(page)) | Error::Conflict(_, Some(page)) | Error::ProofOfWork(_, Some(page)))
            if info.html =>
        {
            *page
        }
        error => {
            let later = match &error {
                Some(Error::TooMany(seconds)) => Some(*seconds),
                Some(Error::ProofOfWork(work, _)) => Some(work.wait),
                _ => None,
            };
            let challenge = match &error {
                Some(Error::StepUp(..)) => HeaderValue::from_static(STEP_UP_CHALLENGE),
                Some(Error::Challenge(challenge, _) | Error::NotPermitted(_, Some(challenge))) => challenge.clone(),
                // RFC 9110, section 11.6.1 requires a challenge, but there is no scheme for a session cookie.
                _ => HeaderValue::from_static("Session"),
            };
            let scope_is_missing = matches!(error, Some(Error::NotPermitted(_, Some(_))));
            let (heading, text) = words(status, error.as_ref());
            let mut response = if info.html {
                let (link_url, link_label) = way_back(&shell, info);
                let (status, request_id) = (status.as_u16(), context.request.to_string());
                let page = ErrorPage { shell, status, heading, text, request_id, link_url, link_label };
                let signed_out = matches!(error, Some(Error::Unauthenticated));
                Page(if signed_out { page.of_signed_out(info, addresses) } else { page }).into_response()
            } else {
                document(status, heading, &text, error.as_ref(), context)
            };
            *response.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED || scope_is_missing {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            if let Some(seconds) = later {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            response
        }
    }
}

fn send_to_sign_in(info: &RequestInfo, context: &Context, addresses: &Addresses) -> Response {
    let path = LocalPath::or_home(info.uri.path_and_query().map_or("/", |path| path.as_str()));
    if info.elsewhere {
        // After a link from another site or an email, our own page repeats the request. The browser then sends the
        // strict cookie.
        return Page(ClientRedirect {
            shell: context.shell(),
            heading: "One moment",
            text: "Opening the page you asked for.",
            url: path.to_string(),
            link_label: "Continue",
        })
        .into_response();
    }
    go_to(&format!("{}?return_to={}", addresses.sign_in, path.encoded()))
}

/// Returns the link of an error page: back to the refused form, or to a page that the person can open.
fn way_back(shell: &Shell, info: &RequestInfo) -> (String, String) {
    let form = Some(info.sent_from.to_string()).filter(|page| info.method == Method::POST && page != "/");
    match (form, &shell.organization, &shell.person) {
        (Some(page), _, _) => (page, "Go back".to_owned()),
        (None, Some(organization), _) => (organization.url.clone(), format!("Go to {}", organization.name)),
        (None, None, Some(_)) => ("/".to_owned(), "Go to your organizations".to_owned()),
        (None, None, None) => ("/".to_owned(), "Go to the start page".to_owned()),
    }
}

impl ErrorPage {
    /// Returns the page for a form that was submitted without a session and could not be deferred.
    fn of_signed_out(self, info: &RequestInfo, addresses: &Addresses) -> Self {
        Self {
            heading: "You are signed out",
            text: "What you entered was not saved. Sign in, and enter it again.".to_owned(),
            link_url: format!("{}?return_to={}", addresses.sign_in, info.sent_from.encoded()),
            link_label: "Sign in".to_owned(),
            ..self
        }
    }
}

fn go_to(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn document(status: StatusCode, title: &str, detail: &str, error: Option<&Error>, context: &Context) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "instance": format!("urn:uuid:{}", context.request),
    });
    if let Some(Error::Invalid(errors, _)) = error {
        body["errors"] = errors.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
    }
    if let Some(Error::ProofOfWork(work, _)) = error {
        body["proof_of_work"] = json!({ "challenge": work.challenge, "bits": work.bits });
    }
    let kind = HeaderValue::from_static("application/problem+json");
    ([(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

fn words(status: StatusCode, error: Option<&Error>) -> (&'static str, String) {
    let (heading, text) = match status {
        StatusCode::BAD_REQUEST => {
            ("This request cannot be read", "Something in the address or the form is malformed.")
        }
        StatusCode::UNAUTHORIZED => ("Please sign in", "This needs a session. Sign in and try again."),
        // No handler ran: the request was refused earlier.
        StatusCode::FORBIDDEN => ("Not allowed", "The request came from another site."),
        StatusCode::NOT_FOUND => ("Page not found", "It may have moved, or you may not have access."),
        StatusCode::METHOD_NOT_ALLOWED => ("Not possible here", "This address does not take requests of this kind."),
        StatusCode::REQUEST_TIMEOUT => ("Too slow", "The request took too long to arrive. Please try again."),
        StatusCode::CONFLICT => ("It has changed in the meantime", "Reload the page and try again."),
        StatusCode::PAYLOAD_TOO_LARGE => ("Too large", "That is more than this page takes. Shorten it and try again."),
        StatusCode::URI_TOO_LONG => ("Address too long", "Shorten the address and try again."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("Unsupported content", "This address does not take this type of content.")
        }
        StatusCode::MISDIRECTED_REQUEST => {
            ("Wrong host", "This server does not answer for the host name that was asked. Check the address.")
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            ("Please check what you entered", "The fields sent are not the fields expected.")
        }
        StatusCode::TOO_MANY_REQUESTS => ("Too many attempts", "Please wait a moment."),
        StatusCode::SERVICE_UNAVAILABLE => (
            "Too busy at the moment",
            "Please try again in a few seconds. If you were saving, look first whether it is there.",
        ),
        _ if status.is_client_error() => ("This request was refused", "It is not one this application takes."),
        _ => (
            "Something went wrong on our side",
            "It has been noted. Please try again; if it stays, send us the reference.",
        ),
    };
    match error {
        Some(Error::StepUp(..)) => {
            ("Please confirm with your passkey", "This needs a passkey proved just now.".to_owned())
        }
        Some(Error::Challenge(_, text)) => ("Not authenticated", (*text).to_owned()),
        Some(Error::Forbidden) => (heading, "Your role does not allow this.".to_owned()),
        Some(Error::NotPermitted(text, _)) => (heading, text.clone().into_owned()),
        Some(Error::Conflict(text, _) | Error::Malformed(text) | Error::UnsupportedType(text)) => {
            (heading, (*text).to_owned())
        }
        Some(Error::ExternalServiceUnavailable(text)) => ("No answer", (*text).to_owned()),
        Some(Error::ProofOfWork(work, _)) => (
            "Many come from your network",
            format!("Do the work that is asked for, or try again in {}.", format_duration(work.wait)),
        ),
        Some(Error::TooMany(seconds)) => (heading, format!("Try again in {}.", format_duration(*seconds))),
        _ => (heading, text.to_owned()),
    }
}
