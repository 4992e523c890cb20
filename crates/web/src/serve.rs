use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::Limits;
use crate::edge::Peer;

/// The `[http]` section of the configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address to listen on. TLS ends in front of this process.
    pub listen: SocketAddr,
    /// Origin the browser sees, without a trailing slash: `https://app.example.com`.
    pub public_url: String,
    /// Open connections; further ones wait to be accepted.
    pub max_connections: usize,
    /// Requests worked on at the same time; one more is answered 503 at once.
    pub max_concurrent_requests: usize,
    /// Seconds a request may take.
    pub request_seconds: u64,
    /// Seconds the headers of a request may take to arrive; an idle connection is closed after the same time.
    pub header_seconds: u64,
    /// Seconds running requests get to finish when the process is told to stop.
    pub shutdown_seconds: u64,
    /// Reverse proxies of ours in front, each appending to `X-Forwarded-For`.
    pub proxies: usize,
}

impl Config {
    /// The part the edge applies.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            concurrent_requests: self.max_concurrent_requests,
            request_time: Duration::from_secs(self.request_seconds),
            proxies: self.proxies,
        }
    }
}

/// Serves HTTP/1.1 until `stop` resolves, then lets running requests finish.
///
/// Headers larger than 32 KiB or more than 64 of them, and headers that take too long, end the connection.
pub async fn serve(listener: TcpListener, app: Router, config: &Config, stop: impl Future<Output = ()>) {
    let connections = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(config.header_seconds))
        .max_header_size(32 * 1024)
        .max_buf_size(32 * 1024)
        .max_headers(64);
    tokio::pin!(stop);
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&connections).acquire_owned() => permit,
            () = &mut stop => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone before it was taken: give others time to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Answers are small and written whole; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            app.clone().oneshot(request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    let limit = Duration::from_secs(config.shutdown_seconds);
    if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests had not finished when the process stopped");
    }
}
