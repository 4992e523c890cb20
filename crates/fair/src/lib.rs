//! Fair sharing of a limited number of permits. No caller can take all of them.
//!
//! A [`FairSemaphore`] has a fixed number of permits. Each caller names a key: a network, an organization, a provider.
//! A key may hold no more permits than are left free. If one key is busy, it gets half of the permits. If `n` keys are
//! busy, each gets one part in `n + 1`, and the last part stays free for the next key.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// A semaphore that is shared fairly among keys. Clones share the same permits.
#[derive(Clone)]
pub struct FairSemaphore<K: Eq + Hash + Clone>(Arc<Shared<K>>);

struct Shared<K: Eq + Hash + Clone> {
    state: Mutex<State<K>>,
    longest_wait: Duration,
}

struct State<K: Eq + Hash + Clone> {
    free: usize,
    /// The keys that hold a permit or wait for one.
    keys: HashMap<K, Key<K>>,
    /// The number of the next waiter.
    next: u64,
}

struct Key<K: Eq + Hash + Clone> {
    held: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Permit<K>>)>,
}

/// A permit. It is released when it is dropped.
pub struct Permit<K: Eq + Hash + Clone>(Option<(Arc<Shared<K>>, K)>);

impl<K: Eq + Hash + Clone> FairSemaphore<K> {
    /// Creates a semaphore with `total` permits. Nobody waits longer than `longest_wait` for a permit.
    #[must_use]
    pub fn new(total: usize, longest_wait: Duration) -> Self {
        let state = Mutex::new(State { free: total, keys: HashMap::new(), next: 0 });
        Self(Arc::new(Shared { state, longest_wait }))
    }

    /// Returns a permit for `key` if one is free now. Returns `None` if the key holds as many as are free, or has other
    /// waiters.
    #[must_use]
    pub fn try_acquire(&self, key: K) -> Option<Permit<K>> {
        let mut state = self.0.lock();
        state.has_room(&key).then(|| state.hold(&self.0, key))
    }

    /// Returns a permit for `key`, at once or after a wait. The waiters of one key form a queue. A released permit goes
    /// to the key that holds the fewest. Returns `None` if no permit became free in time.
    pub async fn acquire(&self, key: K) -> Option<Permit<K>> {
        let waiting = {
            let mut state = self.0.lock();
            if state.has_room(&key) {
                return Some(state.hold(&self.0, key));
            }
            let (place, waiting) = oneshot::channel();
            let number = state.next;
            state.key(key).waiting.push_back((number, place));
            state.next += 1;
            waiting
        };
        // If a permit arrives just as the wait ends, it is dropped with the channel, and that releases it.
        let place = tokio::time::timeout(self.0.longest_wait, waiting).await.ok().and_then(Result::ok);
        if place.is_none() {
            self.0.lock().forget_the_gone();
        }
        place
    }

    /// Returns the number of free permits.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.lock().free
    }
}

impl<K: Eq + Hash + Clone> Shared<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> State<K> {
    fn key(&mut self, key: K) -> &mut Key<K> {
        self.keys.entry(key).or_insert_with(|| Key { held: 0, waiting: VecDeque::new() })
    }

    fn has_room(&self, key: &K) -> bool {
        match self.keys.get(key) {
            Some(known) => known.held < self.free && known.waiting.is_empty(),
            None => self.free > 0,
        }
    }

    fn hold(&mut self, shared: &Arc<Shared<K>>, key: K) -> Permit<K> {
        self.key(key.clone()).held += 1;
        self.free -= 1;
        Permit(Some((Arc::clone(shared), key)))
    }

    fn release(&mut self, shared: &Arc<Shared<K>>, key: &K) {
        self.free += 1;
        if let Some(known) = self.keys.get_mut(key) {
            known.held -= 1;
        }
        self.forget_the_gone();
        while let Some(key) = self.next_in_line() {
            self.give(shared, &key);
        }
    }

    /// Returns the key that gets the next permit. Of the keys that may have one more, it is the one that holds the
    /// fewest. Among equals, it is the one that has waited longest.
    fn next_in_line(&self) -> Option<K> {
        let waits = |(key, known): (&K, &Key<K>)| {
            let (number, _) = known.waiting.front()?;
            (known.held < self.free).then(|| (known.held, *number, key.clone()))
        };
        self.keys.iter().filter_map(waits).min_by_key(|(held, number, _)| (*held, *number)).map(|(.., key)| key)
    }

