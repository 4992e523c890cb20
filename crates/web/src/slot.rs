use std::sync::{Arc, Mutex, PoisonError};

use fair::{Place, Places};

use crate::Error;
use crate::connections::{Line, Working};

/// The place of a request among those worked on. It is given up while the client takes its time over a body: clients that
/// send slowly keep nobody else out.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) places: Places<Arc<str>>,
    pub(crate) network: Arc<str>,
    pub(crate) connection: Option<Line>,
    pub(crate) held: Arc<Mutex<Option<Held>>>,
}

type Held = (Place<Arc<str>>, Option<Working>);

impl Slot {
    /// Waits for it, fairly among networks.
    pub(crate) async fn take(&self) -> Result<(), Error> {
        let place = self.places.take(Arc::clone(&self.network)).await.ok_or(Error::Unavailable)?;
        let working = self.connection.as_ref().map(Line::work);
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some((place, working));
        Ok(())
    }

    pub(crate) fn give_up(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
