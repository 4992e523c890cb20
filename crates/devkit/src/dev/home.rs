//! `.dev`: files of `bin/dev` for its next run, and for scripts.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use devkit::postgres::Error;
use devkit::processes::{Lock, LockError};
use devkit::seed;

/// The directory. Only its owner can read it, and only one run uses it at a time.
pub(super) struct Home {
    path: PathBuf,
    _lock: Lock,
}

impl Home {
    /// Opens the directory of this clone, and creates it on first use.
    ///
    /// # Errors
    /// If another run uses it.
    pub(super) fn open(clone: &Path) -> Result<Self, String> {
        let path = clone.join(".dev");
        fs::create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o700)))
            .map_err(|error| cannot("create", &path, &error))?;
        let lock = Lock::take(&path.join("lock")).map_err(|error| match error {
            LockError::Held(pid) => Error::AlreadyRunning(pid).to_string(),
            LockError::File(error) => cannot("lock", &path, &error),
        })?;
        // A run that was killed may have left this file.
        let _ = fs::remove_file(path.join("env"));
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The encryption key of earlier runs, because it encrypts the secrets in their database. On first use, a new one.
    pub(super) fn encryption_key(&self) -> Result<String, String> {
        let path = self.path.join("encryption-key");
        match fs::read_to_string(&path) {
            Ok(key) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = seed::encryption_key().map_err(|error| super::failed("the app", &error))?;
                write_new(&path, &key).map_err(|error| cannot("write", &path, &error))?;
                Ok(key)
            }
            Err(error) => Err(cannot("read", &path, &error)),
        }
    }

    /// Writes all addresses for scripts. The file exists as long as the returned value.
    pub(super) fn publish(&self, text: &str) -> Result<AddressFile, String> {
        let path = self.path.join("env");
        let unfinished = path.with_extension("new");
        let _ = fs::remove_file(&unfinished);
        write_new(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| cannot("write", &path, &error))?;
        Ok(AddressFile(path))
    }
}

/// The file with all addresses, for scripts. It is deleted when it is dropped, because the services stop then.
pub(super) struct AddressFile(PathBuf);

impl Drop for AddressFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes a file that only its owner can read.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {action} {}: {error}; check who owns it and that the disk is not full", path.display())
}
