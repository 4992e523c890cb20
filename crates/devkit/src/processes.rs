//! Child processes that end with their owner, and a lock that names its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::time::sleep;

/// An exclusive lock on a file. It is released when it is dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a [`Lock`] was not acquired.
#[derive(Debug)]
pub enum LockError {
    /// A running process holds it. It may have written its id.
    Held(Option<u32>),
    /// The file cannot be used.
    File(io::Error),
}

impl Lock {
    /// Acquires the lock and writes our process id into the file. Creates the file (mode 0600) if it is missing.
    ///
    /// # Errors
    ///
    /// Another process holds the lock, or the file cannot be used.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LockError::File)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(LockError::File)?;
                write!(file, "{}", std::process::id()).map_err(LockError::File)?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(LockError::File)?;
                Err(LockError::Held(holder.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(LockError::File(error)),
        }
    }
}

/// Sends a signal, named without `SIG`, to one process. A process that has already ended is not an error.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill` exists on every system. A direct system call would need unsafe code or another crate.
    let _ =
        Command::new("/bin/sh").args(["-c", r#"kill -s "$1" "$2" 2>/dev/null"#, "sh", name, &pid.to_string()]).status();
}

/// Sends signals to a child until it ends, each with its timeout, and then kills it. Returns when it has ended.
pub fn end(child: &mut Child, steps: &[(&str, Duration)]) {
    for (name, patience) in steps {
        let Some(pid) = child.id() else { return };
        signal(pid, name);
        if gone_within(child, *patience) {
            return;
        }
    }
    let _ = child.start_kill();
    gone_within(child, Duration::from_secs(5));
}

/// Sends signals to a process of an earlier run, if that process id still belongs to a process whose command line contains `mark`.
/// Returns whether it has ended.
pub async fn end_orphan(pid: u32, mark: &str, steps: &[(&str, Duration)]) -> bool {
    let gone = || !command_line(pid).contains(mark);
    for (name, patience) in steps {
        if gone() {
            break;
        }
        signal(pid, name);
        let asked = Instant::now();
        while !gone() && asked.elapsed() < *patience {
            sleep(Duration::from_millis(20)).await;
        }
    }
    gone()
}

/// The arguments of a process, each followed by a space. Empty if there is no such process.
fn command_line(pid: u32) -> String {
    if let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&line).replace('\0', " ");
    }
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).replace('\n', " "))
}

fn gone_within(child: &mut Child, patience: Duration) -> bool {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if started.elapsed() < patience => thread::sleep(Duration::from_millis(10)),
            Ok(None) => return false,
            Ok(Some(_)) | Err(_) => return true,
        }
    }
}

/// The last `count` lines of a text file, for an error message. Empty if it cannot be read.
#[must_use]
pub fn tail(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
