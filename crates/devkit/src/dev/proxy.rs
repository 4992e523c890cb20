//! The address of the app. It stays the same while a new version replaces the old one.
//!
//! Requests and responses are not changed, except for the script of [`reload`]. While no version runs, requests wait.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{now, reload};

/// How long a request waits for the next version.
const MAX_WAIT: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A handle to the running proxy. It runs until the runtime it was started on ends.
#[derive(Clone, Debug)]
pub(super) struct Proxy(watch::Sender<Upstream>);

/// The version of the app that gets the requests.
#[derive(Clone, Copy, Debug)]
struct Upstream {
    /// Its port on this machine. `None`: it is being replaced.
    port: Option<u16>,
    /// When it got its first request, in milliseconds since 1970. Another run of `bin/dev` is another version, too.
    version: u128,
}

impl Proxy {
    /// Forwards requests from `listener` to the app on `port`.
    pub(super) fn start(listener: TcpListener, port: u16) -> Self {
        let proxy = Self(watch::Sender::new(Upstream { port: Some(port), version: now().as_millis() }));
        let router = Router::new().route(reload::PATH, get(wait)).fallback(pass).with_state(proxy.clone());
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    /// Sends requests to another version, and makes pages reload.
    pub(super) fn switch(&self, port: u16) {
        self.0.send_replace(Upstream { port: Some(port), version: now().as_millis() });
    }

    /// Makes requests wait for the next version.
    pub(super) fn hold(&self) {
        self.0.send_modify(|upstream| upstream.port = None);
    }
}

/// Responds when another version than the one in the query runs, with an event and the end of the stream. The browser retries by
/// itself if the connection breaks.
async fn wait(State(Proxy(upstream)): State<Proxy>, request: Request) -> Response {
    let seen = request.uri().query().and_then(|query| query.strip_prefix("version=")).unwrap_or_default();
    let is_new = |now: &Upstream| now.version.to_string() != seen;
    let _ = upstream.subscribe().wait_for(is_new).await;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, "data: reload\n\n").into_response()
}

async fn pass(State(Proxy(upstream)): State<Proxy>, request: Request) -> Response {
    let method = request.method().clone();
    let mut upstream = upstream.subscribe();
    let ready = timeout(MAX_WAIT, upstream.wait_for(|now| now.port.is_some())).await;
    let ready = ready.ok().and_then(Result::ok).map(|now| *now);
    let Some((port, version)) = ready.and_then(|now| Some((now.port?, now.version))) else {
        return failed(&method, StatusCode::SERVICE_UNAVAILABLE, "The app does not run. The terminal says why.\n");
    };
    let answer = async { Ok(reload::add_script(&method, forward(request, port).await?, version).await?) };
    answer.await.unwrap_or_else(|error: Failure| {
        failed(&method, StatusCode::BAD_GATEWAY, &format!("The app does not answer: {error}\n"))
    })
}

/// Each request has a connection of its own. The app could close an idle one just when the next request needs it.
async fn forward(request: Request, port: u16) -> Result<Response, Failure> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Body::new))
}

/// A response that says what is wrong. A page is requested again after a second.
fn failed(method: &Method, status: StatusCode, text: &str) -> Response {
    let mut response = (status, text.to_owned()).into_response();
    if method == Method::GET {
        response.headers_mut().insert(header::REFRESH, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Own: a\r\nContent-Length: 2\r\n\
                        Content-Security-Policy: script-src 'nonce-n'\r\n\r\nhi";

    /// An app that responds to one request that ends with `end`, and keeps the connection open. Returns its port and the request.
    async fn app(end: &'static str, response: &'static str) -> io::Result<(u16, JoinHandle<String>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(end.as_bytes()) {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(response.as_bytes()).await.unwrap();
            // Until the other side has had enough.
            let _ = stream.read_u8().await;
            String::from_utf8(request).unwrap()
        });
        Ok((port, asked))
    }

    async fn proxy(port: u16) -> io::Result<(Proxy, u16)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        Ok((Proxy::start(listener, port), own))
    }

    /// Sends a request, and reads until `end` has come.
    async fn ask(port: u16, request: &str, end: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(end) {
            answer.push(timeout(Duration::from_secs(5), stream.read_u8()).await??);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[tokio::test]
    async fn a_request_reaches_the_app_as_it_was_sent() -> io::Result<()> {
        let (port, asked) = app(
            "name=x",
            "HTTP/1.1 303 See Other\r\nLocation: /x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
        )
        .await?;
        let (_, own) = proxy(port).await?;
        let request = "POST /a?b=%2F HTTP/1.1\r\nhost: localhost:3000\r\ncookie: s=1; t=2\r\norigin: http://localhost:3000\r\n\
                       content-length: 6\r\n\r\nname=x";
        let answer = ask(own, request, "\r\n\r\n").await?.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 303 ") && answer.contains("location: /x\r\n"), "{answer}");
        assert!(answer.contains("set-cookie: a=1\r\nset-cookie: b=2\r\n"), "{answer}");
        assert_eq!(asked.await?, request);
        Ok(())
    }

    #[tokio::test]
    async fn a_page_has_its_length_after_the_script_was_added() -> io::Result<()> {
        let (port, _) = app("\r\n\r\n", PAGE).await?;
        let (_, own) = proxy(port).await?;
        let answer = ask(own, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "</script>\n").await?.to_ascii_lowercase();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("x-own: a\r\n") && head.contains("content-security-policy: script-src 'nonce-n'"),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_streamed_arrives_before_it_ends() -> io::Result<()> {
        let stream =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n";
        let (port, _) = app("\r\n\r\n", stream).await?;
        let (_, own) = proxy(port).await?;
        ask(own, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "data: 1").await?;
        Ok(())
    }

    #[tokio::test]
    async fn requests_wait_while_no_version_runs() -> io::Result<()> {
        let (proxy, own) = proxy(1).await?;
        proxy.hold();
        let page = tokio::spawn(ask(own, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "</script>\n"));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!page.is_finished());
        let (port, _) = app("\r\n\r\n", PAGE).await?;
        proxy.switch(port);
        assert!(page.await??.starts_with("HTTP/1.1 200 "));
        Ok(())
    }

    #[tokio::test]
    async fn a_page_is_told_of_another_version_than_its_own() -> io::Result<()> {
        let (port, _) = app("\r\n\r\n", PAGE).await?;
        let (proxy, own) = proxy(port).await?;
        let page = ask(own, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "</script>\n").await?;
        let path = page.split('"').find(|text| text.starts_with(reload::PATH)).unwrap().to_owned();
        let wait =
            move || async move { ask(own, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"), "\n\n").await };
        let waiting = tokio::spawn(wait.clone()());
        tokio::time::sleep(Duration::from_millis(50)).await;
        proxy.hold();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        proxy.switch(port);
        let event = waiting.await??;
        assert!(event.contains("text/event-stream") && event.ends_with("data: reload\n\n"), "{event}");
        // A page that was hidden and asks later gets the event at once.
        wait().await?;
        Ok(())
    }

    #[tokio::test]
    async fn an_app_that_does_not_answer_is_said_to() -> io::Result<()> {
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port();
        let (_, own) = proxy(gone).await?;
        let answer = ask(own, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "answer: ").await?;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("refresh: 1\r\n"), "{answer}");
        Ok(())
    }
}
