use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::ConfigError;

/// The maximum wait for one response of a server. Each query is sent at most twice.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses that are not public (IANA's registries of special-purpose addresses, RFC 6890), and addresses that
/// translate to IPv4. In IPv6, everything outside `2000::/3` is not public either.
const SPECIAL: [&str; 20] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
];
static NOT_PUBLIC: LazyLock<Vec<IpNet>> = LazyLock::new(|| SPECIAL.iter().filter_map(|net| net.parse().ok()).collect());

/// A DNS client without a cache, so that it finds a record that was just created.
#[derive(Clone, Debug)]
pub(crate) struct Dns(TokioResolver);

impl Dns {
    /// Creates a client that uses `server`, or the resolver of this machine if there is none.
    pub(crate) fn new(server: Option<SocketAddr>) -> Result<Self, ConfigError> {
        let mut builder = match server {
            None => TokioResolver::builder_tokio().map_err(|error| ConfigError::Resolver(error.to_string()))?,
            Some(address) => {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                for connection in &mut server.connections {
                    connection.port = address.port();
                }
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = TIMEOUT;
        options.attempts = 2;
        // An organization chooses the name. The hosts file of this machine must not resolve it.
        options.use_hosts_file = ResolveHosts::Never;
        builder.build().map(Self).map_err(|error| ConfigError::Resolver(error.to_string()))
    }

    /// Whether `name` has a TXT record with `text`. Returns `Err` if the DNS did not respond, because the answer is
    /// then unknown.
    pub(crate) async fn has_txt_record(&self, name: &str, text: &str) -> Result<bool, String> {
        // The trailing dot prevents the use of this machine's search domains.
        let found = match self.0.txt_lookup(format!("{name}.")).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(false),
            Err(error) => return Err(error.to_string()),
        };
        Ok(found.answers().iter().any(|record| match &record.data {
            RData::TXT(record) => record.txt_data.concat() == text.as_bytes(),
            _ => false,
        }))
    }

    /// Returns the public addresses of a name. Other addresses are dropped.
    async fn public(&self, name: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let found = self.0.lookup_ip(format!("{}.", name.trim_end_matches('.'))).await?;
        let public: Vec<_> = found.iter().filter(|ip| is_public(*ip)).map(|ip| SocketAddr::new(ip, 0)).collect();
        if public.is_empty() { Err(format!("{name} has no public address").into()) } else { Ok(public) }
    }
}

/// The resolver of the HTTP client that contacts addresses chosen by organizations. The client connects only to the
/// addresses that were checked here. If a name resolves differently the second time, that has no effect (SSRF by DNS
/// rebinding).
impl Resolve for Dns {
    fn resolve(&self, name: Name) -> Resolving {
        let dns = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(dns.public(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let in_use = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.segments()[0] & 0xe000 == 0x2000,
    };
    in_use && !NOT_PUBLIC.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: IDN-15
    #[test]
    fn addresses_that_are_not_public_are_never_contacted() {
        assert_eq!(NOT_PUBLIC.len(), SPECIAL.len());
        for (address, expected) in [
            ("8.8.8.8", true),
            ("192.0.1.1", true),
            ("172.15.0.1", true),
            ("2606:4700::1111", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("172.31.255.255", false),
            ("192.168.1.1", false),
            ("198.19.0.1", false),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("64:ff9b::7f00:1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
