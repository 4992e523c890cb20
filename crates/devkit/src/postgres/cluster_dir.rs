//! The directory of a cluster, and the user that its server runs as.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::{Error, random_hex};

/// Name of a temporary cluster's directory, before its random part.
const TEMPORARY: &str = "holdfast-test-";

/// A file system in memory, on Linux. Each test creates and deletes the 300 files of a database. On a disk that takes longer than all
/// queries of the test.
const MEMORY: &str = "/dev/shm";
/// Required free space there, in KiB. A run of all tests needs about half of it.
const MIN_FREE_KIB: u64 = 1024 * 1024;

/// A directory of ours, and the user who works in it.
#[derive(Debug)]
pub(super) struct ClusterDir {
    pub(super) path: PathBuf,
    uid: u32,
    /// The user of the server. `None` if it is our own user.
    user: Option<User>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl ClusterDir {
    /// The directory of a lasting cluster: `dir`, or a directory in `/var/tmp` that the file `dir` names.
    ///
    /// PostgreSQL refuses to run as root. If we are root, the server runs as another user, who must be able to reach its files. That is
    /// not possible in a clone below `/root`, or in a directory of mode 0700.
    pub(super) fn lasting(dir: &Path) -> Result<Self, Error> {
        let (uid, user) = server_user()?;
        let found = match Self::existing(dir)? {
            Some(found) => found,
            None if user.is_some() && !open_to_all(dir.parent().unwrap_or(dir)) => {
                let outside = outside(dir)?;
                fs::write(dir, format!("{}\n", outside.display())).map_err(|e| Error::file("write", dir, e))?;
                outside
            }
            None => dir.to_owned(),
        };
        Self { path: found, uid, user }.create()
    }

    /// The directory that a lasting cluster has created for `dir`, if there is one.
    pub(super) fn existing(dir: &Path) -> Result<Option<PathBuf>, Error> {
        match fs::symlink_metadata(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", dir, error)),
            Ok(found) if found.is_dir() => Ok(Some(dir.to_owned())),
            Ok(_) => {
                let named = fs::read_to_string(dir).map_err(|e| Error::file("read", dir, e))?;
                let named = PathBuf::from(named.trim());
                // SECURITY: `--reset` deletes the directory that this file names, so it may only name one that we would have created.
                if named == outside(dir)? { Ok(Some(named)) } else { Err(Error::NotOurs(dir.to_owned())) }
            }
        }
    }

    /// A new directory for a temporary cluster.
    pub(super) fn temporary() -> Result<Self, Error> {
        let (uid, user) = server_user()?;
        let memory = Path::new(MEMORY);
        let base = (std::env::temp_dir() == Path::new("/tmp") && has_room(memory))
            .then(|| memory.to_owned())
            .into_iter()
            .chain(temporary_bases())
            .find(|base| base.is_dir() && (user.is_none() || open_to_all(base)))
            .ok_or(Error::NoTemporaryDirectory)?;
        let dir = base.join(format!("{TEMPORARY}{}", random_hex(8)?));
        Self { path: dir, uid, user }.create()
    }

    /// Directories of our temporary clusters, in use or left behind.
    pub(super) fn temporaries() -> Result<Vec<Self>, Error> {
        let (uid, user) = server_user()?;
        let mut found = Vec::new();
        for base in temporary_bases().chain([PathBuf::from(MEMORY)]) {
            for entry in fs::read_dir(base).into_iter().flatten().flatten() {
                let named = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
                if named && entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == uid) {
                    found.push(Self { path: entry.path(), uid, user });
                }
            }
        }
        Ok(found)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Gives a path of ours to the user of the server.
    pub(super) fn hand_over(&self, path: &Path) -> Result<(), Error> {
        match &self.user {
            Some(user) => {
                chown(path, Some(user.uid), Some(user.gid)).map_err(|e| Error::file("change the owner of", path, e))
            }
            None => Ok(()),
        }
    }

    /// A command that runs a program of PostgreSQL as the user of the server, without our terminal and our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/").stdin(Stdio::null());
        // We handle Ctrl-C in the terminal ourselves: the server must not stop before the programs that use it.
        command.process_group(0);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn create(self) -> Result<Self, Error> {
        // SECURITY: names below /var/tmp and /tmp can be guessed. A directory that somebody else created there is not used.
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&self.path).map_err(|e| Error::file("read", &self.path, e))?;
                if !found.is_dir() || found.uid() != self.uid {
                    return Err(Error::NotOurs(self.path));
                }
            }
            Err(error) => return Err(Error::file("create", &self.path, error)),
        }
        let mode = if self.user.is_some() { 0o711 } else { 0o700 };
        fs::set_permissions(&self.path, Permissions::from_mode(mode))
            .map_err(|e| Error::file("change the mode of", &self.path, e))?;
        Ok(self)
    }
}

fn temporary_bases() -> impl Iterator<Item = PathBuf> {
    let mut bases = vec![std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    bases.dedup();
    bases.into_iter()
}

/// Whether the file system in memory has room for the files of a run, and so has the memory.
fn has_room(memory: &Path) -> bool {
    // The second line, fourth column: <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/df.html>.
    let df = std::process::Command::new("df").arg("-Pk").arg(memory).output();
    let df = df.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free = df.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = info.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let available = available.and_then(|kib| kib.parse::<u64>().ok());
    free.is_some_and(|free| free >= MIN_FREE_KIB) && available.is_some_and(|available| available >= 2 * MIN_FREE_KIB)
}

/// Our user id, and the user of the server if that must be another one.
fn server_user() -> Result<(u32, Option<User>), Error> {
    let failed = |error: io::Error| Error::Program { name: "id".to_owned(), output: error.to_string() };
    let output = std::process::Command::new("id").arg("-u").output().map_err(failed)?;
    let uid = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|error| failed(io::Error::new(ErrorKind::InvalidData, error)))?;
    if uid != 0 {
        return Ok((uid, None));
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |name: &str| {
        let fields: Vec<&str> = users.lines().map(|l| l.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    let user = user("postgres").or_else(|| user("nobody")).ok_or(Error::NoUser)?;
    Ok((uid, Some(user)))
}

/// Whether every user can reach this directory.
fn open_to_all(dir: &Path) -> bool {
    fs::canonicalize(dir)
        .is_ok_and(|dir| dir.ancestors().all(|step| fs::metadata(step).is_ok_and(|m| m.mode() & 0o001 != 0)))
}

fn outside(dir: &Path) -> Result<PathBuf, Error> {
    let parent = dir.parent().unwrap_or(dir);
    let parent = fs::canonicalize(parent).map_err(|e| Error::file("find", parent, e))?;
    let hash = Sha256::digest(parent.as_os_str().as_encoded_bytes());
    let base = if Path::new("/var/tmp").is_dir() { "/var/tmp" } else { "/tmp" };
    Ok(Path::new(base).join(format!("holdfast-{}", super::hex(&hash[..8]))))
}
