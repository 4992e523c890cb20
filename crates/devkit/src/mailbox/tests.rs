#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::source::*;
use super::*;

async fn mailbox() -> (Mailbox, std::net::SocketAddr, std::net::SocketAddr) {
    let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (smtp_at, web_at) = (smtp.local_addr().unwrap(), web.local_addr().unwrap());
    (Mailbox::start(smtp, web).unwrap(), smtp_at, web_at)
}

/// Sends everything at once, gives the first four characters of each reply.
async fn talk(at: std::net::SocketAddr, lines: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().map(|line| line[..4].to_owned()).filter(|code| !code.ends_with('-')).collect()
}

async fn get(at: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_conversation_with_two_messages() {
    let (mailbox, smtp, web) = mailbox().await;
    assert!(get(web, "/").await.contains("No mail yet"));
    let waiting = mailbox.clone();
    let waiting = tokio::spawn(async move { waiting.wait_for("Ann@acme.test", Duration::from_secs(5)).await });
    let codes = talk(
        smtp,
        "EHLO test\r\nMAIL FROM:<app@acme.test> SIZE=90 BODY=8BITMIME\r\nRCPT TO:<ann@acme.test>\r\n\
         RCPT TO:<bob@acme.test>\r\nDATA\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?IQ==?= now\r\n\r\n\
         ..a dot\r\n...\r\n<b> https://app.test/?a=1&b=2.\r\n.\r\n\
         MAIL FROM:<>\r\nRCPT TO:<bob@acme.test>\r\nDATA\r\n\r\nbounced\r\n.\r\nQUIT\r\n",
    )
    .await;
    assert_eq!(codes, ["220 ", "250 ", "250 ", "250 ", "250 ", "354 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]);
    let message = waiting.await.unwrap().unwrap();
    assert_eq!((message.from.as_str(), message.to.len()), ("app@acme.test", 2));
    assert_eq!(message.subject, "Grüße! now");
    assert_eq!(message.text, ".a dot\n..\n<b> https://app.test/?a=1&b=2.\n");
    assert!(message.raw.ends_with(b"\r\n\r\n.a dot\r\n..\r\n<b> https://app.test/?a=1&b=2.\r\n"));
    assert_eq!(mailbox.messages()[1].text, "bounced\n");

    let listed = get(web, "/").await;
    assert!(listed.find("(no subject)").unwrap() < listed.find("Grüße! now").unwrap());
    let shown = get(web, "/mail/1").await;
    assert!(shown.contains("content-security-policy: default-src 'none'"));
    assert!(shown.contains("&lt;b&gt; <a rel=noreferrer href=\"https://app.test/?a=1&amp;b=2\">"));
    assert!(get(web, "/mail/9").await.starts_with("HTTP/1.1 404"));
    mailbox.clear();
    assert!(mailbox.wait_for("ann@acme.test", Duration::from_millis(10)).await.is_none());
}

#[tokio::test]
async fn order_syntax_and_limits_are_kept() {
    let (mailbox, smtp, _) = mailbox().await;
    let codes = talk(
        smtp,
        "MAIL FROM:<a@b.test>\r\nHELO\r\nhelo x\r\nRCPT TO:<a@b.test>\r\nDATA\r\nMAIL FROM:a@b.test\r\n\
         MAIL FROM:<a@b.test> SIZE=1048577\r\nMAIL FROM:<a@b.test> AUTH=x\r\nMAIL FROM:<a@b.test>\r\n\
         MAIL FROM:<a@b.test>\r\nRCPT TO:<>\r\nRCPT TO:<a b>\r\nRSET\r\nRCPT TO:<a@b.test>\r\nNOOP\r\n\
         STARTTLS\r\nSEND\r\nQUIT\r\n",
    )
    .await;
    let expected = "220 503 501 250 503 503 501 552 555 250 503 501 501 250 503 250 502 500 221";
    assert_eq!(codes.concat().trim_end(), expected);

    let start = "HELO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n";
    let long = format!("{start}{}.\r\nQUIT\r\n", format!("{}\r\n", "x".repeat(998)).repeat(1050));
    assert_eq!(talk(smtp, &long).await.concat().trim_end(), "220 250 250 250 354 552 221");
    for bad in [format!("{}\r\n", "x".repeat(1000)), "smuggled\n.\n".to_owned()] {
        let codes = talk(smtp, &format!("{start}{bad}")).await;
        assert_eq!(codes.concat().trim_end(), "220 250 250 250 354 500");
    }
    assert!(mailbox.messages().is_empty());
}

#[test]
fn the_plain_part_is_found_and_decoded() {
    let source = "Content-Type: multipart/alternative;\r\n\tboundary=\"x y\"\r\n\r\npreamble\r\n\
        --x y\r\nContent-Type: text/html\r\n\r\n<p>no\r\n\
        --x y\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Gr=C3=BC=\r\n=C3=9Fe =3D 1=\r\n--x y--\r\n";
    assert_eq!(text_of(source, "text/plain", 0).unwrap(), "Grüße = 1=");
    assert_eq!(text_of(source, "text/html", 0).unwrap(), "<p>no");
    let source = "Content-Transfer-Encoding: BASE64\r\n\r\nSGFs\r\nbG8=\r\n";
    assert_eq!(text_of(source, "text/plain", 0).unwrap(), "Hallo");
    assert_eq!(encoded_words("=?utf-8?Q?a"), "=?utf-8?Q?a");
}
