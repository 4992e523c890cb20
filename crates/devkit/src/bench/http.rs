use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Failure;

/// A response.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Result<serde_json::Value, Failure> {
        Ok(serde_json::from_str(&self.body).map_err(|error| format!("{error}: {} {}", self.status, self.body))?)
    }

    /// The size of head and body.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + "\r\n\r\n".len() + self.body.len()
    }

    /// The cookies that it sets, in the form of a request.
    pub(super) fn cookies(&self) -> String {
        let set = self.head.lines().filter_map(|line| line.split_once(": "));
        let set = set.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        set.filter_map(|(_, value)| value.split(';').next()).collect::<Vec<_>>().join("; ")
    }
}

/// Requests a page on a connection of its own.
pub(super) async fn get(port: u16, path: &str, cookies: &str) -> Result<Answer, Failure> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nAccept: text/html\r\n\
         Cookie: {cookies}\r\n\r\n"
    );
    send(port, &request).await
}

/// Sends a form on a connection of its own.
pub(super) async fn post(port: u16, path: &str, cookies: &str, form: &str) -> Result<Answer, Failure> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nOrigin: http://localhost:{port}\r\n\
         Sec-Fetch-Site: same-origin\r\nCookie: {cookies}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    send(port, &request).await
}

async fn send(port: u16, request: &str) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the connection was closed without a response")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status line")?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
