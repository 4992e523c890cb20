use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

/// The time, in whole seconds. Everything that expires goes by this one, so that a test can move it.
#[derive(Clone, Debug)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    /// The clock of the system.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that does not move by itself. For tests.
    #[must_use]
    pub fn standing_at(time: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(time.trunc_subsecs(0)))))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
            None => Utc::now().trunc_subsecs(0),
            Some(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a standing clock. The clock of the system goes on as it does.
    pub fn advance(&self, by: chrono::Duration) {
        if let Some(time) = &self.0 {
            *time.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}
