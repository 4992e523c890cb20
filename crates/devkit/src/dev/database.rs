//! The database of this run: its schema, its sample data, and its replacement after an edit of a migration.

use std::path::Path;
use std::process::{ExitCode, Stdio};

use devkit::postgres::Cluster;
use devkit::seed;
use secrecy::SecretString;
use sqlx::migrate::MigrateError::{VersionMismatch, VersionMissing};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::environment;
use crate::say;

/// The exit code of `devkit prepare-database` for [`Preparation::Outdated`].
const OUTDATED: u8 = 3;

/// The result of preparing a database.
pub(super) enum Preparation {
    /// It is up to date.
    Ready,
    /// It is unchanged, because an applied migration was edited. The text names it.
    Outdated(String),
}

/// The database of this run.
pub(super) enum Database {
    /// The database in `DATABASE_URL`. It is not ours to replace.
    Given(String),
    Private(Box<Cluster>),
}

impl Database {
    pub(super) async fn start(home: &Path, reset: bool) -> Result<Self, String> {
        if let Some(url) = environment("DATABASE_URL") {
            return if reset {
                Err("--reset deletes the private database only; unset DATABASE_URL, or empty that one yourself"
                    .to_owned())
            } else {
                Ok(Self::Given(url))
            };
        }
        let dir = home.join("postgres");
        if reset {
            Cluster::erase(&dir).await.map_err(|error| error.to_string())?;
            say("Deleted the data of earlier runs.");
        }
        let cluster = Cluster::start(&dir).await.map_err(|error| error.to_string())?;
        if cluster.dir() != dir {
            say(&format!(
                "The database's files are in {}: PostgreSQL does not run as root, and its user cannot reach {}.",
                cluster.dir().display(),
                home.display(),
            ));
        }
        Ok(Self::Private(Box::new(cluster)))
    }

    pub(super) fn owner_url(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Private(cluster) => cluster.owner_url(),
        }
    }

    pub(super) async fn app_url(&self) -> Result<String, String> {
        match self {
            Self::Given(url) => Ok(url.clone()),
            Self::Private(cluster) => cluster.login("web").await.map_err(|error| error.to_string()),
        }
    }

    /// Creates an empty database beside the one in use. Returns the URL of its owner.
    ///
    /// # Errors
    /// If the database in use is not ours to replace.
    pub(super) async fn create_spare(&self) -> Result<String, String> {
        match self {
            Self::Given(_) => Err("the database in DATABASE_URL is not replaced: empty it yourself".to_owned()),
            Self::Private(cluster) => cluster.create_spare().await.map_err(|error| error.to_string()),
        }
    }

    /// Replaces the database in use with the spare one.
    pub(super) async fn use_spare(&self) -> Result<(), String> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Private(cluster) => cluster.use_spare().await.map_err(|error| error.to_string()),
        }
    }

    /// Deletes a replaced database. If that fails, the next replacement deletes it.
    pub(super) async fn drop_unused(&self) {
        if let Self::Private(cluster) = self {
            let _ = cluster.drop_unused().await;
        }
    }
}

/// Applies migrations, and fills an empty database.
pub(super) async fn prepare(owner: &str, issuer: &str) -> Result<(), String> {
    let reason = match attempt(owner, issuer).await {
        Ok(Preparation::Ready) => return Ok(()),
        Ok(Preparation::Outdated(reason)) => format!("the migrations fail: {reason}"),
        Err(reason) => reason,
    };
    Err(format!("{reason}; correct that, or start over with `bin/dev --reset`"))
}

async fn attempt(owner: &str, issuer: &str) -> Result<Preparation, String> {
    match tenancy::migrate(&SecretString::from(owner.to_owned())).await {
        Ok(()) => {}
        Err(error) if matches!(error, tenancy::MigrateError::Migration(VersionMissing(_) | VersionMismatch(_))) => {
            return Ok(Preparation::Outdated(error.to_string()));
        }
        Err(error) => return Err(format!("the migrations fail: {error}")),
    }
    seed::seed(owner, issuer).await.map_err(|error| format!("the sample data cannot be written: {error}"))?;
    Ok(Preparation::Ready)
}

/// Runs `devkit prepare-database` for a running `bin/dev`. It reads the URL of the database's owner from standard input.
pub(crate) async fn prepare_for_other(issuer: &str) -> Result<ExitCode, String> {
    let owner = std::io::read_to_string(std::io::stdin())
        .map_err(|error| format!("cannot read the database's URL from standard input: {error}"))?;
    match attempt(owner.trim(), issuer).await? {
        Preparation::Ready => Ok(ExitCode::SUCCESS),
        Preparation::Outdated(reason) => {
            say(&reason);
            Ok(ExitCode::from(OUTDATED))
        }
    }
}

/// Prepares a database with the `devkit` that was built last, because its migrations and sample data are newer than ours.
///
/// # Errors
/// If a migration or the data fails.
pub(super) async fn prepare_with(devkit: &Path, owner: &str, issuer: &str) -> Result<Preparation, String> {
    let run = async {
        let mut child = Command::new(devkit)
            .args(["prepare-database", issuer])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(owner.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = run.await.map_err(|error| format!("cannot run {}: {error}", devkit.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(Preparation::Ready),
        Some(code) if code == i32::from(OUTDATED) => Ok(Preparation::Outdated(text(&output.stdout))),
        _ => Err(text(&output.stderr)),
    }
}
