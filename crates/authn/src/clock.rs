use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

/// A clock in whole seconds. Everything that expires uses it, so tests can change the time.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// Creates the system clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// Creates a clock for tests. It does not advance by itself.
    #[must_use]
    pub fn fixed_at(time: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(time.trunc_subsecs(0)))))
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the only place that reads the time of the system")]
            None => Utc::now().trunc_subsecs(0),
            Some(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Advances a clock for tests. The system clock is not affected.
    pub fn advance(&self, by: chrono::Duration) {
        if let Some(time) = &self.0 {
            *time.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}
