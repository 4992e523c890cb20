use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Mutex, Once};

use serde_json::Value;
use tracing_subscriber::EnvFilter;

/// What the applications of all tests have logged. A test finds its own lines by request id.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Logs as `main.rs` does, into memory, and warnings also to the output of the test.
pub(super) fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = EnvFilter::new("info,sqlx=warn,tests=off");
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(filter)
            .with_writer(|| app::log::Bounded(Line))
            .init();
    });
}

/// The log lines of one request.
pub(crate) fn lines_of(request: &str) -> Vec<Value> {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|line| line.contains(request)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each request was told to be answered, by its id: for tests that make too many to ask for one by one.
pub(crate) fn answered() -> HashMap<String, usize> {
    let lines = LINES.lock().unwrap().clone();
    let mut answered = HashMap::new();
    for line in lines.iter().filter(|line| line.contains("\"message\":\"request completed\"")) {
        let line: Value = serde_json::from_str(line).unwrap();
        *answered.entry(line["span"]["request"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    answered
}

/// Everything that was logged so far.
pub(crate) fn everything() -> String {
    LINES.lock().unwrap().concat()
}

struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains("\"level\":\"ERROR\"") || line.contains("\"level\":\"WARN\"") {
            print!("{line}");
        }
        LINES.lock().unwrap().push(line.into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
