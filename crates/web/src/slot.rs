use std::sync::{Arc, Mutex, PoisonError};

use fair::{FairSemaphore, Permit};

use crate::Error;
use crate::connections::{ActiveRequest, ConnectionHandle};

/// The permit of a running request. It is released while the client sends the body, so slow clients do not block
/// others.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) places: FairSemaphore<Arc<str>>,
    pub(crate) network: Arc<str>,
    pub(crate) connection: Option<ConnectionHandle>,
    pub(crate) held: Arc<Mutex<Option<Permits>>>,
}

type Permits = (Permit<Arc<str>>, Option<ActiveRequest>);

impl Slot {
    /// Waits for a permit. Permits are shared fairly among networks.
    pub(crate) async fn take(&self) -> Result<(), Error> {
        let place = self.places.acquire(Arc::clone(&self.network)).await.ok_or(Error::Unavailable)?;
        let working = self.connection.as_ref().map(ConnectionHandle::begin_request);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((place, working));
        Ok(())
    }

    pub(crate) fn give_up(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
