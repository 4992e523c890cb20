use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;

tokio::task_local! {
    /// Whether the request that runs in this task holds a connection.
    static HOLDS: Arc<AtomicBool>;
}

/// Runs a request, which from here on holds at most one connection at a time: asking for a second one is
/// [`Error::SecondConnection`].
///
/// A request that holds a connection and waits for another one stops everybody as soon as there are as many of them as
/// connections: each holds what the next one waits for. Here it fails each time it is tried, and not only under load.
pub async fn one_connection<F: Future>(request: F) -> F::Output {
    HOLDS.scope(Arc::default(), request).await
}

/// The one connection that a request may hold. Given up when the transaction ends.
#[derive(Debug)]
pub(crate) struct Claim(Option<Arc<AtomicBool>>);

impl Claim {
    /// Claims it for the request of this task. What runs outside of a request claims nothing.
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
            // Another request has one of its own.
            let _here = Claim::take().unwrap();
            one_connection(async { drop(Claim::take().unwrap()) }).await;
        })
        .await;
        let _outside = [Claim::take().unwrap(), Claim::take().unwrap()];
    }
}
