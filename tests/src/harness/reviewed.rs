//! Reviewed tables that are part of the documentation.

use std::fs;
use std::path::Path;

/// Compares the text with a file of the clone. `INSTA_UPDATE=always` writes it, as it does snapshots.
pub(crate) fn assert(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(path, text).unwrap();
        return;
    }
    let reviewed = fs::read_to_string(path).unwrap();
    let missing = |of: &str, other: &str, mark: &str| {
        let lines = of.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    let difference = missing(&reviewed, text, "-") + &missing(text, &reviewed, "+");
    assert!(
        reviewed == text,
        "{file} is not what the code says. Review this, then run INSTA_UPDATE=always bin/test reviewed:\n{difference}"
    );
}
