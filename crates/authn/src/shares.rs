use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenancy::UserId;

/// Places for requests that wait for a provider that somebody connected for an organization. Nobody holds more of them than
/// are left free: one person alone gets half of them, however many organizations they have, and each of `n` people who
/// want more than their share gets one part of `n + 1`. The part that stays free serves whoever comes next.
#[derive(Clone, Debug)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: usize,
    /// Only people who hold one.
    held: Mutex<HashMap<UserId, usize>>,
}

/// A place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Share(Arc<Inner>, UserId);

impl Shares {
    pub(crate) fn new(total: usize) -> Self {
        Self(Arc::new(Inner { total, held: Mutex::default() }))
    }

    /// A place for somebody, or none at the moment.
    pub(crate) fn take(&self, whose: UserId) -> Option<Share> {
        let mut held = self.0.lock();
        let free = self.0.total.saturating_sub(held.values().sum());
        let own = held.get(&whose).copied().unwrap_or_default();
        (own < free).then(|| {
            held.insert(whose, own + 1);
            Share(Arc::clone(&self.0), whose)
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        match held.get_mut(&self.1) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(held.remove(&self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &Shares, whose: UserId) -> Vec<Share> {
        std::iter::from_fn(|| shares.take(whose)).collect()
    }

    #[test]
    fn nobody_takes_more_than_is_left_for_the_others() {
        let (shares, one, other, third) = (Shares::new(32), UserId::new(), UserId::new(), UserId::new());
        let of_one = fill(&shares, one);
        assert_eq!(of_one.len(), 16);
        let of_other = fill(&shares, other);
        assert_eq!(of_other.len(), 8);
        assert_eq!(fill(&shares, third).len(), 4);
        drop(of_one);
        assert_eq!(fill(&shares, third).len(), 12, "what is given back is for all");
        drop(of_other);
        assert_eq!(shares.0.lock().len(), 0, "nothing is kept of whoever holds none");
    }
}
