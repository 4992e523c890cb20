//! What people read, taken out of a message as it arrived (RFC 5322, RFC 2045 to 2047).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Unfolded header fields and the body.
pub(super) fn split(source: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = match source.strip_prefix("\r\n") {
        Some(body) => ("", body),
        None => source.split_once("\r\n\r\n").unwrap_or((source, "")),
    };
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let fields = unfolded.lines().filter_map(|line| line.split_once(':'));
    (fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(), body)
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The first part of a kind of text (RFC 2045, RFC 2046).
pub(super) fn text_of(source: &str, wanted: &str, depth: u8) -> Option<String> {
    let (headers, body) = split(source);
    let kind = header(&headers, "content-type").unwrap_or("text/plain");
    let lower = kind.to_ascii_lowercase();
    if lower.starts_with("multipart/") && depth < 8 {
        let at = lower.find("boundary=")? + "boundary=".len();
        let boundary = kind.get(at..)?.split(';').next()?.trim().trim_matches('"');
        let (body, delimiter) = (format!("\r\n{body}"), format!("\r\n--{boundary}"));
        let parts = body.split(&delimiter).skip(1).take_while(|part| !part.starts_with("--"));
        return parts.filter_map(|part| part.split_once("\r\n")).find_map(|(_, part)| text_of(part, wanted, depth + 1));
    }
    let encoding = header(&headers, "content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "base64" => STANDARD.decode(body.split_whitespace().collect::<String>()).unwrap_or_default(),
        "quoted-printable" => quoted_printable(body),
        _ => body.as_bytes().to_vec(),
    };
    lower.starts_with(wanted).then(|| String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
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
pub(super) fn encoded_words(value: &str) -> String {
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
