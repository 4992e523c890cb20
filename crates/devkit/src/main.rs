//! The development runner behind `bin/dev`, `bin/test` and `bin/sqlx`.

#[cfg(feature = "product")]
mod bench;
#[cfg(feature = "product")]
mod dev;
mod query_data;
mod signals;
mod with_postgres;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::signals::Signals;

const USAGE: &str = "\
usage: bin/dev [--reset]                              run everything on this machine
       bin/sqlx [--check]                             write, or compare, the query data in .sqlx
       bin/bench                                      measure what the guards cost
       devkit with-postgres -- COMMAND [ARGUMENT...]  run a command with a temporary PostgreSQL";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot listen for Ctrl-C: {error}; start it again")),
    };
    run(&arguments, &mut signals).await.unwrap_or_else(|message| failed(&message))
}

async fn run(arguments: &[&str], signals: &mut Signals) -> Result<ExitCode, String> {
    match arguments {
        #[cfg(feature = "product")]
        ["dev", rest @ ..] => dev::run(dev::Options::parse(rest).ok_or(USAGE)?, signals).await,
        #[cfg(feature = "product")]
        ["prepare-database", issuer] => dev::prepare_for_other(issuer).await,
        #[cfg(feature = "product")]
        ["bench"] => bench::run(signals).await,
        #[cfg(feature = "product")]
        ["bench-bare", port] => bench::bare::serve(port).await,
        ["with-postgres", "--", program, rest @ ..] => with_postgres::run(program, rest, signals).await,
        ["sqlx"] => query_data::run(false, signals).await,
        ["sqlx", "--check"] => query_data::run(true, signals).await,
        _ => Err(USAGE.to_owned()),
    }
}

/// Prints a message. The terminal may already be closed, so errors are ignored.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn failed(message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
    ExitCode::FAILURE
}

/// The clone that this program was started in.
fn clone_root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| format!("cannot find the current directory: {error}"))?;
    here.ancestors()
        .find(|dir| dir.join("crates/devkit/Cargo.toml").is_file())
        .map(Path::to_owned)
        .ok_or_else(|| "this is not a clone of the project; start bin/dev, bin/test or bin/sqlx inside one".to_owned())
}
