use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

/// What a request tells about where it comes from: coarse on purpose. A signal for risk, never an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The network: /24 of an IPv4, /48 of an IPv6 address.
    pub network: String,
    /// Browser family and platform, for example `Firefox on Linux`. Versions change too often to mean anything.
    pub device: String,
}

impl Client {
    /// `proxies` is how many reverse proxies of ours stand in front, each of which appends to `X-Forwarded-For`. With 0
    /// the header is not looked at, because anybody can send it.
    pub(crate) fn of(peer: Option<SocketAddr>, headers: &HeaderMap, proxies: usize) -> Self {
        let forwarded = (proxies > 0)
            .then(|| {
                headers
                    .get_all("x-forwarded-for")
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .flat_map(|value| value.split(','))
                    .collect::<Vec<_>>()
                    .into_iter()
                    .rev()
                    .nth(proxies - 1)
                    .and_then(|address| address.trim().parse::<IpAddr>().ok())
            })
            .flatten();
        let address = forwarded.or(peer.map(|peer| peer.ip()));
        let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { network: address.map_or_else(|| "unknown".to_owned(), network), device: device(agent) }
    }
}

fn network(address: IpAddr) -> String {
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

    #[test]
    fn forwarded_addresses_count_only_behind_our_proxies() {
        let peer = Some(SocketAddr::from(([10, 1, 2, 3], 1)));
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "198.51.100.7, 203.0.113.9".parse().unwrap());
        assert_eq!(Client::of(peer, &headers, 0).network, "10.1.2.0/24");
        assert_eq!(Client::of(peer, &headers, 1).network, "203.0.113.0/24");
        assert_eq!(Client::of(peer, &headers, 2).network, "198.51.100.0/24");
        assert_eq!(Client::of(peer, &headers, 3).network, "10.1.2.0/24", "fewer hops than proxies: not from them");
    }

    #[test]
    fn mapped_addresses_are_the_network_they_map() {
        let peer: SocketAddr = "[::ffff:192.0.2.44]:1".parse().unwrap();
        assert_eq!(Client::of(Some(peer), &HeaderMap::new(), 0).network, "192.0.2.0/24");
        let peer: SocketAddr = "[2001:db8:1:2::3]:1".parse().unwrap();
        assert_eq!(Client::of(Some(peer), &HeaderMap::new(), 0).network, "2001:db8:1::/48");
    }
}
