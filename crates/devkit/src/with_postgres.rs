//! Runs a command with a temporary PostgreSQL.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use devkit::postgres::Cluster;
use devkit::processes::signal;
use tokio::process::Command;

use crate::signals::Signals;

/// Runs the command with the superuser's `TEST_DATABASE_URL` in its environment. Returns the exit code of the command.
pub(crate) async fn run(program: &str, arguments: &[&str], signals: &mut Signals) -> Result<ExitCode, String> {
    let cluster = tokio::select! {
        cluster = Cluster::temporary() => cluster.map_err(|error| error.to_string())?,
        _ = signals.next() => return Ok(ExitCode::FAILURE),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("TEST_DATABASE_URL", cluster.owner_url())
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}; check that it is installed"))?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| format!("cannot wait for {program}: {error}; try again"))?;
                return Ok(exit_code(status));
            }
            name = signals.next() => if let Some(pid) = child.id() {
                signal(pid, name);
            }
        }
    }
}

/// The exit code of a command as a shell reports it: 128 plus the signal, if a signal ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
