//! A lane of the benchmark: a server, its pages, and a run of `wrk` against it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::data::Request;
use super::{CONNECTIONS, Failure, SECONDS, http};

/// The result of one run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} requests/s, p99 {:.1} ms", self.per_second, self.p99_ms)
    }
}

/// A server and the pages that are requested from it.
pub(super) struct Lane {
    port: u16,
    script: PathBuf,
    pages: Vec<(String, String)>,
    /// Mean size of a complete response.
    pub(super) bytes: f64,
}

/// How far the bytes of a run may differ from those of complete responses. Heads differ a little, and `wrk` rounds.
const TOLERANCE: f64 = 0.02;

impl Lane {
    pub(super) async fn new(
        home: &Path,
        name: &str,
        port: u16,
        requests: &[Request],
        of: impl Fn(&Request) -> (String, String),
    ) -> Result<Self, Failure> {
        let (script, pages) = (home.join(format!("{name}.lua")), requests.iter().map(of).collect::<Vec<_>>());
        fs::write(&script, lua(&pages))?;
        let mut lane = Self { port, script, pages, bytes: 0.0 };
        lane.bytes = lane.check().await?;
        Ok(lane)
    }

    /// Requests each page once, and returns their mean size. All must be 200 and have the rows of the list.
    async fn check(&self) -> Result<f64, Failure> {
        let mut bytes = 0;
        for (path, cookie) in &self.pages {
            let answer = http::get(self.port, path, cookie).await?;
            let rows = answer.body.matches("@example.com").count();
            if answer.status != 200 || rows < 20 {
                return Err(format!(
                    "{path}: {} with {rows} rows; every response must be a complete page",
                    answer.status
                )
                .into());
            }
            bytes += answer.bytes();
        }
        Ok(f64::from(u32::try_from(bytes)?) / f64::from(u32::try_from(self.pages.len())?))
    }

    /// Runs `wrk`. Fails if a response was not a complete page.
    pub(super) async fn run(&self) -> Result<Run, Failure> {
        let (run, mean_bytes) = wrk(self.port, &self.script).await?;
        self.check().await?;
        let whole = mean_bytes / self.bytes;
        if (whole - 1.0).abs() > TOLERANCE {
            let (got, expected) = (mean_bytes, self.bytes);
            return Err(format!(
                "responses had {got:.0} bytes, complete pages have {expected:.0}: not every response was a page"
            )
            .into());
        }
        Ok(run)
    }
}

/// Runs `wrk` with a script. Returns its result, and the mean size of the responses including their heads.
pub(super) async fn wrk(port: u16, script: &Path) -> Result<(Run, f64), Failure> {
    let output = Command::new("wrk")
        .args(["--latency", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-s"])
        .arg(script)
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk reported errors:\n{text}").into());
    }
    let after = |mark: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(mark))?;
        Some(line.trim().to_owned())
    };
    let latency = after("99%").ok_or("wrk printed no 99% line")?;
    let p99_ms = match latency.strip_suffix("us") {
        Some(micros) => micros.parse::<f64>()? / 1000.0,
        None => match latency.strip_suffix("ms") {
            Some(millis) => millis.parse()?,
            None => latency.trim_end_matches('s').parse::<f64>()? * 1000.0,
        },
    };
    let per_second = after("Requests/sec:").ok_or("wrk printed no rate")?.parse()?;
    let mean_bytes = mean_bytes(&text).ok_or("wrk printed no sum of bytes")?;
    Ok((Run { per_second, p99_ms }, mean_bytes))
}

/// Parses the line `12345 requests in 8.00s, 123.45MB read`.
fn mean_bytes(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.ends_with(" read"))?;
    let requests: f64 = line.trim().split(' ').next()?.parse().ok()?;
    let read = line.rsplit(", ").next()?.strip_suffix(" read")?;
    let unit = read.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match read.get(unit..)? {
        "B" => 1.0,
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(read.get(..unit)?.parse::<f64>().ok()? * factor / requests)
}

/// The script of `wrk` that requests the pages in turn.
fn lua(pages: &[(String, String)]) -> String {
    let mut lua = "local requests = {\n".to_owned();
    for (path, cookie) in pages {
        let _ = writeln!(lua, "  {{ {path:?}, {{ Accept = \"text/html\", Cookie = {cookie:?} }} }},");
    }
    lua += "}\nlocal n = 0\nfunction request()\n  n = n % #requests + 1\n  \
            return wrk.format(\"GET\", requests[n][1], requests[n][2])\nend\n";
    lua
}
