use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::Request;
use axum::http::{HeaderMap, header};

use crate::text::visible;

/// The remote address of the connection, set by [`serve`](crate::serve()).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Where a request comes from. It is coarse on purpose: a risk signal, never an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The network: /24 of an IPv4 address, /48 of an IPv6 address.
    pub network: String,
    /// Browser family and platform, such as `Firefox on Linux`. Versions are left out because they change too often.
    pub device: String,
}

/// Headers in which reverse proxies send the client's address. Only the first one is ever read.
const FORWARDED: [&str; 8] = [
    FORWARDED_FOR,
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The number of our reverse proxies. Each of them appends to `X-Forwarded-For`. With 0 the header is ignored, because
/// anybody can send it.
///
/// If the number is wrong, all clients share one network and its limits. Each sign of a wrong number is logged once.
#[derive(Debug)]
pub(crate) struct Proxies {
    count: usize,
    unread: Once,
    missing: Once,
    unreadable: Once,
}

impl Proxies {
    pub(crate) fn new(count: usize) -> Self {
        Self { count, unread: Once::new(), missing: Once::new(), unreadable: Once::new() }
    }

    /// Returns where a request comes from. A `probe` bypasses the proxies, so it says nothing about their number.
    pub(crate) fn client(&self, request: &Request, probe: bool) -> Client {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let address = self.address(headers, probe).or(peer.map(|peer| peer.ip()));
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Client { network: address.map_or_else(|| "unknown".to_owned(), network), device: device(agent) }
    }

    fn address(&self, headers: &HeaderMap, probe: bool) -> Option<IpAddr> {
        if self.count == 0 {
            if let Some(header) = FORWARDED.iter().find(|name| headers.contains_key(**name)) {
                self.unread.call_once(|| {
                    tracing::warn!(
                        header,
                        "http.proxies is 0, so a forwarded header was ignored; if a reverse proxy of yours sent it, everybody \
                         shares one network and its limits: set http.proxies to the number of your proxies"
                    );
                });
            }
            return None;
        }
        // Read as bytes: what a client sends before the proxies' entries may not be valid text.
        let values = headers.get_all(FORWARDED_FOR).iter().map(axum::http::HeaderValue::as_bytes);
        let entries = values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let entries: Vec<_> = entries.filter(|entry| !entry.is_empty()).collect();
        let Some(entry) = entries.iter().rev().nth(self.count - 1) else {
            if !probe {
                self.missing.call_once(|| {
                    tracing::warn!(
                        proxies = self.count,
                        entries = entries.len(),
                        "X-Forwarded-For has fewer entries than http.proxies; using the address of the connection"
                    );
                });
            }
            return None;
        };
        let address = parse_entry(entry);
        if address.is_none() {
            self.unreadable.call_once(|| {
                tracing::warn!(
                    entry = %visible(&String::from_utf8_lossy(entry), 64),
                    "X-Forwarded-For has an entry that is not an address; using the address of the connection"
                );
            });
        }
        address
    }
}

/// Parses an address as proxies write it: bare, with a port, an IPv6 address in brackets, quoted, or with a zone.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim_matches('"');
    let bare = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, "")) => inside,
        Some((inside, port)) => port.strip_prefix(':').filter(|port| is_port(port)).map(|_| inside)?,
        None => match entry.split_once(':') {
            // A single colon separates an IPv4 address from its port. An IPv6 address has several colons.
            Some((inside, port)) if is_port(port) && inside.contains('.') => inside,
            _ => entry,
        },
    };
    bare.split('%').next()?.parse().ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

fn device(agent: &str) -> String {
    let first =
        |names: &[(&str, &'static str)]| names.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    let family = first(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let platform = first(&[
        ("Android", "Android"),
        ("iPhone", "iOS"),
        ("iPad", "iOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (family, platform) {
        (Some(family), Some(platform)) => format!("{family} on {platform}"),
        (Some(family), None) => family.to_owned(),
        (None, Some(platform)) => format!("Unknown browser on {platform}"),
        (None, None) => "Unknown device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network_of(peer: &str, forwarded: &[&[u8]], proxies: usize) -> String {
        let mut request = Request::new(axum::body::Body::empty());
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        for value in forwarded {
            request.headers_mut().append(FORWARDED_FOR, axum::http::HeaderValue::from_bytes(value).unwrap());
        }
        Proxies::new(proxies).client(&request, false).network
    }

    #[test]
    fn forwarded_addresses_count_only_behind_our_proxies() {
        let network = |proxies| network_of("10.1.2.3:1", &[b"198.51.100.7, 203.0.113.9"], proxies);
        assert_eq!(network(0), "10.1.2.0/24");
        assert_eq!(network(1), "203.0.113.0/24");
        assert_eq!(network(2), "198.51.100.0/24");
        assert_eq!(network(3), "10.1.2.0/24", "fewer entries than proxies: not from them");
    }

    #[test]
    fn mapped_addresses_are_the_network_they_map() {
        assert_eq!(network_of("[::ffff:192.0.2.44]:1", &[], 0), "192.0.2.0/24");
        assert_eq!(network_of("[2001:db8:1:2::3]:1", &[], 0), "2001:db8:1::/48");
    }

    #[test]
    fn an_entry_is_read_as_proxies_write_it() {
        for entry in ["203.0.113.9", "203.0.113.9:4711", " 203.0.113.9\t", "\"203.0.113.9:4711\"", "::ffff:203.0.113.9"]
        {
            assert_eq!(network_of("10.1.2.3:1", &[entry.as_bytes()], 1), "203.0.113.0/24", "{entry}");
        }
        for entry in [
            "2001:db8::3",
            "[2001:db8::3]",
            "[2001:db8::3]:4711",
            "\"[2001:db8::3]:4711\"",
            "2001:db8::3%eth0",
            "[2001:db8::3%1]:9",
        ] {
            assert_eq!(network_of("10.1.2.3:1", &[entry.as_bytes()], 1), "2001:db8:0::/48", "{entry}");
        }
        for entry in
            ["unknown", "_hidden", "203.0.113.9:x", "203.0.113", "[2001:db8::3", "[2001:db8::3]x", "203.0.113.9:1:2"]
        {
            assert_eq!(network_of("10.1.2.3:1", &[entry.as_bytes()], 1), "10.1.2.0/24", "{entry}");
        }
    }

    #[test]
    fn what_a_client_sends_hides_no_entry_of_a_proxy() {
        for forwarded in [
            &[&b"\xff\xfe, 203.0.113.9"[..]][..],
            &[b"\xff\xfe", b"203.0.113.9"],
            &[b"198.51.100.7", b" ,, 203.0.113.9 ,"],
        ] {
            assert_eq!(network_of("10.1.2.3:1", forwarded, 1), "203.0.113.0/24", "{forwarded:?}");
        }
    }
}
