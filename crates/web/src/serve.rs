use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Deserialize;
use settings::{Rule, Setting};
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::client::Peer;
use crate::connections::Connections;
use crate::write_timeout::WriteTimeout;
use crate::{Host, Limits, RateLimitConfig, client};

/// The `[http]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address to listen on, in plain HTTP.
    pub listen: SocketAddr,
    /// What terminates TLS. Needed if `listen` can be reached from outside this machine and private networks.
    pub tls: Option<Tls>,
    /// The origin as browsers see it, without a trailing slash: `https://app.example.com`.
    pub public_url: String,
    /// The maximum number of open connections. Above it, a new connection closes an idle one.
    pub max_connections: usize,
    /// The maximum number of open connections from one network. Behind proxies, only the total counts.
    pub max_connections_per_network: usize,
    /// The maximum number of requests that run at the same time.
    pub max_concurrent_requests: usize,
    /// How long a request waits for its turn, in milliseconds. After that the response is 503.
    pub place_wait_ms: u64,
    /// The maximum time for a request, in seconds.
    pub request_seconds: u64,
    /// Seconds for the headers of a request to arrive. Idle connections are closed after the same time.
    pub header_seconds: u64,
    /// Seconds after which a client that does not read its response is disconnected.
    pub write_seconds: u64,
    /// Seconds for running requests to finish when the process stops.
    pub shutdown_seconds: u64,
    /// The number of our reverse proxies. Each of them appends to `X-Forwarded-For`. Production has no default.
    pub proxies: Option<usize>,
    /// Requests per minute.
    pub rate_limits: RateLimitConfig,
}

/// What terminates TLS.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// A proxy in front of this process. Nothing else can reach the process.
    InFront,
}

/// The rules for these settings in production.
pub const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "http.listen",
        rule: Rule::Must("a loopback or private address, unless http.tls is `in_front`", |http| {
            http.tls.is_some() || is_near(http.listen.ip())
        }),
        why: "This process speaks plain HTTP. A client that bypasses the proxy can read cookies and choose its own network.",
    },
    Setting {
        name: "http.tls",
        rule: Rule::Everywhere("unset, or `in_front`"),
        why: "It is your word that TLS ends in front and that nothing else reaches this process, as in a container.",
    },
    Setting {
        name: "http.public_url",
        rule: Rule::Must("https:// and a host, without a slash at the end", |http| is_https_origin(&http.public_url)),
        why: "Cookies, passkeys and the links in mails are bound to it.",
    },
    Setting {
        name: "http.max_connections",
        rule: Rule::Between(16, 65_536, |http| vec![count(http.max_connections)]),
        why: "Too few, and a handful of slow clients keeps everybody out; too many, and they take the memory.",
    },
    Setting {
        name: "http.max_concurrent_requests",
        rule: Rule::Between(8, 4096, |http| vec![count(http.max_concurrent_requests)]),
        why: "Too few, and a handful of requests keeps everybody out; too many, and they wait for the database and each other.",
    },
    Setting {
        name: "http.max_connections_per_network",
        rule: Rule::Between(8, 65_536, |http| vec![count(http.max_connections_per_network)]),
        why: "Too few, and an office behind one address is kept out; too many, and one network takes them all.",
    },
    Setting {
        name: "http.place_wait_ms",
        rule: Rule::Between(0, 10_000, |http| vec![http.place_wait_ms]),
        why: "What waits long is answered when nobody reads it any more.",
    },
    Setting {
        name: "http.write_seconds",
        rule: Rule::Between(1, 120, |http| vec![http.write_seconds]),
        why: "A client that takes no answer holds a connection as long.",
    },
    Setting {
        name: "http.rate_limits.network_per_minute",
        rule: Rule::Between(60, 1_000_000, |http| vec![http.rate_limits.network_per_minute.get().into()]),
        why: "Too few, and people behind one address are refused before they sign in; too many, and one network keeps all busy.",
    },
    Setting {
        name: "http.rate_limits.person_per_minute",
        rule: Rule::Between(60, 1_000_000, |http| vec![http.rate_limits.person_per_minute.get().into()]),
        why: "Too few, and people are refused who only work; too many, and one session keeps all busy.",
    },
    Setting {
        name: "http.rate_limits.client_per_minute",
        rule: Rule::Between(60, 1_000_000, |http| vec![http.rate_limits.client_per_minute.get().into()]),
        why: "Too few, and a program cannot do its work; too many, and one program keeps all busy.",
    },
    Setting {
        name: "http.rate_limits.organization_per_minute",
        rule: Rule::Between(60, 1_000_000, |http| vec![http.rate_limits.organization_per_minute.get().into()]),
        why: "Too few, and a large organization refuses its own people; too many, and one keeps all busy.",
    },
    Setting {
        name: "http.request_seconds",
        rule: Rule::Between(5, 120, |http| vec![http.request_seconds]),
        why: "What takes longer holds a place that others need.",
    },
    Setting {
        name: "http.header_seconds",
        rule: Rule::Between(1, 60, |http| vec![http.header_seconds]),
        why: "A client that sends its headers slowly holds a connection as long.",
    },
    Setting {
        name: "http.shutdown_seconds",
        rule: Rule::Between(1, 300, |http| vec![http.shutdown_seconds]),
        why: "What runs is cut off after it, and an update does not end before.",
    },
    Setting {
        name: "http.proxies",
        rule: Rule::Must("set, to the number of your reverse proxies that append to X-Forwarded-For: 0 to 8", |http| {
            http.proxies.is_some_and(|proxies| proxies <= 8)
        }),
        why: "Too low, and everybody shares one network and its limits; too high, and clients choose their own network.",
    },
];

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Whether an address can only be reached from this machine or its private network (RFC 1918, RFC 4193).
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Whether the URL is `https://host` or `https://host:port` without a path, as browsers send it in `Origin`.
fn is_https_origin(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|host| {
        !host.contains('@') && host.parse::<Authority>().is_ok_and(|authority| !authority.host().is_empty())
    })
}

