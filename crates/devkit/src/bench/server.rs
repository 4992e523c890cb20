//! The two server processes of the benchmark.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use devkit::postgres::Cluster;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use super::{DATABASE_CONNECTIONS, Failure, bare};

/// The running product.
pub(super) struct Product {
    process: Child,
    pub(super) port: u16,
    /// How long it took from its start until it was ready.
    pub(super) start_time: Duration,
}

impl Product {
    /// Starts it, and waits until it is ready.
    pub(super) async fn start(clone: &Path, database: &str, log: &Path) -> Result<Self, Failure> {
        let port = free_port().await?;
        let started = Instant::now();
        let process = start_product(clone, port, database, log)?;
        ready(port).await?;
        Ok(Self { process, port, start_time: started.elapsed() })
    }

    pub(super) fn peak_memory_mb(&self) -> Result<u64, Failure> {
        peak_memory_mb(&self.process)
    }
}

/// The running server of the other lanes. It is stopped when it is dropped.
pub(super) struct BareServer {
    _process: Child,
    pub(super) port: u16,
}

impl BareServer {
    /// Starts it, and waits until it is ready. Its hand-written pages are as large as `page_bytes`.
    pub(super) async fn start(cluster: &Cluster, web: &str, page_bytes: f64) -> Result<Self, Failure> {
        let port = free_port().await?;
        let process = Command::new(std::env::current_exe()?)
            .args(["bench-bare", &port.to_string()])
            .env(bare::DATABASE, cluster.owner_url())
            .env(bare::WEB_DATABASE, web)
            .env(bare::PAGE_BYTES, format!("{page_bytes:.0}"))
            .kill_on_drop(true)
            .spawn()?;
        ready(port).await?;
        Ok(Self { _process: process, port })
    }
}

fn start_product(clone: &Path, port: u16, database: &str, log: &Path) -> Result<Child, Failure> {
    let program = std::env::current_exe()?.with_file_name("holdfast");
    let address = format!("127.0.0.1:{port}");
    Ok(Command::new(program)
        .arg("serve")
        .env("HOLDFAST_CONFIG", clone.join("config/dev.toml"))
        .env("HOLDFAST__HTTP__LISTEN", &address)
        .env("HOLDFAST__HTTP__PUBLIC_URL", format!("http://localhost:{port}"))
        .env("HOLDFAST__DATABASE__URL", database)
        .env("HOLDFAST__MAIL__URL", "smtp://127.0.0.1:9") // the benchmark sends no email
        .env("HOLDFAST__ENCRYPTION__KEY", devkit::seed::encryption_key()?)
        // No sign-in has to wait or needs a proof of work.
        .env("HOLDFAST__AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "60000")
        .env("HOLDFAST__AUTHN__LIMITS__FREE_PERCENT", "100")
        // One person, or one client, sends all requests of a lane.
        .env("HOLDFAST__HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__PERSON_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__ORGANIZATION_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__CLIENT_PER_MINUTE", "100000000")
        .env("HOLDFAST__DATABASE__MAX_CONNECTIONS", DATABASE_CONNECTIONS.to_string())
        .stdout(fs::File::create(log)?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

fn peak_memory_mb(child: &Child) -> Result<u64, Failure> {
    let pid = child.id().ok_or("the product has ended")?;
    let status = PathBuf::from(format!("/proc/{pid}/status"));
    let text = fs::read_to_string(&status)
        .map_err(|error| format!("{}: {error}; memory is measured on Linux", status.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

async fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// Waits until the server accepts connections. Both servers listen only after they are ready.
async fn ready(port: u16) -> Result<(), Failure> {
    let limit = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > limit {
            return Err(format!("nothing listens on port {port} after 30 s").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