    fn give(&mut self, shared: &Arc<Shared<K>>, key: &K) {
        let Some(known) = self.keys.get_mut(key) else { return };
        let Some((_, waiting)) = known.waiting.pop_front() else { return };
        known.held += 1;
        self.free -= 1;
        if let Err(mut refused) = waiting.send(Permit(Some((Arc::clone(shared), key.clone())))) {
            // The waiter has given up. Dropping the permit normally would ask for the lock that is held here.
            refused.0 = None;
            known.held -= 1;
            self.free += 1;
            self.forget_the_gone();
        }
    }

    /// Removes keys that neither hold a permit nor wait for one.
    fn forget_the_gone(&mut self) {
        self.keys.retain(|_, known| {
            known.waiting.retain(|(_, place)| !place.is_closed());
            known.held > 0 || !known.waiting.is_empty()
        });
    }
}

impl<K: Eq + Hash + Clone> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Some((shared, key)) = self.0.take() {
            shared.lock().release(&shared, &key);
        }
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for FairSemaphore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairSemaphore").field("free", &self.free()).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    async fn fill(places: &FairSemaphore<u8>, key: u8) -> Vec<Permit<u8>> {
        let mut held = Vec::new();
        while let Some(place) = places.acquire(key).await {
            held.push(place);
        }
        held
    }

    fn keys(places: &FairSemaphore<u8>) -> usize {
        places.0.lock().keys.len()
    }

    // control: API-05
    #[tokio::test(start_paused = true)]
    async fn a_key_holds_no_more_places_than_are_left_free() {
        for (total, shares) in [(1, vec![1]), (2, vec![1, 1]), (4, vec![2, 1, 1]), (16, vec![8, 4, 2, 1, 1])] {
            let places = FairSemaphore::new(total, WAIT);
            let mut held = Vec::new();
            for (key, share) in (0..).zip(&shares) {
                let of_key = fill(&places, key).await;
                assert_eq!(of_key.len(), *share, "{key} of {total}");
                held.push(of_key);
            }
            assert_eq!(places.free(), 0);
            assert!(places.try_acquire(9).is_none());
            drop(held);
            assert!(places.try_acquire(9).is_some());
            assert_eq!((places.free(), keys(&places)), (total, 0), "nothing is kept");
        }
    }

    // control: API-05
    #[tokio::test(start_paused = true)]
    async fn a_place_that_becomes_free_goes_to_the_key_that_holds_the_fewest() {
        let places = FairSemaphore::new(4, WAIT);
        let mut greedy = fill(&places, 1).await;
        let other = fill(&places, 2).await;
        let last = places.acquire(3).await.unwrap();
        let wants = |key| {
            tokio::spawn({
                let places = places.clone();
                async move { places.acquire(key).await }
            })
        };
        let (more, late) = (wants(1), wants(4));
        tokio::task::yield_now().await;
        greedy.pop();
        let place = late.await.unwrap();
        assert!(place.is_some(), "who has none is first, and came last");
        assert!(!more.is_finished());
        drop((place, other, last));
        assert!(more.await.unwrap().is_some(), "there is one for everybody in the end");
    }

    // control: API-05
    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_in_time_and_in_line_and_those_who_left_get_nothing() {
        let places = FairSemaphore::new(1, WAIT);
        let held = places.acquire(1).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(places.acquire(2).await.is_none());
        assert_eq!((began.elapsed(), keys(&places)), (WAIT, 1), "nothing is kept of who left");
        let wants = || {
            tokio::spawn({
                let places = places.clone();
                async move { places.acquire(2).await }
            })
        };
        let (gone, first, second) = (wants(), wants(), wants());
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        drop(held);
        assert!(first.await.unwrap().is_some());
        assert!(second.await.unwrap().is_some(), "and then the next");
        assert_eq!((places.free(), keys(&places)), (1, 0));
    }

    #[tokio::test]
    async fn no_place_is_lost_however_many_come_and_go() {
        let places = FairSemaphore::new(3, Duration::from_millis(2));
        let tasks: Vec<_> = (0..400_u64)
            .map(|number| {
                let places = places.clone();
                tokio::spawn(async move {
                    let place = places.acquire(number % 7).await;
                    tokio::time::sleep(Duration::from_micros(number % 50 * 20)).await;
                    drop(place);
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            if number % 5 == 0 {
                task.abort();
            }
            let _ = task.await;
        }
        let state = places.0.lock();
        assert_eq!((state.free, state.keys.len()), (3, 0));
    }
}
