use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

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
pub(crate) struct Quotas(Arc<Mutex<Vec<Quota>>>);

impl Quotas {
    pub(crate) fn note(&self, quota: Quota) {
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Counted again, as by a form that was kept: the newer one stands.
        quotas.retain(|known| known.name != quota.name);
        quotas.push(quota);
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers-10, in which limits are lists of strings with parameters.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if quotas.is_empty() {
            return;
        }
        let (mut policy, mut limit) = (String::new(), String::new());
        for Quota { name, quota, window, left, more_in } in &*quotas {
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
