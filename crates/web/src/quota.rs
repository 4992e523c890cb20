use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// What is left of a limit after the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is limited: printable ASCII without quotes.
    pub name: &'static str,
    /// How often it may be done without a pause.
    pub quota: u32,
    /// Seconds after which a quota that is used up is whole again.
    pub window: u64,
    /// How often it may still be done without a pause.
    pub left: u32,
    /// Seconds after which it may be done once more than that.
    pub more_in: u64,
}

/// The limits that were counted while the request was worked on. The edge says them in its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas(Arc<Mutex<RecordedQuotas>>);

#[derive(Debug, Default)]
struct RecordedQuotas {
    /// On requests of every kind.
    general: Vec<Quota>,
    /// On what this one asked for.
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

    /// The fields of draft-ietf-httpapi-ratelimit-headers-10, in which limits are lists of strings with parameters.
    /// The general ones are said where what was asked for has none of its own, which is always tighter.
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

/// Counted again, as by a form that was kept: the newer one stands.
fn record(quotas: &mut Vec<Quota>, quota: Quota) {
    quotas.retain(|known| known.name != quota.name);
    quotas.push(quota);
}
