//! Builds the app again, like `bin/dev`.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// Builds the app and this program, because its newest version prepares the database. Shows the messages of the compiler.
///
/// # Errors
/// If it does not build.
pub(super) async fn build(clone: &Path) -> Result<(), String> {
    let color = if stderr().is_terminal() { "always" } else { "never" };
    let output = Command::new("cargo")
        .args(["build", "--quiet", "--color", color, "--workspace", "--bin", "holdfast", "--bin", "devkit"])
        .current_dir(clone)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| format!("Cannot run cargo: {error}."))?;
    let _ = stderr().write_all(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    // The message of the macro names a command that this project does not use.
    let lacks_query_data = String::from_utf8_lossy(&output.stderr).contains("SQLX_OFFLINE");
    let advice = if lacks_query_data { " A query is new or has changed: run bin/sqlx." } else { "" };
    Err(format!("The build failed.{advice}"))
}
