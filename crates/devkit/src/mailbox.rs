//! A mail server that delivers to nobody: it keeps what it is given and shows it on a page, for development and tests.
//!
//! The SMTP half is small but strict (RFC 5321): a client that breaks lines, order or limits hears about it here and not
//! from the first real server it meets. No TLS, no authentication, loopback only.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::idp::page::{escape, local_only, page, refusal, refuse_beyond_loopback};

/// How many messages are kept; the oldest go first.
const KEPT: usize = 200;
/// How long a message may be, in bytes.
const MAX_MESSAGE: usize = 1 << 20;
/// How long a line may be, in bytes: 998, CRLF, and the dot that stuffing adds (RFC 5321 4.5.3.1.6).
const MAX_LINE: u64 = 1001;
/// How many recipients a message may have (RFC 5321 4.5.3.1.8).
const MAX_RECIPIENTS: usize = 100;
/// How long a client may say nothing (RFC 5321 4.5.3.2.7).
const PATIENCE: Duration = Duration::from_mins(5);

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number, from 1, in order of arrival.
    pub id: u64,
    /// The sender on the envelope; empty for a bounce.
    pub from: String,
    /// The recipients on the envelope.
    pub to: Vec<String>,
    /// The subject, decoded.
    pub subject: String,
    /// When it arrived.
    pub received: DateTime<Utc>,
    /// Header and body, dots unstuffed, lines ending in CRLF.
    pub raw: Vec<u8>,
    /// The first plain text part, decoded, lines ending in LF.
    pub text: String,
}

/// A handle to a running mailbox. It runs until the runtime it was started on ends.
#[derive(Clone)]
pub struct Mailbox(Arc<Inner>);

struct Inner {
    messages: Mutex<VecDeque<Message>>,
    /// How many messages arrived so far.
    arrived: watch::Sender<u64>,
}

