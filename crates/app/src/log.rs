//! Log lines with a maximum length, whatever a request or a library logs.

use std::io::{self, Write};

use serde_json::{Value, json};

/// Longest line, in bytes.
const LINE: usize = 8 * 1024;

/// Writes lines of JSON and shortens the texts in lines that are too long. `tracing_subscriber` writes each line at once.
#[derive(Debug)]
pub struct Bounded<W>(pub W);

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() <= LINE {
            return self.0.write(line);
        }
        self.0.write_all(&shortened(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn shortened(line: &[u8]) -> Vec<u8> {
    let bytes = line.len();
    let mut value = serde_json::from_slice(line).unwrap_or_default();
    for most in [1000, 100] {
        shorten(&mut value, most);
        let text = format!("{value}\n");
        if value.is_object() && text.len() <= LINE {
            return text.into_bytes();
        }
    }
    // The line is long because of the number of texts, not their length.
    let kept = ["timestamp", "level", "target", "message"].map(|name| (name.to_owned(), value[name].clone()));
    let mut value = Value::Object(kept.into_iter().collect());
    value["left_out"] = json!(format!("a line of {bytes} bytes"));
    format!("{value}\n").into_bytes()
}

fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) if text.len() > most => {
            let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            *text = format!("{}... ({} bytes)", text.get(..end).unwrap_or_default(), text.len());
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shorten(value, most)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shorten(value, most)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> String {
        let mut out = Bounded(Vec::new());
        out.write_all(line.as_bytes()).unwrap();
        String::from_utf8(out.0).unwrap()
    }

    // control: OBS-01
    #[test]
    fn no_line_is_longer_than_the_longest_and_each_is_still_json() {
        let short = "{\"message\":\"request completed\"}\n";
        assert_eq!(written(short), short);
        let lines = [
            json!({ "message": "refused", "what": "é".repeat(50_000) }),
            json!({ "message": "refused", "what": "\u{1}".repeat(50_000), "span": { "deep": ["\u{1}".repeat(9000)] } }),
            json!({ "message": "refused", "what": vec!["x".repeat(50); 4000] }),
            Value::Object(
                (0..4000)
                    .map(|nth| (format!("f{nth}"), json!("message")))
                    .chain([("message".to_owned(), json!("refused"))])
                    .collect(),
            ),
        ];
        for line in lines {
            let line = written(&format!("{line}\n"));
            assert!(line.len() <= LINE && line.ends_with('\n') && line.matches('\n').count() == 1, "{}", line.len());
            assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["message"], "refused");
        }
        assert!(written(&"no json".repeat(9000)).len() <= LINE);
    }
}
