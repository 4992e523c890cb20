use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use uuid::Uuid;

use crate::Quota;

const MINUTE: Duration = Duration::from_mins(1);
/// The maximum number of keys of one limit. They take about 10 MB.
const MAX_KEYS: usize = 100_000;

/// The `[http.rate_limits]` section of the configuration. The unit is requests per minute. A client may send them all at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitConfig {
    /// For one network, without authentication.
    pub network_per_minute: NonZeroU32,
    /// For one signed-in person.
    pub person_per_minute: NonZeroU32,
    /// For one API client.
    pub client_per_minute: NonZeroU32,
    /// For one organization, including all its members and API clients.
    pub organization_per_minute: NonZeroU32,
}

/// Who a request counts against.
#[derive(Clone, Copy, Debug)]
pub enum RateLimitKey {
    /// The network of the request.
    Network,
    /// A signed-in person. Sessions that are bonded to an organization count separately.
    Person(Uuid, Option<Uuid>),
    /// All API clients that act as a person in an organization.
    ClientsOf(Uuid, Uuid),
    /// An API client.
    Client(Uuid),
    /// An organization. Requests of its members and API clients count.
    Organization(Uuid),
}

/// The request counts of the last minute, in memory. Each instance has its own counts, and loses them when it stops.
/// Limits that must hold across instances are in the database.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    network: Gcra<Box<str>>,
    person: Gcra<(Uuid, Option<Uuid>)>,
    clients_of: Gcra<(Uuid, Uuid)>,
    client: Gcra<Uuid>,
    organization: Gcra<Uuid>,
}

impl RateLimiter {
    pub(crate) fn new(config: &RateLimitConfig) -> Self {
        Self {
            network: Gcra::new("network", config.network_per_minute),
            person: Gcra::new("person", config.person_per_minute),
            clients_of: Gcra::new("person", config.person_per_minute),
            client: Gcra::new("client", config.client_per_minute),
            organization: Gcra::new("organization", config.organization_per_minute),
        }
    }

    /// Counts a request. Returns what is left, and whether the request is refused. A refused request is not counted.
    pub(crate) fn check(&self, key: RateLimitKey, network: &str) -> (Quota, bool) {
        match key {
            RateLimitKey::Network => self.network.check(network.into()),
            RateLimitKey::Person(id, bond) => self.person.check((id, bond)),
            RateLimitKey::ClientsOf(id, organization) => self.clients_of.check((id, organization)),
            RateLimitKey::Client(id) => self.client.check(id),
            RateLimitKey::Organization(id) => self.organization.check(id),
        }
    }

    /// Whether a network has used up its limit. This counts nothing.
    pub(crate) fn is_used_up(&self, network: &str) -> bool {
        self.network.is_used_up(network)
    }
}

/// The generic cell rate algorithm (ITU-T I.371). It stores a theoretical arrival time (TAT) for each key.
#[derive(Debug)]
struct Gcra<K> {
    name: &'static str,
    per_minute: NonZeroU32,
    began: Instant,
    tat: Mutex<HashMap<K, Duration>>,
}

impl<K: Eq + Hash> Gcra<K> {
    fn new(name: &'static str, per_minute: NonZeroU32) -> Self {
        Self { name, per_minute, began: Instant::now(), tat: Mutex::default() }
    }

    fn check(&self, key: K) -> (Quota, bool) {
        self.check_at(key, self.began.elapsed())
    }

    fn check_at(&self, key: K, now: Duration) -> (Quota, bool) {
        let mut known = self.tat.lock().unwrap_or_else(PoisonError::into_inner);
        let backlog = known.get(&key).map_or(Duration::ZERO, |tat| tat.saturating_sub(now));
        let with_this = backlog + self.emission_interval();
        if with_this > MINUTE {
            return (self.left(backlog), true);
        }
        if known.len() >= MAX_KEYS && !known.contains_key(&key) {
            forget(&mut known, now);
        }
        known.insert(key, now + with_this);
        (self.left(with_this), false)
    }

    fn is_used_up<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let known = self.tat.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|tat| tat.saturating_sub(self.began.elapsed()) + self.emission_interval() > MINUTE)
    }

    fn emission_interval(&self) -> Duration {
        MINUTE / self.per_minute.get()
    }

    fn left(&self, backlog: Duration) -> Quota {
        let emission_interval = self.emission_interval().as_nanos().max(1);
        let left = MINUTE.saturating_sub(backlog).as_nanos() / emission_interval;
        // One more request fits as soon as the backlog has shrunk by this much.
        let more_in = (backlog.as_nanos() + emission_interval * (left + 1)).saturating_sub(MINUTE.as_nanos());
        Quota {
            name: self.name,
            quota: self.per_minute.get(),
            window: MINUTE.as_secs(),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            more_in: u64::try_from(more_in.div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1),
        }
    }
}

/// Makes room. Drops the keys without a backlog and, if that is not enough, the half with the smallest backlogs.
fn forget<K: Eq + Hash>(known: &mut HashMap<K, Duration>, now: Duration) {
    known.retain(|_, tat| *tat > now);
    if known.len() > MAX_KEYS / 2 {
        let mut times: Vec<_> = known.values().copied().collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        known.retain(|_, tat| *tat > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<K: Eq + Hash>(per_minute: u32) -> Gcra<K> {
        Gcra::new("person", NonZeroU32::new(per_minute).unwrap())
    }

    // control: API-01
    #[test]
    fn so_many_at_once_and_then_evenly_each_key_for_itself() {
        let counts = counts(4);
        let mut said = Vec::new();
        for at in [0, 0, 0, 0, 0, 14, 15, 16, 30, 3600, 3600] {
            let (Quota { left, more_in, .. }, refused) = counts.check_at("a", Duration::from_secs(at));
            said.push((left, more_in, refused));
        }
        let expected = [
            (3, 15, false),
            (2, 15, false),
            (1, 15, false),
            (0, 15, false),
            (0, 15, true),
            (0, 1, true),
            (0, 15, false),
            (0, 14, true),
            (0, 15, false),
            (3, 15, false),
            (2, 15, false),
        ];
        assert_eq!(said, expected);
        assert_eq!(counts.check_at("b", Duration::from_hours(1)).0.left, 3);
    }

    // control: API-01
    #[test]
    fn however_many_keys_come_only_so_many_are_kept_and_who_owes_most_is_not_forgotten() {
        let counts = counts::<usize>(10);
        let now = Duration::from_secs(1);
        let debtor = usize::MAX;
        while !counts.check_at(debtor, now).1 {}
        for key in 0..MAX_KEYS * 2 {
            assert!(!counts.check_at(key, now).1);
        }
        assert!(counts.tat.lock().unwrap().len() <= MAX_KEYS);
        assert!(counts.check_at(debtor, now).1, "still refused");
    }
}
