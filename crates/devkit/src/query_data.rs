//! Writes `.sqlx`: the database's description of each checked query, so that builds need no database.
//!
//! The macros of the queries write it while they are expanded with a migrated database. For this, this program is built without the
//! crates that contain checked queries (see the feature `product` in `Cargo.toml`), because those do not compile without their data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use devkit::postgres::Cluster;
use serde::Deserialize;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::process::Command;

use crate::say;
use crate::signals::Signals;

/// Writes `.sqlx`. With `check`, only reports whether it is up to date.
pub(crate) async fn run(check: bool, signals: &mut Signals) -> Result<ExitCode, String> {
    tokio::select! {
        result = update(check) => result,
        _ = signals.next() => Ok(ExitCode::FAILURE),
    }
}

async fn update(check: bool) -> Result<ExitCode, String> {
    let clone = crate::clone_root()?;
    let cluster = Cluster::temporary().await.map_err(|error| error.to_string())?;
    migrate(&cluster.owner_url(), &clone)
        .await
        .map_err(|error| format!("the migrations fail: {error}; correct them"))?;
    let fresh = cluster.dir().join("queries");
    fs::create_dir(&fresh).map_err(|error| cannot("create", &fresh, &error))?;
    let roots = expand(&clone, &fresh, &cluster.owner_url()).await?;

    let committed = clone.join(".sqlx");
    let (new, old) = (read(&fresh)?, read(&committed)?);
    let missing = new.keys().filter(|name| !old.contains_key(*name)).count();
    let changed = new.iter().filter(|(name, data)| old.get(*name).is_some_and(|old| old != *data)).count();
    let stale = old.keys().filter(|name| !new.contains_key(*name)).count();
    let queries = new.len();
    if missing + changed + stale == 0 {
        say(&format!(".sqlx is up to date ({queries} queries)."));
        return Ok(ExitCode::SUCCESS);
    }
    let difference = format!("{queries} queries: {missing} new, {changed} changed, {stale} no longer there");
    if check {
        return Err(format!(".sqlx is not up to date ({difference}): run bin/sqlx and commit .sqlx"));
    }
    fs::create_dir_all(&committed).map_err(|error| cannot("create", &committed, &error))?;
    for (name, data) in &new {
        if old.get(name) != Some(data) {
            let path = committed.join(name);
            fs::write(&path, data).map_err(|error| cannot("write", &path, &error))?;
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        let path = committed.join(name);
        fs::remove_file(&path).map_err(|error| cannot("delete", &path, &error))?;
    }
    touch(&roots).await?;
    say(&format!("Wrote .sqlx ({difference}). Commit it."));
    Ok(ExitCode::SUCCESS)
}

/// Does the same as `tenancy::migrate`, without that crate.
async fn migrate(url: &str, clone: &Path) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(include_str!("../../../migrations/roles.sql")).await?;
    connection.execute("set role migrator").await?;
    Migrator::new(clone.join("migrations")).await?.run(&mut connection).await?;
    connection.close().await
}

/// Expands every checked query of the workspace against the cluster. Returns the first file of each of our crates.
async fn expand(clone: &Path, into: &Path, url: &str) -> Result<BTreeSet<PathBuf>, String> {
    // The second round is needed only if an earlier run was interrupted.
    for _ in 0..2 {
        let artifacts = build(clone, into, url).await?;
        // Cargo must not find these again, because it expands only what it compiles.
        for file in artifacts.iter().flat_map(|artifact| &artifact.filenames).filter(|file| file.exists()) {
            fs::remove_file(file).map_err(|error| cannot("delete", file, &error))?;
        }
        if artifacts.iter().all(|artifact| !artifact.fresh) {
            return Ok(artifacts.into_iter().map(|artifact| artifact.target.src_path).collect());
        }
    }
    Err("cargo does not compile all crates again; run `cargo clean`, then this".to_owned())
}

/// Checks the workspace. Returns the artifacts of our own crates.
async fn build(clone: &Path, into: &Path, url: &str) -> Result<Vec<Artifact>, String> {
    let cargo = Command::new("cargo")
        .args(["check", "--workspace", "--all-targets", "--message-format=json-render-diagnostics"])
        .current_dir(clone)
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", into)
        // With a wrapper, which changes nothing, cargo keeps this build of our crates apart from all others.
        .env("RUSTC_WORKSPACE_WRAPPER", "/usr/bin/env")
        // A shared cache of compiled crates would not expand any macro.
        .env("RUSTC_WRAPPER", "")
        .env("CARGO_INCREMENTAL", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run cargo: {error}; install Rust from https://rustup.rs"))?;
    let output =
        cargo.wait_with_output().await.map_err(|error| format!("cannot wait for cargo: {error}; try again"))?;
    if !output.status.success() {
        return Err(
            "the workspace does not compile against the migrated database; correct what is shown above".to_owned()
        );
    }
    Ok(output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|Artifact { target, .. }| target.src_path.starts_with(clone) && target.kind != ["custom-build"])
        .collect())
}

/// A line of cargo's report that names an artifact.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    filenames: Vec<PathBuf>,
    /// It was already up to date.
    fresh: bool,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// Makes cargo compile our crates again. It does not notice changes of the query data.
async fn touch(roots: &BTreeSet<PathBuf>) -> Result<(), String> {
    let touched = Command::new("touch").arg("-c").args(roots).status().await;
    match touched {
        Ok(status) if status.success() => Ok(()),
        _ => Err("cannot touch the sources; run `cargo clean -p` for the crates whose queries have changed".to_owned()),
    }
}

/// The query data in a directory, by file name. Empty if there is no directory.
fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut data = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            data.insert(name, fs::read(entry.path()).map_err(|error| cannot("read", &entry.path(), &error))?);
        }
    }
    Ok(data)
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {action} {}: {error}; check who owns it and that the disk is not full", path.display())
}
