use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;

tokio::task_local! {
    /// Whether the request that runs in this task holds a connection.
    static HOLDS: Arc<AtomicBool>;
}

/// Runs a request that may hold only one connection at a time. A second one is [`Error::SecondConnection`].
///
/// Requests that hold a connection and wait for another one can deadlock: if there are as many of them as connections, each
/// holds what another one waits for. This check makes such a request fail every time, and not only under load.
pub async fn one_connection<F: Future>(request: F) -> F::Output {
    HOLDS.scope(Arc::default(), request).await
}

/// The claim of a request to its one connection. It is released when the transaction ends.
#[derive(Debug)]
pub(crate) struct Claim(Option<Arc<AtomicBool>>);

impl Claim {
    /// Claims the connection for the request of this task. Code outside a request claims nothing.
    pub(crate) fn take() -> Result<Self, Error> {
        let Ok(holds) = HOLDS.try_with(Arc::clone) else { return Ok(Self(None)) };
        if holds.swap(true, Ordering::AcqRel) { Err(Error::SecondConnection) } else { Ok(Self(Some(holds))) }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(holds) = &self.0 {
            holds.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: API-05
    #[tokio::test]
    async fn a_request_holds_one_connection_at_a_time() {
        one_connection(async {
            let first = Claim::take().unwrap();
            assert!(matches!(Claim::take(), Err(Error::SecondConnection)));
            drop(first);
            drop(Claim::take().unwrap());
            // Another request has its own connection.
            let _here = Claim::take().unwrap();
            one_connection(async { drop(Claim::take().unwrap()) }).await;
        })
        .await;
        let _outside = [Claim::take().unwrap(), Claim::take().unwrap()];
    }
}
