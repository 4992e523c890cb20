//! Requests whose last byte is withheld: the guard has let them in, and their bodies are still to come.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::raw::Raw;
use super::{Client, World};

/// A request that the guard has let in and that has sent all but its body.
pub(crate) struct Withheld {
    stream: TcpStream,
    body: String,
}

/// The state of a request after its headers were sent.
pub(crate) enum Sent {
    /// Its body is waited for.
    Withheld(Withheld),
    /// It was answered without its body.
    Answered(Raw),
}

impl World {
    /// Sends a form of a browser but for its body, and waits until somebody reads it: after the guard, the server asks
    /// for it (RFC 9110, section 10.1.1).
    pub(crate) async fn withhold_form(&self, client: &Client, path: &str, form: &[(&str, &str)]) -> Sent {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = format!(
            "Cookie: {}\r\nOrigin: {}\r\nSec-Fetch-Site: same-origin\r\nAccept: text/html\r\n\
             Content-Type: application/x-www-form-urlencoded",
            client.cookies(),
            self.url("")
        );
        self.withhold("POST", path, &headers, body).await
    }

    /// The same for any request with a body.
    pub(crate) async fn withhold(&self, method: &str, path: &str, headers: &str, body: String) -> Sent {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nUser-Agent: {}\r\nConnection: close\r\n\
             Expect: 100-continue\r\nContent-Length: {}\r\n{headers}\r\n\r\n",
            self.address.port(),
            Client::AGENT,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let asks = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut first = vec![0; asks.len()];
        stream.read_exact(&mut first).await.unwrap();
        if first == asks {
            return Sent::Withheld(Withheld { stream, body });
        }
        stream.read_to_end(&mut first).await.unwrap();
        Sent::Answered(Raw(String::from_utf8_lossy(&first).into_owned()))
    }
}

impl Withheld {
    /// Sends the body, and returns the response.
    pub(crate) async fn send(mut self) -> Raw {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).await.unwrap();
        Raw(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Raw {
    /// The cookies it sets, as lines of `Set-Cookie`.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &str> {
        let (head, _) = self.0.split_once("\r\n\r\n").unwrap_or((&self.0, ""));
        head.lines().filter_map(|line| line.strip_prefix("set-cookie: "))
    }
}
