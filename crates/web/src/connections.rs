use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The open connections, limited in total and per network.
///
/// Above the limit, a new connection is accepted and another one is closed. The closed one belongs to the network with
/// the most connections, and has been idle longest there. Clients that send nothing or read no response therefore
/// cannot keep others out.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    most: usize,
    most_per_network: usize,
    /// Connections by number, in the order of arrival.
    open: BTreeMap<u64, ConnectionState>,
    /// The next number. It orders new connections and ends of requests.
    next: u64,
}

#[derive(Debug)]
struct ConnectionState {
    network: Arc<str>,
    /// The number of running requests.
    working: usize,
    /// When the last request ended. Before the first request: when the connection was opened.
    idle_since: u64,
    /// Dropping it closes the connection.
    _close: oneshot::Sender<()>,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    number: u64,
    connections: Connections,
    closed: oneshot::Receiver<()>,
}

/// Marks a connection as busy with a request.
#[derive(Debug)]
pub(crate) struct ActiveRequest(ConnectionHandle);

/// Lets requests mark their connection as busy.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionHandle {
    number: u64,
    connections: Connections,
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_network: usize) -> Self {
        Self(Arc::new(Mutex::new(State { most, most_per_network, open: BTreeMap::new(), next: 0 })))
    }

    /// Accepts a connection from `network`, and closes another one if needed. Returns `None` if the network is at its
    /// limit and all its connections are busy.
    pub(crate) fn open(&self, network: Arc<str>) -> Option<OpenConnection> {
        let mut state = self.lock();
        state.make_room(&network)?;
        let (close, closed) = oneshot::channel();
        let number = state.tick();
        state.open.insert(number, ConnectionState { network, working: 0, idle_since: number, _close: close });
        drop(state);
        Some(OpenConnection { number, connections: self.clone(), closed })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn of(&self, network: &str) -> usize {
        self.open.values().filter(|entry| &*entry.network == network).count()
    }

    fn make_room(&mut self, network: &str) -> Option<()> {
        if self.open.len() < self.most.min(self.most_per_network) {
            return Some(());
        }
        let own = self.of(network);
        let from = if own >= self.most_per_network {
            network.into()
        } else if self.open.len() >= self.most {
            self.largest(network)?
        } else {
            return Some(());
        };
        let resting = |(number, entry): (&u64, &ConnectionState)| {
            (entry.network == from && entry.working == 0).then_some((entry.idle_since, *number))
        };
        let (_, longest) = self.open.iter().filter_map(resting).min()?;
        self.open.remove(&longest);
        Some(())
    }

    /// Returns the network with the most connections. `own` wins a tie.
    fn largest(&self, own: &str) -> Option<Arc<str>> {
        let mut counts: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for entry in self.open.values() {
            *counts.entry(&entry.network).or_default() += 1;
        }
        counts
            .into_iter()
            .max_by_key(|(network, count)| (*count, &***network == own))
            .map(|(network, _)| Arc::clone(network))
    }
}

impl OpenConnection {
    /// Returns the handle that requests on this connection use.
    pub(crate) fn handle(&self) -> ConnectionHandle {
        ConnectionHandle { number: self.number, connections: self.connections.clone() }
    }

    /// Resolves when this connection must close to make room for another.
    pub(crate) async fn closed(&mut self) {
        let _ = (&mut self.closed).await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
    }
}

impl ConnectionHandle {
    pub(crate) fn begin_request(&self) -> ActiveRequest {
        if let Some(entry) = self.connections.lock().open.get_mut(&self.number) {
            entry.working += 1;
        }
        ActiveRequest(self.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.0.connections.lock();
        let now = state.tick();
        if let Some(entry) = state.open.get_mut(&self.0.number) {
            entry.working = entry.working.saturating_sub(1);
            entry.idle_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(open: &mut OpenConnection) -> bool {
        open.closed.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn all(connections: &Connections) -> usize {
        connections.lock().open.len()
    }

    // control: API-05
    #[test]
    fn a_network_that_has_enough_gives_up_the_connection_that_rests_longest() {
        let connections = Connections::new(10, 2);
        let open = |network: &str| connections.open(network.into());
        let (mut first, mut second, mut other) = (open("a").unwrap(), open("a").unwrap(), open("b").unwrap());
        drop(first.handle().begin_request());
        let mut third = open("a").unwrap();
        assert!(is_closed(&mut second) && !is_closed(&mut first), "the second one has rested longer");
        let (work, more) = (first.handle().begin_request(), third.handle().begin_request());
        assert!(open("a").is_none(), "both are at work");
        assert!(!is_closed(&mut first) && !is_closed(&mut third) && !is_closed(&mut other));
        drop((work, more));
        let _fourth = open("a").unwrap();
        assert!(is_closed(&mut first));
        assert_eq!(all(&connections), 3);
    }

    // control: API-05
    #[test]
    fn where_all_are_taken_the_network_with_the_most_makes_room() {
        let connections = Connections::new(4, 3);
        let open = |network: &str| connections.open(network.into()).unwrap();
        let mut many: Vec<_> = (0..3).map(|_| open("a")).collect();
        let mut few = open("b");
        let mut late = open("c");
        assert!(is_closed(&mut many[0]));
        let _later = open("b");
        assert!(is_closed(&mut many[1]) && !is_closed(&mut many[2]));
        // Now network b has the most connections.
        let _last = open("a");
        assert!(is_closed(&mut few) && !is_closed(&mut many[2]) && !is_closed(&mut late));
        assert_eq!(all(&connections), 4);
        drop((many, few, late));
        assert_eq!(all(&connections), 2, "what has ended is not counted");
    }
}
