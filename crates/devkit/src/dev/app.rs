//! The app as a child process.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use devkit::processes::{end, end_orphan, tail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::say;

/// How long the app may take until it is ready.
const START: Duration = Duration::from_mins(1);
/// How long it may take to finish what it is doing, before it is killed.
const STOP: [(&str, Duration); 2] = [("TERM", Duration::from_secs(15)), ("KILL", Duration::from_secs(5))];

/// The running app. Dropped, it is stopped.
pub(super) struct App {
    child: Child,
    output: Vec<JoinHandle<()>>,
    log: PathBuf,
    pid: PathBuf,
    port: u16,
}

impl App {
    /// Stops the app of a run that was killed, so that it does not keep the port.
    pub(super) async fn end_leftover(home: &Path) -> Result<(), String> {
        let Some(pid) = fs::read_to_string(home.join("app.pid")).ok().and_then(|pid| pid.parse().ok()) else {
            return Ok(());
        };
        let gone = end_orphan(pid, "holdfast serve ", &STOP).await;
        if gone { Ok(()) } else { Err(format!("the app of an earlier run does not stop; end it with `kill -9 {pid}`")) }
    }

    /// Starts the binary beside our own. Its output goes to `app.log` in `home`.
    pub(super) fn start(port: u16, home: &Path, environment: &[(&str, String)]) -> Result<Self, String> {
        let (log, pid) = (home.join("app.log"), home.join("app.pid"));
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find this program's own file: {error}; start bin/dev again"))?
            .with_file_name("holdfast");
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(true).mode(0o600);
        let unwritable = |error| format!("cannot write into {}: {error}; check who owns it", home.display());
        open.open(&log).map_err(unwritable)?;
        // Both streams add to the end of the file, line by line.
        let add = || OpenOptions::new().append(true).open(&log).map_err(unwritable);
        let mut child = Command::new(&program)
            .arg("serve")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("NO_COLOR", "1")
            // Ctrl-C in the terminal is ours: the app is stopped in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}; build it with bin/dev", program.display()))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        // From here on the app is stopped when something fails.
        let mut app = Self { child, output: Vec::new(), log: log.clone(), pid: pid.clone(), port };
        app.output.extend(output.map(|stream| add().map(|log| tokio::spawn(keep(stream, log)))).transpose()?);
        app.output.extend(errors.map(|stream| add().map(|log| tokio::spawn(keep(stream, log)))).transpose()?);
        if let Some(id) = app.child.id() {
            fs::write(&pid, id.to_string()).map_err(unwritable)?;
        }
        Ok(app)
    }

    /// Waits until the app is ready and has served its first page.
    pub(super) async fn first_page(&mut self) -> Result<(), String> {
        let started = Instant::now();
        while self.get("/readyz").await.ok() != Some(200) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.obituary(status).await);
            }
            if started.elapsed() > START {
                return Err(self.complaint("is not ready after a minute (GET /readyz)"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        match self.get("/").await {
            Ok(200..400) => Ok(()),
            Ok(status) => Err(self.complaint(&format!("answers its first page with status {status}"))),
            Err(error) => Err(self.complaint(&format!("does not answer its first page: {error}"))),
        }
    }

    /// Waits for the app to end by itself, which it should not. Returns what to say.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => self.obituary(status).await,
            Err(error) => self.complaint(&format!("is out of sight: {error}")),
        }
    }

    async fn obituary(&mut self, status: ExitStatus) -> String {
        for output in self.output.drain(..) {
            let _ = timeout(Duration::from_secs(1), output).await;
        }
        self.complaint(&format!("has ended ({status})"))
    }

    fn complaint(&self, what: &str) -> String {
        let end = tail(&self.log, 20);
        format!(
            "The app {what}. Correct what its log says, then start bin/dev again. {} ends:\n{end}",
            self.log.display()
        )
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
        end(&mut self.child, &STOP);
        let _ = fs::remove_file(&self.pid);
    }
}

/// Writes each line to the log, and shows the ones that want attention.
async fn keep(stream: impl AsyncRead + Unpin, mut log: File) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).await.is_ok_and(|length| length > 0) {
        let _ = log.write_all(&line);
        let text = String::from_utf8_lossy(&line);
        if ["ERROR", "WARN", "panicked"].iter().any(|word| text.contains(word)) {
            say(text.trim_end());
        }
        line.clear();
    }
}
