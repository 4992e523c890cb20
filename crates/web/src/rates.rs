use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use uuid::Uuid;

use crate::Quota;

const MINUTE: Duration = Duration::from_mins(1);
/// Most keys one kind of limit keeps: about 10 MB.
const MOST: usize = 100_000;

/// The `[http.rate_limits]` section of the configuration: requests a minute, so many at once and then evenly.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    /// Of one network, by people and programs that have not shown who they are.
    pub network_per_minute: NonZeroU32,
    /// Of one signed-in person.
    pub person_per_minute: NonZeroU32,
    /// Of one client of the API.
    pub client_per_minute: NonZeroU32,
    /// On one organization, by all its people and clients.
    pub organization_per_minute: NonZeroU32,
}

/// Whose requests are counted.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// The network a request comes from.
    Network,
    /// A signed-in person; in sessions with a bond to an organization, separately.
    Person(Uuid, Option<Uuid>),
    /// All API clients that act as a person in an organization.
    ClientsOf(Uuid, Uuid),
    /// A client of the API.
    Client(Uuid),
    /// An organization, by somebody who belongs to it.
    Organization(Uuid),
}

/// The requests of the last minute. In memory: each instance counts its own, and forgets them when it ends. What must hold
/// across instances is counted in the database, by the crates it concerns.
#[derive(Debug)]
pub(crate) struct Rates {
    network: Counts<Box<str>>,
    person: Counts<(Uuid, Option<Uuid>)>,
    clients_of: Counts<(Uuid, Uuid)>,
    client: Counts<Uuid>,
    organization: Counts<Uuid>,
}

impl Rates {
    pub(crate) fn new(config: &RateConfig) -> Self {
        Self {
            network: Counts::new("network", config.network_per_minute),
            person: Counts::new("person", config.person_per_minute),
            clients_of: Counts::new("person", config.person_per_minute),
            client: Counts::new("client", config.client_per_minute),
            organization: Counts::new("organization", config.organization_per_minute),
        }
    }

    /// Counts a request. Returns what is left, and whether it was refused; then nothing was counted.
    pub(crate) fn count(&self, whose: Whose, network: &str) -> (Quota, bool) {
        match whose {
            Whose::Network => self.network.count(network.into()),
            Whose::Person(id, bond) => self.person.count((id, bond)),
            Whose::ClientsOf(id, organization) => self.clients_of.count((id, organization)),
            Whose::Client(id) => self.client.count(id),
            Whose::Organization(id) => self.organization.count(id),
        }
    }
}

/// The generic cell rate algorithm (ITU-T I.371): for each key the time at which everything counted so far is paid for.
#[derive(Debug)]
struct Counts<K> {
    name: &'static str,
    per_minute: NonZeroU32,
    began: Instant,
    paid_at: Mutex<HashMap<K, Duration>>,
}

impl<K: Eq + Hash> Counts<K> {
    fn new(name: &'static str, per_minute: NonZeroU32) -> Self {
        Self { name, per_minute, began: Instant::now(), paid_at: Mutex::default() }
    }

    fn count(&self, key: K) -> (Quota, bool) {
        self.count_at(key, self.began.elapsed())
    }

    fn count_at(&self, key: K, now: Duration) -> (Quota, bool) {
        let mut known = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let debt = known.get(&key).map_or(Duration::ZERO, |paid_at| paid_at.saturating_sub(now));
        let with_this = debt + self.price();
        if with_this > MINUTE {
            return (self.left(debt), true);
        }
        if known.len() >= MOST && !known.contains_key(&key) {
            forget(&mut known, now);
        }
        known.insert(key, now + with_this);
        (self.left(with_this), false)
    }

    fn price(&self) -> Duration {
        MINUTE / self.per_minute.get()
    }

    fn left(&self, debt: Duration) -> Quota {
        let price = self.price().as_nanos().max(1);
        let left = MINUTE.saturating_sub(debt).as_nanos() / price;
        // One more when so much is paid that it fits.
        let more_in = (debt.as_nanos() + price * (left + 1)).saturating_sub(MINUTE.as_nanos());
        Quota {
            name: self.name,
            quota: self.per_minute.get(),
            window: MINUTE.as_secs(),
            left: u32::try_from(left).unwrap_or(u32::MAX),
            more_in: u64::try_from(more_in.div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1),
        }
    }
}

/// Makes room: everything that is paid for goes, and if that is too little, the half that owes least.
fn forget<K: Eq + Hash>(known: &mut HashMap<K, Duration>, now: Duration) {
    known.retain(|_, paid_at| *paid_at > now);
    if known.len() > MOST / 2 {
        let mut times: Vec<_> = known.values().copied().collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        known.retain(|_, paid_at| *paid_at > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<K: Eq + Hash>(per_minute: u32) -> Counts<K> {
        Counts::new("person", NonZeroU32::new(per_minute).unwrap())
    }

    // control: API-01
    #[test]
    fn so_many_at_once_and_then_evenly_each_key_for_itself() {
        let counts = counts(4);
        let mut said = Vec::new();
        for at in [0, 0, 0, 0, 0, 14, 15, 16, 30, 3600, 3600] {
            let (Quota { left, more_in, .. }, refused) = counts.count_at("a", Duration::from_secs(at));
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
        assert_eq!(counts.count_at("b", Duration::from_hours(1)).0.left, 3);
    }

    // control: API-01
    #[test]
    fn however_many_keys_come_only_so_many_are_kept_and_who_owes_most_is_not_forgotten() {
        let counts = counts::<usize>(10);
        let now = Duration::from_secs(1);
        let debtor = usize::MAX;
        while !counts.count_at(debtor, now).1 {}
        for key in 0..MOST * 2 {
            assert!(!counts.count_at(key, now).1);
        }
        assert!(counts.paid_at.lock().unwrap().len() <= MOST);
        assert!(counts.count_at(debtor, now).1, "still refused");
    }
}
