//! The app as a child process.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use devkit::processes::{end, end_orphan};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::say;

/// Longest start of the app.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// The signals that stop the app, each with its timeout.
const STOP_SIGNALS: [(&str, Duration); 2] = [("TERM", Duration::from_secs(15)), ("KILL", Duration::from_secs(5))];
/// How many of its last lines are shown if it fails.
const LAST_LINES: usize = 20;

/// The running app. It is stopped when it is dropped.
pub(super) struct App {
    child: Child,
    output: Vec<JoinHandle<()>>,
    last_lines: LastLines,
    log: PathBuf,
    pid: PathBuf,
    port: u16,
}

type LastLines = Arc<Mutex<VecDeque<String>>>;

impl App {
    /// Stops the app of a run that was killed.
    ///
    /// # Errors
    /// If it does not stop.
    pub(super) async fn end_leftovers(home: &Path) -> Result<(), String> {
        let files = fs::read_dir(home).map_err(|error| unwritable(home, &error))?;
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        for file in files.filter(|path| path.extension().is_some_and(|end| end == "pid")) {
            if let Some(pid) = fs::read_to_string(&file).ok().and_then(|pid| pid.parse().ok())
                && !end_orphan(pid, "holdfast serve ", &STOP_SIGNALS).await
            {
                return Err(format!("the app of an earlier run does not stop; end it with `kill -9 {pid}`"));
            }
            let _ = fs::remove_file(file);
        }
        Ok(())
    }

    /// Takes ownership of a child that listens on `port`. Its output goes to `app.log` in `home`.
    ///
    /// # Errors
    /// If that directory cannot be written.
    pub(super) fn of(mut child: Child, port: u16, home: &Path) -> Result<Self, String> {
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let (log, pid) = (home.join("app.log"), home.join(format!("app-{port}.pid")));
        // From here on, the app is stopped if anything fails.
        let mut app = Self { child, output: Vec::new(), last_lines: LastLines::default(), log, pid, port };
        // Both streams add to the end of the file, line by line.
        let add = || OpenOptions::new().append(true).open(&app.log).map_err(|error| unwritable(home, &error));
        if let (Some(output), Some(errors)) = (output, errors) {
            app.output = vec![app.keep(output, add()?), app.keep(errors, add()?)];
        }
        if let Some(id) = app.child.id() {
            fs::write(&app.pid, id.to_string()).map_err(|error| unwritable(home, &error))?;
        }
        Ok(app)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits until the app is ready and has served its first page.
    ///
    /// # Errors
    /// Returns what it did instead, as in "has ended".
    pub(super) async fn first_page(&mut self) -> Result<(), String> {
        let started = Instant::now();
        while self.get("/readyz").await.ok() != Some(200) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.obituary(status).await);
            }
            if started.elapsed() > START_TIMEOUT {
                return Err("is not ready after a minute (GET /readyz)".to_owned());
            }
            sleep(Duration::from_millis(20)).await;
        }
        match self.get("/").await {
            Ok(200..400) => Ok(()),
            Ok(status) => Err(format!("answers its first page with status {status}")),
            Err(error) => Err(format!("does not answer its first page: {error}")),
        }
    }

    /// Waits for the app to end by itself, which it should not. Returns what it did, as in "has ended".
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => self.obituary(status).await,
            Err(error) => format!("cannot be watched: {error}"),
        }
    }

    /// Stops the app after its running requests.
    pub(super) async fn stop(self) {
        let _ = spawn_blocking(move || drop(self)).await;
    }

    async fn obituary(&mut self, status: ExitStatus) -> String {
        for output in self.output.drain(..) {
            let _ = timeout(Duration::from_secs(1), output).await;
        }
        format!("has ended ({status})")
    }

    /// The message if the app did `what`.
    pub(super) fn complaint(&self, what: &str) -> String {
        format!(
            "The app {what}. Correct what its log says, then start bin/dev again. {} ends:\n{}",
            self.log.display(),
            self.last_lines(),
        )
    }

    /// The end of its output.
    pub(super) fn last_lines(&self) -> String {
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Writes each line to the log, and shows warnings and errors.
    fn keep(&self, stream: impl AsyncRead + Unpin + Send + 'static, mut log: File) -> JoinHandle<()> {
        let last_lines = Arc::clone(&self.last_lines);
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
                let _ = log.write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if ["ERROR", "WARN", "panicked"].iter().any(|word| text.contains(word)) {
                    say(&text);
                }
                let mut lines = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_back(text);
                if lines.len() > LAST_LINES {
                    lines.pop_front();
                }
                line.clear();
            }
        })
    }

    /// The status of a page.
    async fn get(&self, path: &str) -> io::Result<u16> {
        let answer = timeout(Duration::from_secs(10), async {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n", self.port);
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            io::Result::Ok(answer)
        });
        let answer = answer.await??;
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP status"))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        end(&mut self.child, &STOP_SIGNALS);
        let _ = fs::remove_file(&self.pid);
    }
}

pub(super) fn unwritable(home: &Path, error: &io::Error) -> String {
    format!("cannot write into {}: {error}; check who owns it", home.display())
}
