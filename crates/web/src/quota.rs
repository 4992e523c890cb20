use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What is left of a rate limit after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The name of the limit, in printable ASCII without quotes.
    pub name: &'static str,
    /// How many requests are possible without a pause.
    pub quota: u32,
    /// Seconds until an exhausted quota is full again.
    pub window: u64,
    /// How many requests are still possible without a pause.
    pub left: u32,
    /// Seconds until one more request is possible.
    pub more_in: u64,
}

/// The quotas that were counted during the request. The edge reports them in the response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas(Arc<Mutex<RecordedQuotas>>);

#[derive(Debug, Default)]
struct RecordedQuotas {
    /// Limits on all requests.
    general: Vec<Quota>,
    /// Limits on the action of this request.
    own: Vec<Quota>,
}

impl Quotas {
    pub(crate) fn record(&self, quota: Quota) {
        record(&mut self.lock().own, quota);
    }

    pub(crate) fn record_general(&self, quota: Quota) {
        record(&mut self.lock().general, quota);
    }

    pub(crate) fn is_empty(&self) -> bool {
        let counted = self.lock();
        counted.general.is_empty() && counted.own.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, RecordedQuotas> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the header fields of draft-ietf-httpapi-ratelimit-headers-10. In them, limits are lists of strings with
    /// parameters. General limits are reported only if the request has no limit of its own, which is always tighter.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let counted = self.lock();
        let quotas = if counted.own.is_empty() { &counted.general } else { &counted.own };
        if quotas.is_empty() {
            return;
        }
        let (mut policy, mut limit) = (String::new(), String::new());
        for Quota { name, quota, window, left, more_in } in quotas {
            let comma = if policy.is_empty() { "" } else { ", " };
            let _ = write!(policy, "{comma}\"{name}\";q={quota};w={window}");
            let _ = write!(limit, "{comma}\"{name}\";r={left};t={more_in}");
        }
        for (name, value) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// Records a quota. A limit may be counted twice, as in a deferred request. The newer quota replaces the older one.
fn record(quotas: &mut Vec<Quota>, quota: Quota) {
    quotas.retain(|known| known.name != quota.name);
    quotas.push(quota);
}
