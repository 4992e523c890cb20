//! A private PostgreSQL. Only its owner can connect to it, and it stops with its owner.
//!
//! It listens on a free port of 127.0.0.1, requires a random password (SCRAM), and needs no rights on the machine. Its files are
//! `data` (the cluster), `owner-password` (mode 0600), `server.log`, and `lock` (held while the owner runs).

mod cluster_dir;
mod install;
mod spare;
#[cfg(test)]
mod tests;
mod verifier;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use self::cluster_dir::ClusterDir;
use self::install::Install;
pub use self::verifier::verifier;
use crate::processes::{Lock, LockError, end, end_orphan, tail};

/// Longest start of a server. After a crash it replays its log.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Fast shutdown, then immediate shutdown, each with its timeout.
const STOP_SIGNALS: [(&str, Duration); 2] = [("INT", Duration::from_secs(30)), ("QUIT", Duration::from_secs(10))];

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what happened and what to do")]
pub enum Error {
    #[error(
        "found no PostgreSQL 15 or newer in PATH, /usr/lib/postgresql or Homebrew; \
         install it with `apt-get install postgresql` or `brew install postgresql@17`"
    )]
    NotInstalled,
    #[error(
        "{data} was made by PostgreSQL {version}, which is not installed any more; \
         install that version again, or start over with `bin/dev --reset`"
    )]
    OtherVersion { data: PathBuf, version: String },
    #[error("bin/dev is already running in this clone (pid {}); stop it there with Ctrl-C, or use it", pid(*.0))]
    AlreadyRunning(Option<u32>),
    #[error("{0} was not made by this user for this clone; delete it, or run as the user it belongs to")]
    NotOurs(PathBuf),
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`; run this as another user")]
    NoUser,
    #[error("other users can reach neither TMPDIR nor /tmp nor /var/tmp; set TMPDIR to a directory they can reach")]
    NoTemporaryDirectory,
    #[error("cannot {action} {path}: {source}; check who owns it and that the disk is not full")]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("`{name}` failed; fix what it says and start again:\n{output}")]
    Program { name: String, output: String },
    #[error("PostgreSQL did not start; its log ends with:\n{0}")]
    DidNotStart(String),
    #[error("the private PostgreSQL answered with an error: {0}; its log is server.log beside its data")]
    Sql(#[from] sqlx::Error),
    #[error("the system gave no random bytes: {0}; start again")]
    Random(#[from] getrandom::Error),
}

impl Error {
    fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }
}

fn pid(pid: Option<u32>) -> String {
    pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
}

/// A running server with the superuser `owner` and the database `holdfast`. It is stopped when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    // Fields are dropped in this order: the server stops, temporary files are deleted, the lock is released.
    server: Server,
    home: Home,
    _lock: Lock,
    port: u16,
    password: String,
}

impl Cluster {
    /// Starts the cluster with its data in `dir`, and creates it on first use.
    ///
    /// If it runs as root and the user of the server cannot reach `dir`, the data is in a directory of `/var/tmp`, and `dir` is a
    /// text file with the name of that directory. A server that a killed owner has left running is stopped first.
    ///
    /// # Errors
    ///
    /// PostgreSQL is missing or does not start, another owner uses the cluster, or a file cannot be written.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        let cluster_dir = ClusterDir::lasting(dir)?;
        let lock = lock(&cluster_dir)?;
        Self::run(Home { cluster_dir, temporary: false }, lock).await
    }

    /// Starts a cluster for tests. It leaves no files behind. A crash of the machine would corrupt it.
    ///
    /// # Errors
    ///
    /// PostgreSQL is missing or does not start, or a file cannot be written.
    pub async fn temporary() -> Result<Self, Error> {
        for cluster_dir in ClusterDir::temporaries()? {
            clear(cluster_dir).await?;
        }
        let home = Home { cluster_dir: ClusterDir::temporary()?, temporary: true };
        let lock = lock(&home.cluster_dir)?;
        Self::run(home, lock).await
    }

    /// Deletes the cluster that [`start`](Self::start) has created for `dir`, if there is one.
    ///
    /// # Errors
    ///
    /// It is in use, it is not ours, or it cannot be deleted.
    pub async fn erase(dir: &Path) -> Result<(), Error> {
        if ClusterDir::existing(dir)?.is_none() {
            return Ok(());
        }
        let cluster_dir = ClusterDir::lasting(dir)?;
        let _lock = lock(&cluster_dir)?;
        stop_orphan(&cluster_dir).await?;
        fs::remove_dir_all(&cluster_dir.path).map_err(|e| Error::file("delete", &cluster_dir.path, e))?;
        if cluster_dir.path != dir {
            fs::remove_file(dir).map_err(|e| Error::file("delete", dir, e))?;
        }
        Ok(())
    }

    /// Stops the server and waits until it has ended, like dropping it.
    pub fn stop(self) {
        drop(self);
    }

    /// The URL of the database for the superuser.
    #[must_use]
    pub fn owner_url(&self) -> String {
        self.url("owner", &self.password)
    }

    /// Gives a role of the cluster a new random password. Returns the URL of the database for it.
    ///
    /// # Errors
    ///
    /// The server refuses a statement.
    pub async fn login(&self, role: &str) -> Result<String, Error> {
        let password = random_hex(24)?;
        let mut connection = PgConnection::connect_with(&self.options("holdfast")).await?;
        set_password(&mut connection, role, &password).await?;
        connection.close().await?;
        Ok(self.url(role, &password))
    }

    /// The directory of its files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.home.cluster_dir.path
    }

    fn url(&self, role: &str, password: &str) -> String {
        format!("postgres://{role}:{password}@127.0.0.1:{}/holdfast", self.port)
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("owner")
            .password(&self.password)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    async fn run(home: Home, lock: Lock) -> Result<Self, Error> {
        let cluster_dir = &home.cluster_dir;
        stop_orphan(cluster_dir).await?;
        let install = Install::find(&cluster_dir.data())?;
        if !cluster_dir.data().exists() {
            make(&home, &install).await?;
        }
        let password_file = cluster_dir.path.join("owner-password");
        let password = fs::read_to_string(&password_file).map_err(|e| Error::file("read", &password_file, e))?;
        let started = Instant::now();
        let port = free_port()?;
        let server = Server(serve(&home, &install, port)?);
        let mut cluster = Self { server, home, _lock: lock, port, password };
        loop {
            if let Some(mut connection) = cluster.ready(started).await? {
                let find = "select from pg_database where datname = 'holdfast'";
                if sqlx::query(find).fetch_optional(&mut connection).await?.is_none() {
                    set_password(&mut connection, "owner", &cluster.password).await?;
                    connection.execute("create database holdfast").await?;
                }
                connection.close().await?;
                return Ok(cluster);
            }
            cluster.port = free_port()?;
            cluster.server = Server(serve(&cluster.home, &install, cluster.port)?);
        }
    }

    /// Connects as soon as the server accepts connections. `None` if it has ended for a temporary reason.
    async fn ready(&mut self, started: Instant) -> Result<Option<PgConnection>, Error> {
        loop {
            let ended = self.server.0.try_wait().map_err(|e| Error::file("wait for", self.dir(), e))?.is_some();
            let log = || tail(&self.dir().join("server.log"), 20);
            if ended || started.elapsed() > START_TIMEOUT {
                // Another program took the port first, or processes of a killed server are still ending.
                let passes = ["Address already in use", "pre-existing shared memory block"];
                let log = log();
                if ended && started.elapsed() < START_TIMEOUT && passes.iter().any(|reason| log.contains(reason)) {
                    return Ok(None);
                }
                return Err(Error::DidNotStart(log));
            }
            let options = self.options("postgres");
            let attempt = timeout(Duration::from_secs(5), PgConnection::connect_with(&options));
            if let Ok(Ok(connection)) = attempt.await {
                return Ok(Some(connection));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Gives a role a random password. The server stores its [`verifier`].
async fn set_password(connection: &mut PgConnection, role: &str, random: &str) -> Result<(), Error> {
    sqlx::query("select set_config('devkit.role', $1, false), set_config('devkit.password', $2, false)")
        .bind(role)
        .bind(verifier(random)?)
        .execute(&mut *connection)
        .await?;
    let alter = "do $$ begin execute format('alter role %I password %L', \
                 current_setting('devkit.role'), current_setting('devkit.password')); end $$";
    connection.execute(alter).await?;
    Ok(())
}

/// The process of the server. It is shut down when it is dropped.
#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.0, &STOP_SIGNALS);
    }
}

/// The directory of a cluster. A temporary one is deleted when it is dropped.
#[derive(Debug)]
struct Home {
    cluster_dir: ClusterDir,
    temporary: bool,
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.cluster_dir.path);
        }
    }
}

fn lock(cluster_dir: &ClusterDir) -> Result<Lock, Error> {
    let path = cluster_dir.path.join("lock");
    Lock::take(&path).map_err(|error| match error {
        LockError::Held(pid) => Error::AlreadyRunning(pid),
        LockError::File(error) => Error::file("lock", &path, error),
    })
}

/// Creates a new cluster. It gets its final name only when it is complete.
async fn make(home: &Home, install: &Install) -> Result<(), Error> {
    let cluster_dir = &home.cluster_dir;
    let password = random_hex(24)?;
    let password_file = cluster_dir.path.join("owner-password");
    let _ = fs::remove_file(&password_file);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&password_file)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .map_err(|e| Error::file("write", &password_file, e))?;
    cluster_dir.hand_over(&password_file)?;
    let unfinished = cluster_dir.path.join("data.new");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).map_err(|e| Error::file("create", &unfinished, e))?;
    cluster_dir.hand_over(&unfinished)?;
    let program = install.program("initdb");
    let initdb = |locale: &str| {
        let mut command = cluster_dir.command(&program);
        command.arg("--pgdata").arg(&unfinished).arg("--pwfile").arg(&password_file);
        command.args(["--username=owner", "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]);
        command.arg(format!("--locale={locale}")).args(home.temporary.then_some("--no-sync")).kill_on_drop(true);
        run(command)
    };
    match initdb("C.UTF-8").await {
        // macOS does not have this locale. Text sorts the same in both.
        Err(Error::Program { output, .. }) if output.contains("locale") => initdb("C").await?,
        other => other?,
    }
    fs::rename(&unfinished, cluster_dir.data()).map_err(|e| Error::file("rename", &unfinished, e))
}

async fn run(mut command: Command) -> Result<(), Error> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    match command.output().await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::Program { name, output: String::from_utf8_lossy(&output.stderr).into_owned() }),
        Err(error) => Err(Error::Program { name, output: error.to_string() }),
    }
}

fn serve(home: &Home, install: &Install, port: u16) -> Result<Child, Error> {
    let path = home.cluster_dir.path.join("server.log");
    let mut open = OpenOptions::new();
    let open = open.write(true).create(true).truncate(true).mode(0o600);
    let log = open.open(&path).map_err(|e| Error::file("write", &path, e))?;
    let errors = log.try_clone().map_err(|e| Error::file("write", &path, e))?;
    let program = install.program("postgres");
    let mut command = home.cluster_dir.command(&program);
    command.arg("-D").arg(home.cluster_dir.data()).arg("-p").arg(port.to_string());
    let mut settings = vec![
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=64MB",
        "timezone=UTC",
        "log_timezone=UTC",
    ];
    if home.temporary {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"]);
        // A temporary cluster is too short-lived for maintenance and replication.
        settings.extend(["autovacuum=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=256MB"]);
    }
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    let failed = |error: io::Error| Error::Program { name: program.display().to_string(), output: error.to_string() };
    command.stdout(log).stderr(errors).spawn().map_err(failed)
}

/// Stops the server that a killed owner of this directory has left running, and no other.
async fn stop_orphan(cluster_dir: &ClusterDir) -> Result<(), Error> {
    let path = cluster_dir.data().join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&path).ok().and_then(|text| text.lines().next()?.trim().parse().ok()) else {
        return Ok(());
    };
    if !end_orphan(pid, &format!("-D {} ", cluster_dir.data().display()), &STOP_SIGNALS).await {
        let advice = format!("the server of an earlier run does not stop; end it with `kill -9 {pid}`");
        return Err(Error::DidNotStart(advice));
    }
    // A crash leaves this file, and the server refuses to start if another program has that process id now. Our lock prevents two
    // servers in one directory. So does the server's shared memory, which does not depend on this file.
    let _ = fs::remove_file(&path);
    Ok(())
}

/// Removes the files of a temporary cluster whose owner was killed.
async fn clear(cluster_dir: ClusterDir) -> Result<(), Error> {
    // Its owner creates these after taking the lock, so a directory without them may be one that is just being created.
    let begun = cluster_dir.data().exists() || cluster_dir.path.join("data.new").exists();
    if !begun {
        return Ok(());
    }
    match lock(&cluster_dir) {
        Ok(_lock) => {
            stop_orphan(&cluster_dir).await?;
            let _ = fs::remove_dir_all(&cluster_dir.path);
            Ok(())
        }
        Err(Error::AlreadyRunning(_)) => Ok(()),
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn free_port() -> Result<u16, Error> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    port.map(|address| address.port()).map_err(|e| Error::file("listen on", Path::new("127.0.0.1"), e))
}

/// Random bytes from the system, in hex.
///
/// # Errors
///
/// The system has no randomness.
pub fn random_hex(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(hex(&random))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
