use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use super::Database;

const START: Duration = Duration::from_secs(20);

/// `PgBouncer` in transaction mode in front of one database. Dropped, it is gone.
pub(crate) struct PgBouncer {
    child: Child,
    dir: PathBuf,
    /// The application's way in through it.
    pub(crate) web_url: String,
}

impl PgBouncer {
    /// Starts one that holds at most `connections` to the database, with any number of clients.
    pub(crate) async fn start(database: &Database, connections: usize) -> Self {
        let server = Url::parse(&database.web_url).unwrap();
        let dir = std::env::temp_dir().join(format!("holdfast-pgbouncer-{}", Uuid::now_v7().simple()));
        fs::create_dir(&dir).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = plain\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {connections}\n\
             max_client_conn = 200\nignore_startup_parameters = extra_float_digits\n",
            server.port().unwrap(),
            dir.join("users").display(),
        );
        fs::write(dir.join("pgbouncer.ini"), config).unwrap();
        fs::write(dir.join("users"), format!("\"web\" \"{}\"\n", server.password().unwrap())).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();

        let mut command = Command::new(program());
        command.arg(dir.join("pgbouncer.ini")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if fs::metadata(&dir).unwrap().uid() == 0 {
            // It refuses to run as root.
            let (uid, gid) = somebody();
            for path in [&dir, &dir.join("pgbouncer.ini"), &dir.join("users")] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
            command.uid(uid).gid(gid);
        }
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        let child = command.spawn().expect("pgbouncer is there: bin/test installs it");

        let mut url = server;
        url.set_port(Some(port)).unwrap();
        let mut pooler = Self { child, dir, web_url: url.into() };
        pooler.answers().await;
        pooler
    }

    async fn answers(&mut self) {
        let started = Instant::now();
        while PgConnection::connect(&self.web_url).await.is_err() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap();
            assert!(self.child.try_wait().unwrap().is_none() && started.elapsed() < START, "{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Debian keeps it out of the path of ordinary users.
fn program() -> &'static Path {
    let debian = Path::new("/usr/sbin/pgbouncer");
    if debian.exists() { debian } else { Path::new("pgbouncer") }
}

fn somebody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with(name))?.split(':').collect();
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    user("postgres:").or_else(|| user("nobody:")).unwrap()
}
