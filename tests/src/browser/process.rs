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

const ARGUMENTS: [&str; 15] = [
    "--headless",
    "--no-sandbox", // root in a container has no user namespaces to build one from
    "--disable-gpu",
    "--hide-scrollbars", // a width of 390 is then 390 for the page, as on a telephone
    "--disable-quic",
    "--allow-pre-commit-input", // otherwise input is dropped, without a word, until the first frame was drawn
    "--no-first-run",
    "--no-startup-window",                               // each test opens pages of its own
    "--disable-features=SpareRendererForSitePerProcess", // a process at each navigation, in case there is another
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-mock-keychain", // macOS asks the person at the screen otherwise
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
    "--remote-debugging-port=0",
];

/// Runs Chromium, and ends it and removes its directory when our end of the standard input is closed: when we drop the
/// process, or have ended in any way. Ctrl-C reaches us first.
const WATCH: &str = r#"
    trap '' INT
    directory=$1
    shift
    "$@" &
    read -r _
    kill -9 $!
    wait
    # Its helper processes notice within milliseconds, and may write into the profile until then.
    for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$directory" && break; sleep 0.1; done
"#;

/// A Chromium process with a directory of its own. Both are gone soon after this is dropped.
pub(super) struct Process {
    /// The shell that watches over it.
    child: Child,
    directory: PathBuf,
}

impl Process {
    pub(super) fn start() -> Self {
        let binary = BINARIES.into_iter().find(|binary| is_installed(binary)).expect(
            "browser tests need Chromium: `apt install chromium`, `brew install --cask chromium`, or Google Chrome",
        );
        let directory = fresh_path("chromium");
        std::fs::create_dir(&directory).unwrap();
        let child = Command::new("sh")
            .args(["-c", WATCH, "sh"])
            .arg(&directory)
            .arg(binary)
            .arg(format!("--user-data-dir={}", directory.display()))
            .args(ARGUMENTS)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(directory.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    /// The address of the protocol, which Chromium prints once it listens.
    pub(super) async fn address(&mut self) -> String {
        let deadline = Instant::now() + WAIT;
        loop {
            let log = tokio::fs::read_to_string(self.directory.join("log")).await.unwrap_or_default();
            let line = log
                .split_inclusive('\n')
                .find_map(|line| line.strip_prefix("DevTools listening on ")?.strip_suffix('\n'));
            if let Some(address) = line {
                return address.to_owned();
            }
            assert!(Instant::now() < deadline, "Chromium did not come up within {WAIT:?}; it said:\n{log}");
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn is_installed(binary: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(binary).is_file())
}

/// A path in the temporary directory that nothing else uses.
pub(super) fn fresh_path(kind: &str) -> PathBuf {
    std::env::temp_dir().join(format!("holdfast-{kind}-{:016x}", RandomState::new().hash_one(kind)))
}
