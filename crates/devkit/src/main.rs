//! The development runner behind `bin/dev`, `bin/test` and `bin/sqlx`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program's purpose is to tell people what it does")]

mod query_data;
mod signals;
mod with_postgres;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::signals::Signals;

const USAGE: &str = "usage: devkit with-postgres -- COMMAND [ARGUMENT…]   run a command with a temporary PostgreSQL
       devkit sqlx [--check]                          write, or compare, the query data in .sqlx";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot listen for Ctrl-C: {error}; start it again")),
    };
    let result = match arguments.as_slice() {
        ["with-postgres", "--", command @ ..] if !command.is_empty() => with_postgres::run(command, &mut signals).await,
        ["sqlx"] => query_data::run(false, &mut signals).await,
        ["sqlx", "--check"] => query_data::run(true, &mut signals).await,
        _ => return failed(USAGE),
    };
    result.unwrap_or_else(|message| failed(&message))
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// The clone this was started in.
fn clone_root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| format!("cannot tell the current directory: {error}"))?;
    here.ancestors()
        .find(|dir| dir.join("crates/devkit/Cargo.toml").is_file())
        .map(Path::to_owned)
        .ok_or_else(|| "this is no clone of the project; start bin/dev, bin/test or bin/sqlx inside one".to_owned())
}
