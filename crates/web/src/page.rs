use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::quota::Quotas;
use crate::rate_limiter::{RateLimitKey, RateLimiter};
use crate::refused_form::RefusedForm;
use crate::{Client, DisplayEmail, Error, FieldErrors, Flash, Quota, Tone, assets};

/// What handlers and pages need to know about a request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request id. The log, the audit trail and error pages show it.
    pub request: Uuid,
    /// The client that sent the request.
    pub client: Client,
    /// The nonce of the content security policy of this response.
    pub(crate) nonce: Arc<str>,
    pub(crate) flash: Option<Flash>,
    pub(crate) quotas: Quotas,
    /// `None` means that this request is not rate-limited.
    pub(crate) rate_limiter: Option<Arc<RateLimiter>>,
    /// The form that was just refused, if it was a form of this page.
    pub(crate) refusal: Option<Arc<RefusedForm>>,
    /// The links of the header and the footer.
    pub frame: Arc<Frame>,
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get().cloned().ok_or_else(|| Error::internal("the edge is not around this route"))
    }
}

/// What the layout shows around every page.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is what the layout shows under that name")]
pub struct Shell {
    pub nonce: Arc<str>,
    pub style_url: &'static str,
    pub icon_url: &'static str,
    pub flash: Option<DisplayFlash>,
    pub person: Option<Person>,
    pub organization: Option<OrganizationShell>,
    pub tabs: Vec<Link>,
    pub frame: Arc<Frame>,
    pub(crate) refusal: Option<Arc<RefusedForm>>,
}

/// A flash message in the form that the layout needs.
#[derive(Clone, Debug)]
pub struct DisplayFlash {
    pub tone: &'static str,
    pub text: String,
}

/// The signed-in person.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is what the layout shows under that name")]
pub struct Person {
    pub name: String,
    pub email: DisplayEmail,
}

/// The organization that the page belongs to, and the position of the page in it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is what the layout shows under that name")]
pub struct OrganizationShell {
    pub name: String,
    pub url: String,
    pub role: String,
    pub workspace_name: Option<String>,
    pub banners: Vec<Banner>,
}

/// A message with a link. It is above every page of an organization while a condition lasts.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is what the layout shows under that name")]
pub struct Banner {
    pub text: String,
    pub url: String,
    pub link_label: &'static str,
}

/// An entry of the navigation.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is what the layout shows under that name")]
pub struct Link {
    pub href: String,
    pub label: &'static str,
    pub current: bool,
    pub waiting: u32,
}

impl Link {
    /// Creates a link to another page, without a count of waiting items.
    #[must_use]
    pub fn new(label: &'static str, href: String) -> Self {
        Self { href, label, current: false, waiting: 0 }
    }
}

/// The links of the header and the footer of every page. The product sets them, because its features own the pages.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The page where people choose an organization.
    pub organizations: Option<&'static str>,
    /// The page of a person's own account.
    pub account: Option<&'static str>,
    /// The form that signs out.
    pub sign_out: Option<&'static str>,
    /// The links of the footer.
    pub footer: Vec<Link>,
}

impl Frame {
    /// Returns the page for people who can no longer open their current page.
    #[must_use]
    pub fn start_page(&self) -> &'static str {
        self.organizations.unwrap_or("/")
    }
}

