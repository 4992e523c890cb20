//! Finds the programs of the server. Each distribution keeps them in another place outside `PATH`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Error;

/// Oldest major version that the migrations run on.
const MIN_VERSION: u32 = 15;

/// One installed version of the server.
#[derive(Debug)]
pub(super) struct Install {
    bin: PathBuf,
    major: u32,
}

impl Install {
    /// The version that created the data, or else the newest one.
    pub(super) fn find(data: &Path) -> Result<Self, Error> {
        let mut found: Vec<Self> = places().filter_map(Self::at).filter(|i| i.major >= MIN_VERSION).collect();
        let Ok(version) = fs::read_to_string(data.join("PG_VERSION")) else {
            found.sort_by_key(|i| i.major);
            return found.pop().ok_or(Error::NotInstalled);
        };
        let version = version.trim().to_owned();
        let same = found.into_iter().find(|i| i.major.to_string() == version);
        same.ok_or_else(|| Error::OtherVersion { data: data.to_owned(), version })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn at(bin: PathBuf) -> Option<Self> {
        if !bin.join("initdb").is_file() {
            return None;
        }
        // "postgres (PostgreSQL) 17.6 (Debian 17.6-1.pgdg12+1)", "postgres (PostgreSQL) 18beta1"
        let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.split_once(") ")?.1;
        let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        Some(Self { major: version[..digits].parse().ok()?, bin })
    }
}

fn places() -> impl Iterator<Item = PathBuf> {
    let in_path = Command::new("/bin/sh").args(["-c", "command -v postgres"]).output().ok();
    let in_path = in_path.and_then(|found| {
        let program = String::from_utf8_lossy(&found.stdout);
        Path::new(program.trim_end()).parent().map(Path::to_owned)
    });
    let debian = below("/usr/lib/postgresql", "");
    let red_hat = below("/usr", "pgsql-");
    let homebrew = ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"]
        .into_iter()
        .flat_map(|prefix| below(prefix, "postgresql@"));
    in_path.into_iter().chain(debian.chain(red_hat).chain(homebrew).map(|dir| dir.join("bin")))
}

fn below(dir: &str, prefix: &'static str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}
