use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

/// The time, in whole seconds. Everything that expires uses this clock, so that a test can move it.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// The clock of the system.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock for tests. It does not move by itself.
    #[must_use]
    pub fn fixed_at(time: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(time.trunc_subsecs(0)))))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the only place that reads the time of the system")]
            None => Utc::now().trunc_subsecs(0),
            Some(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a clock for tests. The clock of the system is not affected.
    pub fn advance(&self, by: chrono::Duration) {
        if let Some(time) = &self.0 {
            *time.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}
