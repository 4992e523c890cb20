//! A DNS server with configurable answers, for the verification of domains and the look-up of providers.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// A running server. It stops when it is dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    names: Arc<Mutex<Names>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Names {
    texts: BTreeMap<String, Vec<String>>,
    addresses: BTreeMap<String, Vec<IpAddr>>,
    silent: bool,
    asked: usize,
}

impl Dns {
    /// Starts a server that knows no names.
    ///
    /// # Errors
    ///
    /// The socket cannot be used.
    pub fn start(socket: UdpSocket) -> io::Result<Self> {
        let names = Arc::<Mutex<Names>>::default();
        let address = socket.local_addr()?;
        let task = tokio::spawn(serve(socket, Arc::clone(&names)));
        Ok(Self { address, names, task })
    }

    /// Its address, for UDP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the TXT records of a name.
    pub fn say(&self, name: &str, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.names().texts.insert(name.to_ascii_lowercase(), texts);
    }

    /// Sets the addresses of a name.
    pub fn point(&self, name: &str, to: &[IpAddr]) {
        self.names().addresses.insert(name.to_ascii_lowercase(), to.to_vec());
    }

    /// Stops responding, or starts again.
    pub fn be_silent(&self, silent: bool) {
        self.names().silent = silent;
    }

    /// How many queries it has received.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.names().asked
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, names: Arc<Mutex<Names>>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let answer = {
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            names.asked += 1;
            if names.silent { None } else { answer(&buffer[..length], &names) }
        };
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// The response to a query. `None` if it is not a query.
fn answer(question: &[u8], names: &Names) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?.clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let addresses = names.addresses.get(&name);
    let data: Vec<RData> = match query.query_type() {
        RecordType::TXT => {
            let texts = names.texts.get(&name).into_iter().flatten();
            texts.map(|text| RData::TXT(TXT::new(vec![text.clone()]))).collect()
        }
        kind @ (RecordType::A | RecordType::AAAA) => addresses
            .into_iter()
            .flatten()
            .filter_map(|address| match address {
                IpAddr::V4(v4) if kind == RecordType::A => Some(RData::A(A(*v4))),
                IpAddr::V6(v6) if kind == RecordType::AAAA => Some(RData::AAAA(AAAA(*v6))),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let mut response = Message::new(asked.id, MessageType::Response, asked.op_code);
    response.metadata.authoritative = true;
    response.metadata.recursion_available = true;
    let known = addresses.is_some() || names.texts.contains_key(&name);
    response.metadata.response_code = if known { ResponseCode::NoError } else { ResponseCode::NXDomain };
    response.add_query(query.clone());
    for data in data {
        response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    response.to_vec().ok()
}