impl Mailbox {
    /// Takes mail on `smtp` and shows it on `web`; both must be on loopback.
    ///
    /// # Errors
    /// If a listener is not on loopback.
    pub fn start(smtp: TcpListener, web: TcpListener) -> io::Result<Mailbox> {
        refuse_beyond_loopback(smtp.local_addr()?)?;
        refuse_beyond_loopback(web.local_addr()?)?;
        let mailbox = Mailbox(Arc::new(Inner { messages: Mutex::default(), arrived: watch::Sender::new(0) }));
        let router = Router::new()
            .route("/", get(list))
            .route("/mail/{id}", get(show))
            .layer(axum::middleware::from_fn(local_only))
            .with_state(mailbox.clone());
        tokio::spawn(async move { axum::serve(web, router).await });
        let handle = mailbox.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = smtp.accept().await else {
                    // Too many open files, say: the listener is still good.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                let session =
                    Session { stream: BufReader::new(stream), mailbox: handle.clone(), envelope: Envelope::default() };
                tokio::spawn(session.run());
            }
        });
        Ok(mailbox)
    }

    /// The messages, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.lock().iter().cloned().collect()
    }

    /// The newest message to this address; if there is none yet, the first to come in time.
    pub async fn wait_for(&self, to: &str, timeout: Duration) -> Option<Message> {
        let mut arrived = self.0.arrived.subscribe();
        let found = async {
            loop {
                arrived.borrow_and_update();
                let is_for = |message: &&Message| message.to.iter().any(|known| known.eq_ignore_ascii_case(to));
                if let Some(message) = self.lock().iter().rfind(is_for) {
                    return Some(message.clone());
                }
                arrived.changed().await.ok()?;
            }
        };
        tokio::time::timeout(timeout, found).await.ok().flatten()
    }

    /// Forgets all messages, so that [`Mailbox::wait_for`] waits for a new one.
    pub fn clear(&self) {
        self.lock().clear();
    }

    #[allow(clippy::disallowed_methods, reason = "mail arrives by the clock on the wall")]
    fn keep(&self, from: String, to: Vec<String>, raw: Vec<u8>) {
        let source = String::from_utf8_lossy(&raw);
        let (headers, body) = split(&source);
        let subject = header(&headers, "subject").map(encoded_words).unwrap_or_default();
        let text = plain_text(&source, 0).unwrap_or_else(|| body.replace("\r\n", "\n"));
        let mut messages = self.lock();
        let id = *self.0.arrived.borrow() + 1;
        if messages.len() == KEPT {
            messages.pop_front();
        }
        messages.push_back(Message { id, from, to, subject, received: Utc::now(), raw, text });
        self.0.arrived.send_replace(id);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.0.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client has said so far.
#[derive(Default)]
struct Envelope {
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
}

/// One connection.
struct Session {
    stream: BufReader<TcpStream>,
    mailbox: Mailbox,
    envelope: Envelope,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        self.reply("220 devkit ESMTP, keeps mail and delivers nothing").await?;
        while let Some(line) = self.line().await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = self.envelope.answer(&verb.to_ascii_uppercase(), argument.trim_end());
            self.reply(reply).await?;
            match reply.get(..3) {
                Some("354") => self.message().await?,
                Some("221") => break,
                _ => {}
            }
        }
        Ok(())
    }

    /// The next line without its CRLF, or nothing at the end. Any other line ends the conversation.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        tokio::time::timeout(PATIENCE, limited.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(text) = line.strip_suffix(b"\r\n") {
            return Ok(Some(text.to_vec()));
        }
        // SECURITY: a line feed alone is how one message is smuggled inside another.
        self.reply("500 5.5.2 lines end in CRLF and have at most 998 octets").await?;
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Reads a message up to the dot, undoes dot-stuffing, keeps it.
    async fn message(&mut self) -> io::Result<()> {
        let (mut raw, mut too_long) = (Vec::new(), false);
        loop {
            let Some(line) = self.line().await? else {
                return Ok(());
            };
            if line == b"." {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            too_long |= raw.len() + line.len() + 2 > MAX_MESSAGE;
            if !too_long {
                raw.extend_from_slice(line);
                raw.extend_from_slice(b"\r\n");
            }
        }
        let envelope = self.envelope.take();
        if too_long {
            return self.reply("552 5.3.4 too long, at most 1 MiB").await;
        }
        self.mailbox.keep(envelope.from.unwrap_or_default(), envelope.to, raw);
        self.reply("250 2.0.0 kept").await
    }

    async fn reply(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await
    }
}

