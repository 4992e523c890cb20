//! HTTP byte by byte, for what no client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the server sent until it ended the connection.
pub(crate) struct Raw(pub(crate) String);

pub(super) async fn exchange(address: SocketAddr, request: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and hang up before it has read everything.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await;
    let ended = read.unwrap_or_else(|_| panic!("still open after: {}", String::from_utf8_lossy(&bytes)));
    assert!(ended.is_ok() || !bytes.is_empty(), "{ended:?}");
    Raw(String::from_utf8_lossy(&bytes).into_owned())
}

impl Raw {
    /// The status of the first answer; 0 if there is none.
    pub(crate) fn status(&self) -> u16 {
        self.0.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let (head, _) = self.0.split_once("\r\n\r\n").unwrap_or((&self.0, ""));
        head.lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name))
            .map_or("", |(_, value)| value)
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}