impl Config {
    /// Returns the limits of the edge. In production it serves only the host of `public_url`.
    #[must_use]
    pub fn limits(&self, production: bool) -> Limits {
        Limits {
            concurrent_requests: self.max_concurrent_requests,
            place_wait: Duration::from_millis(self.place_wait_ms),
            request_time: Duration::from_secs(self.request_seconds),
            proxies: self.proxies.unwrap_or_default(),
            host: Host::of(&self.public_url).filter(|_| production),
            rates: self.rate_limits,
        }
    }
}

/// Serves HTTP/1.1 until `stop` resolves, and then lets running requests finish.
///
/// Above the maximum, a new connection closes an idle one of the network with the most connections, so nobody is locked
/// out. A connection ends if its headers exceed 32 KiB, number more than 64, or take too long.
pub async fn serve(listener: TcpListener, app: Router, config: &Config, stop: impl Future<Output = ()>) {
    let behind_proxies = config.proxies.is_some_and(|proxies| proxies > 0);
    let most_per_network = if behind_proxies { usize::MAX } else { config.max_connections_per_network };
    let connections = Connections::new(config.max_connections, most_per_network);
    let patience = Duration::from_secs(config.write_seconds);
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_seconds))
        .max_header_size(32 * 1024)
        .max_buf_size(32 * 1024)
        .max_headers(64);
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No file descriptors are left, or the connection closed before it was accepted. Wait for other
                // connections to end.
                tracing::warn!(%error, "connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Behind proxies, every connection comes from a proxy.
        let network = if behind_proxies { "proxies".into() } else { client::network(peer.ip()).into() };
        let Some(mut open) = connections.open(network) else {
            tracing::debug!("connection refused: its network has too many active connections");
            continue;
        };
        // Responses are small and written in one piece. Waiting to fill packets would only delay them.
        let _ = stream.set_nodelay(true);
        let (app, line) = (app.clone(), open.handle());
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(line.clone());
            app.clone().oneshot(request)
        });
        let stream = TokioIo::new(WriteTimeout::new(stream, patience));
        let connection = graceful.watch(http.serve_connection(stream, service));
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "connection closed early");
                },
                () = open.closed() => tracing::debug!("idle connection closed to make room"),
            }
        });
    }
    drop(listener);
    let limit = Duration::from_secs(config.shutdown_seconds);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at shutdown");
    }
}