impl Envelope {
    /// The reply to a command other than the message itself.
    fn answer(&mut self, verb: &str, argument: &str) -> &'static str {
        match verb {
            "EHLO" | "HELO" if argument.is_empty() => "501 5.5.4 say who you are",
            "EHLO" | "HELO" => {
                *self = Envelope { greeted: true, ..Envelope::default() };
                if verb == "HELO" {
                    "250 devkit"
                } else {
                    "250-devkit\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 SIZE 1048576"
                }
            }
            "MAIL" if !self.greeted || self.from.is_some() => OUT_OF_ORDER,
            "MAIL" => self.mail(argument),
            "RCPT" if self.from.is_none() => OUT_OF_ORDER,
            "RCPT" => self.recipient(argument),
            "DATA" if self.to.is_empty() => OUT_OF_ORDER,
            "DATA" => "354 end with a dot on a line of its own",
            "RSET" => {
                self.take();
                "250 2.0.0 forgotten"
            }
            "NOOP" => "250 2.0.0 nothing done",
            "VRFY" => "252 2.1.5 try and see",
            "QUIT" => "221 2.0.0 bye",
            "STARTTLS" | "AUTH" | "EXPN" | "HELP" => "502 5.5.1 not here",
            _ => "500 5.5.2 unknown command",
        }
    }

    fn mail(&mut self, argument: &str) -> &'static str {
        let Some((from, parameters)) = path(argument, "FROM:") else {
            return "501 5.1.7 MAIL FROM:<address>";
        };
        for parameter in parameters.split_whitespace() {
            match parameter.to_ascii_uppercase().split_once('=') {
                Some(("SIZE", size)) if size.parse().is_ok_and(|size: usize| size <= MAX_MESSAGE) => {}
                Some(("SIZE", _)) => return "552 5.3.4 too long, at most 1 MiB",
                Some(("BODY", "7BIT" | "8BITMIME")) => {}
                None if parameter.eq_ignore_ascii_case("SMTPUTF8") => {}
                _ => return UNKNOWN_PARAMETER,
            }
        }
        self.from = Some(from.to_owned());
        "250 2.1.0 sender ok"
    }

    fn recipient(&mut self, argument: &str) -> &'static str {
        match path(argument, "TO:") {
            None | Some(("", _)) => "501 5.1.3 RCPT TO:<address>",
            Some((_, parameters)) if !parameters.is_empty() => UNKNOWN_PARAMETER,
            Some(_) if self.to.len() == MAX_RECIPIENTS => "452 4.5.3 too many recipients",
            Some((to, _)) => {
                self.to.push(to.to_owned());
                "250 2.1.5 recipient ok"
            }
        }
    }

    /// Ends the transaction; the client need not greet again.
    fn take(&mut self) -> Envelope {
        std::mem::replace(self, Envelope { greeted: self.greeted, ..Envelope::default() })
    }
}

const OUT_OF_ORDER: &str = "503 5.5.1 not now";
const UNKNOWN_PARAMETER: &str = "555 5.5.4 unknown parameter";

/// The address of `FROM:<address> parameters`, and the parameters.
fn path<'a>(argument: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let (start, rest) = argument.split_at_checked(prefix.len())?;
    let (address, parameters) = rest.strip_prefix('<')?.split_once('>')?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '<';
    (start.eq_ignore_ascii_case(prefix) && !address.contains(odd)).then_some((address, parameters.trim()))
}

