use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fair::FairSemaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;
use uuid::Uuid;

use crate::client::Proxies;
use crate::error::ErrorSlot;
use crate::page::RenderedPage;
use crate::problem::{RequestInfo, render};
use crate::quota::Quotas;
use crate::rate_limiter::{RateLimitConfig, RateLimiter};
use crate::slot::Slot;
use crate::{Addresses, Context, Error, Flash, Frame, Host, Shell, fetch_metadata, headers, host};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The limits of the edge.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests that run at the same time. One network may hold no more permits than are left free.
    pub concurrent_requests: usize,
    /// Longest wait for a permit. After that the response is 503.
    pub place_wait: Duration,
    /// Longest time for a request, including its body.
    pub request_time: Duration,
    /// Number of our reverse proxies.
    pub proxies: usize,
    /// Requests per minute.
    pub rates: RateLimitConfig,
    /// The only host that is served. `None`: any host, as in development.
    pub host: Option<Host>,
}

/// Whether an internal error is temporary. Such an error becomes a 503.
pub type IsTemporary = fn(&(dyn std::error::Error + Send + Sync + 'static)) -> bool;

/// The state of the edge.
#[derive(Debug)]
pub struct Edge {
    limits: Limits,
    addresses: Addresses,
    frame: Arc<Frame>,
    proxies: Proxies,
    places: FairSemaphore<Arc<str>>,
    rate_limiter: Arc<RateLimiter>,
    is_temporary: IsTemporary,
}

/// Wraps every route of `router`, including its fallbacks.
pub fn edge<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    limits: Limits,
    addresses: Addresses,
    frame: Frame,
    is_temporary: IsTemporary,
) -> Router<S> {
    let (proxies, places) =
        (Proxies::new(limits.proxies), FairSemaphore::new(limits.concurrent_requests, limits.place_wait));
    let rate_limiter = Arc::new(RateLimiter::new(&limits.rates));
    let edge =
        Arc::new(Edge { limits, addresses, frame: Arc::new(frame), proxies, places, rate_limiter, is_temporary });
    router
        .layer(CatchPanicLayer::custom(|_| Error::internal("a handler panicked").into_response()))
        .layer(from_fn_with_state(edge, around))
}

async fn around(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "(none)".into(), |path| path.as_str().to_owned());
    // A busy process must not be restarted or taken out of service.
    let probe = edge.addresses.probes.contains(&&*route);
    let context = match edge.context(&request, probe) {
        Ok(context) => context,
        Err(error) => {
            // Without randomness nothing here is safe, so nothing is served.
            tracing::error!(%error, "system randomness unavailable");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let info = RequestInfo::of(&request, &edge.addresses);
    // Each log line of the request shows the user and the cost of the guards.
    let span = tracing::info_span!(
        "request",
        request = %context.request,
        user = tracing::field::Empty,
        guard_micros = tracing::field::Empty,
        token_micros = tracing::field::Empty,
        decision_micros = tracing::field::Empty,
    );
    request.extensions_mut().insert(context.clone());

    let mut response = edge.run(request, probe, &context.client.network, next).instrument(span.clone()).await;
    let _entered = span.enter();
    // No guard has counted it: the route does not exist, nobody authenticated, or it is a static file.
    if let Err(too_many) = context.check_rate_limit_of_unknown()
        && !response.status().is_server_error()
    {
        response = too_many.into_response();
    }
    if response.extensions().get::<RenderedPage>().is_none() && is_failure(&response) {
        response = edge.render_failure(response, &info, &context);
    }
    complete_headers(&mut response, &context);
    tracing::info!(
        method = %info.method,
        route,
        status = response.status().as_u16(),
        micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        network = context.client.network,
        "request completed"
    );
    response
}

/// Adds the headers that every response has.
fn complete_headers(response: &mut Response, context: &Context) {
    // Every page shows the flash, including error pages.
    if context.flash.is_some() && response.extensions().get::<RenderedPage>().is_some() {
        Flash::clear(response.headers_mut());
    }
    headers::complete(response.headers_mut(), &context.nonce);
    context.quotas.write_headers(response.headers_mut());
    if let Ok(id) = HeaderValue::try_from(context.request.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

impl Edge {
    /// The context of a request, with a new id and nonce.
    fn context(&self, request: &Request, probe: bool) -> Result<Context, getrandom::Error> {
        Ok(Context {
            request: Uuid::now_v7(),
            client: self.proxies.client(request, probe),
            nonce: nonce()?.into(),
            flash: Flash::take(request.headers()),
            quotas: Quotas::default(),
            rate_limiter: (!probe).then(|| Arc::clone(&self.rate_limiter)),
            refusal: None,
            frame: Arc::clone(&self.frame),
        })
    }

    async fn run(&self, mut request: Request, probe: bool, network: &str, next: Next) -> Response {
        let ours = self.limits.host.as_ref().filter(|_| !probe);
        if let Some(refused) = host::refusal(&request, ours) {
            return refused;
        }
        if !fetch_metadata::allowed(request.method(), request.headers()) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let slot = (!probe).then(|| Slot {
            places: self.places.clone(),
            network: network.into(),
            connection: request.extensions().get().cloned(),
            held: Arc::default(),
        });
        let answer = async {
            // The code that reads the body finds the slot here.
            if let Some(slot) = &slot {
                slot.take().await?;
                request.extensions_mut().insert(slot.clone());
            }
            Ok::<_, Error>(next.run(request).await)
        };
        let answer = tokio::time::timeout(self.limits.request_time, answer).await.unwrap_or_else(|_| {
            tracing::error!("request timed out");
            Err(Error::Unavailable)
        });
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    fn render_failure(&self, response: Response, info: &RequestInfo, context: &Context) -> Response {
        let (parts, _) = response.into_parts();
        let mut error = parts.extensions.get::<ErrorSlot>().and_then(|failed| failed.0.lock().ok()?.take());
        let mut status = parts.status;
        if let Some(Error::Internal(source)) = &error {
            tracing::error!(error = source, "internal error");
            if (self.is_temporary)(&**source) {
                (status, error) = (StatusCode::SERVICE_UNAVAILABLE, Some(Error::Unavailable));
            }
        }
        // With the header of the page it is, where a guard knew the person.
        let shell = parts.extensions.get::<Shell>().cloned().unwrap_or_else(|| context.shell());
        let mut rendered = render(status, error, info, shell, context, &self.addresses);
        // Keep what the handler decided: cookies, and the methods that are allowed.
        for (name, value) in &parts.headers {
            if *name == header::SET_COOKIE || *name == header::ALLOW || *name == header::RETRY_AFTER {
                rendered.headers_mut().append(name, value.clone());
            }
        }
        rendered
    }
}

fn is_failure(response: &Response) -> bool {
    let status = response.status();
    status.is_client_error() || status.is_server_error()
}

fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::FieldErrors;

    const ADDRESSES: Addresses = Addresses {
        sign_in: "/enter",
        sign_in_callback: "/enter/{provider}/back",
        reserved_provider_keys: &[],
        sign_in_link: "/link",
        signed_out: "/left",
        step_up: "/prove",
        step_up_code: "/prove/code",
        resume: "/go-on",
        sessions: "/sessions",
        verify_email: "/email",
        programs: "/programs/",
        api: "/programs/1",
        token_endpoint: "/programs/token",
        resource_metadata: "/described",
        probes: &["/alive"],
    };

    async fn ask(router: Router, path: &str, accept: &str) -> (StatusCode, axum::http::HeaderMap, String) {
        let limits = Limits {
            concurrent_requests: 1,
            place_wait: Duration::from_millis(50),
            request_time: Duration::from_millis(50),
            proxies: 0,
            host: None,
            rates: RateLimitConfig {
                network_per_minute: NonZeroU32::MAX,
                person_per_minute: NonZeroU32::MAX,
                client_per_minute: NonZeroU32::MAX,
                organization_per_minute: NonZeroU32::MAX,
            },
        };
        let request =
            Request::get(path).header("host", "localhost").header("accept", accept).body(Body::empty()).unwrap();
        let (parts, body) = edge(router, limits, ADDRESSES, Frame::default(), |error| error.to_string() == "later")
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        (parts.status, parts.headers, String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().into()).unwrap())
    }

    #[tokio::test]
    async fn whatever_happens_inside_the_answer_is_ours_and_tells_nothing() {
        async fn panics() -> &'static str {
            panic!("inside: SELECT secret")
        }
        let fails = |error: fn() -> Error| get(move || async move { error() });
        let router = Router::new()
            .route("/400", fails(|| Error::Malformed("A sentence.")))
            .route("/401", fails(|| Error::Unauthenticated))
            .route("/403", fails(|| Error::Forbidden))
            .route("/404", fails(|| Error::NotFound))
            .route("/408", fails(|| Error::TooSlow))
            .route("/409", fails(|| Error::Conflict("A sentence.", None)))
            .route("/413", fails(|| Error::TooLarge))
            .route("/415", fails(|| Error::UnsupportedType("A sentence.")))
            .route("/422", fails(|| Error::Invalid(FieldErrors::default(), None)))
            .route("/500", fails(|| Error::internal("inside: SELECT secret")))
            .route("/500/panic", get(panics))
            .route("/500/bare", get(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "inside: SELECT secret") }))
            .route("/503", fails(|| Error::Unavailable))
            .route("/503/unanswered", fails(|| Error::ExternalServiceUnavailable("A sentence.")))
            .route("/503/later", fails(|| Error::internal("later")))
            .route("/503/late", get(|| async { tokio::time::sleep(Duration::from_hours(1)).await }));
        for path in [
            "/400",
            "/401",
            "/403",
            "/404",
            "/408",
            "/409",
            "/413",
            "/415",
            "/422",
            "/500",
            "/500/panic",
            "/500/bare",
            "/503",
            "/503/unanswered",
            "/503/later",
            "/503/late",
            "/404/none",
        ] {
            for (accept, kind) in [("*/*", "application/problem+json"), ("text/html", "text/html; charset=utf-8")] {
                if (path, accept) == ("/401", "text/html") {
                    continue;
                }
                let (status, headers, body) = ask(router.clone(), path, accept).await;
                assert_eq!(status.as_str(), &path[1..4], "{path}");
                assert_eq!(headers["content-type"], kind, "{path}");
                assert!(!body.contains("inside") && !body.contains("SELECT"), "{path}: {body}");
                assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
                assert!(headers.contains_key("strict-transport-security") && headers["cache-control"] == "no-store");
                assert!(body.contains(headers["x-request-id"].to_str().unwrap()), "{path}: {body}");
                assert_eq!(headers.contains_key("retry-after"), status == 503, "{path}");
            }
        }
        let (status, headers, _) = ask(router, "/401", "text/html").await;
        assert_eq!(
            (status, &headers["location"]),
            (StatusCode::SEE_OTHER, &"/enter?return_to=%2F401".parse().unwrap())
        );
    }
}