impl Context {
    /// Counts this request. Guards call it as soon as they know the caller. The edge counts all other requests against
    /// their network.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub fn check_rate_limit(&self, key: RateLimitKey) -> Result<(), Error> {
        let Some(rate_limiter) = &self.rate_limiter else { return Ok(()) };
        let (quota, refused) = rate_limiter.check(key, &self.client.network);
        self.quotas.record_general(quota);
        if refused { Err(Error::TooMany(quota.more_in)) } else { Ok(()) }
    }

    /// Counts a request of somebody unknown against their network, unless the request is counted already.
    ///
    /// # Errors
    ///
    /// [`Error::TooMany`] if the limit is used up.
    pub fn check_rate_limit_of_unknown(&self) -> Result<(), Error> {
        if self.quotas.is_empty() { self.check_rate_limit(RateLimitKey::Network) } else { Ok(()) }
    }

    /// Whether the network of the request has used up its limit for requests of somebody unknown.
    #[must_use]
    pub fn network_is_over_limit(&self) -> bool {
        self.rate_limiter.as_ref().is_some_and(|rate_limiter| rate_limiter.is_used_up(&self.client.network))
    }

    /// Adds a quota to the rate limit headers of the response.
    pub fn report_quota(&self, quota: Quota) {
        self.quotas.record(quota);
    }

    /// Returns the layout for a person who is not signed in.
    #[must_use]
    pub fn shell(&self) -> Shell {
        Shell {
            nonce: Arc::clone(&self.nonce),
            style_url: assets::style_url(),
            icon_url: assets::icon_url(),
            flash: self.flash.clone().map(|flash| DisplayFlash {
                tone: if flash.tone == Tone::Success { "success" } else { "warning" },
                text: flash.text,
            }),
            person: None,
            organization: None,
            tabs: Vec::new(),
            frame: Arc::clone(&self.frame),
            refusal: self.refusal.clone(),
        }
    }
}

impl Shell {
    /// Returns why the form of this page was just refused, with its submitted values.
    #[must_use]
    pub fn refusal(&self) -> Option<&RefusedForm> {
        self.refusal.as_deref()
    }

    /// Returns the rule that just refused the form of this page.
    #[must_use]
    pub fn refused_by(&self) -> Option<&'static str> {
        Some(self.refusal()?.rule)
    }
}

/// A page: a template rendered as HTML.
#[derive(Debug)]
pub struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => {
                let kind = HeaderValue::from_static("text/html; charset=utf-8");
                let mut response = ([(header::CONTENT_TYPE, kind)], html).into_response();
                response.extensions_mut().insert(RenderedPage);
                response
            }
            Err(error) => Error::from(error).into_response(),
        }
    }
}

/// Marks a response as one of our pages, whatever its status is. The edge leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RenderedPage;

impl FieldErrors {
    /// Returns status 422 with the page that shows the errors beside the fields. Programs get a problem document.
    pub fn on_page(self, page: impl Template) -> Error {
        Error::Invalid(self, Some(Box::new(with_status(StatusCode::UNPROCESSABLE_ENTITY, page))))
    }
}

impl Error {
    /// Returns status 409 with the page that keeps the input. Programs get a problem document.
    pub fn conflict_on_page(text: &'static str, page: impl Template) -> Self {
        Self::Conflict(text, Some(Box::new(with_status(StatusCode::CONFLICT, page))))
    }
}

pub(crate) fn with_status(status: StatusCode, page: impl Template) -> Response {
    let mut response = Page(page).into_response();
    if response.status().is_success() {
        *response.status_mut() = status;
    }
    response
}

/// A page that redirects without a script, for the way back from another site. The next request then comes from our own
/// page, so the browser sends the strict cookie with it.
///
/// Chromium looks at which site started a navigation, not at the last redirect. After a click on another site, an HTTP
/// redirect from here would arrive without the session.
#[derive(Debug, Template)]
#[template(path = "client_redirect.html")]
#[expect(missing_docs, reason = "each field is what the template shows under that name")]
pub struct ClientRedirect {
    pub shell: Shell,
    pub heading: &'static str,
    pub text: &'static str,
    pub url: String,
    pub link_label: &'static str,
}

/// Redirects to one of our paths with 303, and shows `text` once.
#[must_use]
pub fn see_other(path: &str, text: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(path) else {
        return Error::internal("a redirect to what is no path").into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    Flash { tone: Tone::Success, text: text.to_owned() }.set(response.headers_mut());
    response
}
