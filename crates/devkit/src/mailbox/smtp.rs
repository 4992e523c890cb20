//! The SMTP conversation with a client (RFC 5321).

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{CLIENT_TIMEOUT, MAX_LINE, MAX_MESSAGE, MAX_RECIPIENTS, Mailbox};

/// The envelope that a client has sent so far.
#[derive(Default)]
pub(super) struct Envelope {
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
}

/// One connection.
pub(super) struct Session {
    pub(super) stream: BufReader<TcpStream>,
    pub(super) mailbox: Mailbox,
    pub(super) envelope: Envelope,
}

impl Session {
    pub(super) async fn run(mut self) -> io::Result<()> {
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

    /// The next line without its CRLF, or `None` at the end. Any other line ends the conversation.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE);
        tokio::time::timeout(CLIENT_TIMEOUT, limited.read_until(b'\n', &mut line)).await??;
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(text) = line.strip_suffix(b"\r\n") {
            return Ok(Some(text.to_vec()));
        }
        // SECURITY: a lone line feed can smuggle one message inside another.
        self.reply("500 5.5.2 lines end in CRLF and have at most 998 octets").await?;
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Reads a message up to the dot, removes dot-stuffing, and stores it.
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
        if from.ends_with(".invalid") {
            return "550 5.7.1 nobody sends from there";
        }
        self.from = Some(from.to_owned());
        "250 2.1.0 sender ok"
    }

    fn recipient(&mut self, argument: &str) -> &'static str {
        match path(argument, "TO:") {
            None | Some(("", _)) => "501 5.1.3 RCPT TO:<address>",
            Some((_, parameters)) if !parameters.is_empty() => UNKNOWN_PARAMETER,
            Some(_) if self.to.len() == MAX_RECIPIENTS => "452 4.5.3 too many recipients",
            Some((to, _)) if to.ends_with(".invalid") => "550 5.1.2 there is no such host",
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