/// Unfolded header fields and the body.
fn split(source: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = match source.strip_prefix("\r\n") {
        Some(body) => ("", body),
        None => source.split_once("\r\n\r\n").unwrap_or((source, "")),
    };
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let fields = unfolded.lines().filter_map(|line| line.split_once(':'));
    (fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(), body)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The first plain text part (RFC 2045, RFC 2046).
fn plain_text(source: &str, depth: u8) -> Option<String> {
    let (headers, body) = split(source);
    let kind = header(&headers, "content-type").unwrap_or("text/plain");
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") && depth < 8 {
        let at = lower.find("boundary=")? + "boundary=".len();
        let boundary = kind.get(at..)?.split(';').next()?.trim().trim_matches('"');
        let (body, delimiter) = (format!("\r\n{body}"), format!("\r\n--{boundary}"));
        let parts = body.split(&delimiter).skip(1).take_while(|part| !part.starts_with("--"));
        return parts.filter_map(|part| part.split_once("\r\n")).find_map(|(_, part)| plain_text(part, depth + 1));
    }
    let encoding = header(&headers, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "base64" => STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap_or_default(),
        "quoted-printable" => quoted_printable(body),
        _ => body.as_bytes().to_vec(),
    };
    lower.starts_with("text/plain").then(|| String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

fn quoted_printable(text: &str) -> Vec<u8> {
    let hex = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'=', [b'\r', b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.extend(hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// Undoes the encoding of non-ASCII words in a header (RFC 2047), for UTF-8.
fn encoded_words(value: &str) -> String {
    let (mut decoded, mut rest) = (String::new(), value);
    while let Some((before, after)) = rest.split_once("=?") {
        let mut fields = after.splitn(3, '?');
        let (Some(_charset), Some(encoding), Some(tail)) = (fields.next(), fields.next(), fields.next()) else {
            break;
        };
        let Some((text, next)) = tail.split_once("?=") else {
            break;
        };
        let bytes = match encoding {
            "B" | "b" => STANDARD.decode(text).unwrap_or_default(),
            _ => quoted_printable(&text.replace('_', " ")),
        };
        // White space between two encoded words belongs to neither.
        let between = !decoded.is_empty() && before.trim().is_empty();
        decoded.push_str(if between { "" } else { before });
        decoded.push_str(&String::from_utf8_lossy(&bytes));
        rest = next;
    }
    decoded + rest
}

async fn list(State(mailbox): State<Mailbox>) -> Response {
    let mails: String = mailbox.messages().iter().rev().map(row).collect();
    let mails = if mails.is_empty() {
        "<p class=\"mails empty\">No mail yet</p>"
    } else {
        &format!("<ul class=mails>{mails}</ul>")
    };
    page(StatusCode::OK, "Mailbox", &format!("{NOTICE}<h1>Mailbox</h1>{mails}"), "")
}

fn row(message: &Message) -> String {
    format!(
        "<li><a class=mail-row href=\"/mail/{}\"><span class=who><span class=name>{}</span><span class=mail>to {}</span></span>{}</a></li>",
        message.id,
        title(message),
        escape(&message.to.join(", ")),
        time(message, "%H:%M:%S"),
    )
}

async fn show(State(mailbox): State<Mailbox>, Path(id): Path<String>) -> Response {
    let messages = mailbox.messages();
    let Some(message) = messages.iter().find(|message| message.id.to_string() == id) else {
        return refusal(StatusCode::NOT_FOUND, "There is no such message, or no longer.");
    };
    let from = if message.from.is_empty() { "nobody" } else { &message.from };
    let body = format!(
        "{NOTICE}<p><a href=\"/\">All mail</a></p><h1 class=letter>{}</h1>\
         <dl><dt>From<dd>{}<dt>To<dd>{}<dt>Received<dd>{}</dl><pre>{}</pre>",
        title(message),
        escape(from),
        escape(&message.to.join(", ")),
        time(message, "%Y-%m-%d %H:%M:%S UTC"),
        linked(&message.text),
    );
    page(StatusCode::OK, &message.subject, &body, "")
}

const NOTICE: &str = "<p class=notice>Development mail: delivered to nobody</p>";

fn title(message: &Message) -> String {
    escape(if message.subject.is_empty() { "(no subject)" } else { &message.subject })
}

fn time(message: &Message, format: &str) -> String {
    let received = message.received;
    format!(
        "<time class=time datetime=\"{}\">{}</time>",
        received.format("%Y-%m-%dT%H:%M:%SZ"),
        received.format(format)
    )
}

/// Text as HTML, with the addresses in it to click on.
fn linked(text: &str) -> String {
    let mut html = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let start = word.find("https://").or_else(|| word.find("http://")).unwrap_or(word.len());
        let (before, rest) = word.split_at(start);
        let address = rest.trim_end_matches(|c: char| c.is_whitespace() || ".,;:!?)>'\"".contains(c));
        html.push_str(&escape(before));
        if !address.is_empty() {
            let address = escape(address);
            html += &["<a rel=noreferrer href=\"", &address, "\">", &address, "</a>"].concat();
        }
        html.push_str(&escape(&rest[address.len()..]));
    }
    html
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

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
        assert_eq!(
            codes,
            ["220 ", "250 ", "250 ", "250 ", "250 ", "354 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]
        );
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
        assert_eq!(plain_text(source, 0).unwrap(), "Grüße = 1=");
        let source = "Content-Transfer-Encoding: BASE64\r\n\r\nSGFs\r\nbG8=\r\n";
        assert_eq!(plain_text(source, 0).unwrap(), "Hallo");
        assert_eq!(encoded_words("=?utf-8?Q?a"), "=?utf-8?Q?a");
    }
}
