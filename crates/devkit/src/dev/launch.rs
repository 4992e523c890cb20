//! Starts the app, each time on another port.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use tokio::process::Command;

use super::app::{App, unwritable};
use super::ports;

/// The binary of the app and its environment.
pub(super) struct Launch {
    program: PathBuf,
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// Identifies a build of the binary, by its file and the time of writing.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Build(u64, SystemTime);

impl Launch {
    /// Begins a new log, `app.log` in `home`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn new(program: PathBuf, home: &Path, environment: Vec<(&'static str, String)>) -> Result<Self, String> {
        let mut open = OpenOptions::new();
        let open = open.write(true).create(true).truncate(true).mode(0o600);
        open.open(home.join("app.log")).map_err(|error| unwritable(home, &error))?;
        Ok(Self { program, home: home.to_owned(), environment })
    }

    /// Starts the app on a free port.
    ///
    /// # Errors
    /// If its binary cannot be run.
    pub(super) fn start(&self) -> Result<App, String> {
        let port = ports::free()?;
        let child = Command::new(&self.program)
            .arg("serve")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("HOLDFAST__HTTP__LISTEN", format!("127.0.0.1:{port}"))
            .env("NO_COLOR", "1")
            // We handle Ctrl-C in the terminal ourselves, so that the app stops first.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}; build it with bin/dev", self.program.display()))?;
        App::of(child, port, &self.home)
    }

    /// The build that a start would run now. `None` if there is none.
    pub(super) fn build(&self) -> Option<Build> {
        let file = fs::metadata(&self.program).ok()?;
        Some(Build(file.ino(), file.modified().ok()?))
    }
}
