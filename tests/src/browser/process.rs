use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{POLL, WAIT};

/// Where Chromium is found: names on the `PATH`, then the places macOS installs to.
const BINARIES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

const ARGUMENTS: [&str; 13] = [
    "--headless",
    "--no-sandbox", // root in a container has no user namespaces to build one from
    "--disable-gpu",
    "--hide-scrollbars", // a width of 390 is then 390 for the page, as on a telephone
    "--disable-quic",
    "--allow-pre-commit-input", // otherwise input is dropped, without a word, until the first frame was drawn
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-mock-keychain", // macOS asks the person at the screen otherwise
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
    "--remote-debugging-port=0",
];

/// The Chromium process and its directory, both removed on drop.
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) directory: PathBuf,
}

impl Process {
    pub(super) fn start(arguments: &[&str]) -> Self {
        let directory = fresh_path("chromium");
        std::fs::create_dir(&directory).unwrap();
        for binary in BINARIES {
            let mut command = Command::new(binary);
            command.arg(format!("--user-data-dir={}", directory.display())).args(ARGUMENTS).args(arguments);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(std::fs::File::create(directory.join("log")).unwrap());
            match command.spawn() {
                Ok(child) => return Self { child, directory },
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => panic!("starting {binary}: {error}"),
            }
        }
        let _ = std::fs::remove_dir_all(&directory);
        panic!("browser tests need Chromium: `apt install chromium`, `brew install --cask chromium`, or Google Chrome");
    }

    /// The address of the protocol, which Chromium prints once it listens.
    pub(super) async fn address(&mut self) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let running = self.child.try_wait().is_ok_and(|status| status.is_none());
            let log = tokio::fs::read_to_string(self.directory.join("log")).await.unwrap_or_default();
            let line = log
                .split_inclusive('\n')
                .find_map(|line| line.strip_prefix("DevTools listening on ")?.strip_suffix('\n'));
            if let Some(address) = line {
                return address.to_owned();
            }
            let patient = running && Instant::now() < deadline;
            assert!(patient, "Chromium did not come up within {WAIT:?} (running: {running}); it said:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // an error means it has ended already
        let _ = self.child.wait();
        // Its helper processes notice within milliseconds, and may write into the profile until then.
        let deadline = Instant::now() + WAIT;
        while std::fs::remove_dir_all(&self.directory).is_err() && self.directory.exists() && Instant::now() < deadline
        {
            std::thread::sleep(POLL);
        }
    }
}

/// A path in the temporary directory that nothing else uses.
pub(super) fn fresh_path(kind: &str) -> PathBuf {
    std::env::temp_dir().join(format!("holdfast-{kind}-{:016x}", RandomState::new().hash_one(kind)))
}
