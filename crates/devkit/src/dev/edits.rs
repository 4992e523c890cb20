//! Which files are watched, and how an edit of one takes effect. Only the path decides.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// Cargo itself writes this file during a build.
pub(super) const LOCKFILE: &str = "Cargo.lock";

/// How an edit of a file takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The app is built again. Rust, templates, policies, styles, the default configuration, query data.
    Source,
    /// The app is built again, and the migration is applied.
    Migration,
    /// The app is started again, because it reads the file at its start.
    Settings,
    /// `bin/dev` must be started again, because this is its own code.
    Runner,
}

impl Kind {
    /// The kind of a file, by its path within the clone. `None` if nothing that runs depends on it.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if is_scratch(name) || path.extension().is_none() {
            return None;
        }
        let mut parts = path.iter().map(|part| part.to_str().unwrap_or_default());
        match (parts.next()?, parts.next()) {
            ("config", Some("dev.toml")) => Some(Self::Settings),
            ("migrations", Some(_)) => Some(Self::Migration),
            ("crates", Some("devkit")) => Some(Self::Runner),
            ("crates" | "templates" | "policies" | "config" | ".sqlx", Some(_)) | ("Cargo.toml" | LOCKFILE, None) => {
                Some(Self::Source)
            }
            _ => None,
        }
    }
}

/// Whether it is a temporary file of an editor or a test.
fn is_scratch(name: &str) -> bool {
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || name.contains("___jb_")
        || [".swp", ".tmp", ".snap", ".new"].iter().any(|end| name.ends_with(end))
}

/// The files that were edited since the last build, by their paths within the clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edits(BTreeSet<PathBuf>);

impl Edits {
    pub(super) fn add(&mut self, path: PathBuf) {
        self.0.insert(path);
    }

    /// Both together.
    #[must_use]
    pub(super) fn and(&self, others: &Self) -> Self {
        Self(&self.0 | &others.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a file of this kind is among them.
    pub(super) fn include(&self, kind: Kind) -> bool {
        self.0.iter().any(|path| Kind::of(path) == Some(kind))
    }

    /// Whether nothing needs to be compiled.
    pub(super) fn only_settings(&self) -> bool {
        self.0.iter().all(|path| Kind::of(path) == Some(Kind::Settings))
    }
}

impl fmt::Display for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map_or_else(|| "Nothing".into(), |path| path.to_string_lossy());
        match self.0.len() {
            0 | 1 => write!(f, "{first} changed"),
            2 => write!(f, "{first} and 1 other file changed"),
            count => write!(f, "{first} and {} other files changed", count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(paths: &[&str]) -> Edits {
        Edits(paths.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn what_is_compiled_in_is_built() {
        for path in [
            "Cargo.toml",
            "Cargo.lock",
            "crates/app/src/contacts/list.rs",
            "crates/app/Cargo.toml",
            "crates/tenancy/build.rs",
            "crates/web/assets/style.css",
            "crates/web/assets/passkeys.js",
            "templates/contacts/list.html",
            "policies/contacts.cedar",
            "policies/contacts.cedarschema",
            "config/default.toml",
            ".sqlx/query-0a1b.json",
        ] {
            assert_eq!(Kind::of(Path::new(path)), Some(Kind::Source), "{path}");
        }
    }

    #[test]
    fn migrations_settings_and_the_runner_are_told_apart() {
        assert_eq!(Kind::of(Path::new("migrations/0005_contacts.sql")), Some(Kind::Migration));
        assert_eq!(Kind::of(Path::new("migrations/roles.sql")), Some(Kind::Migration));
        assert_eq!(Kind::of(Path::new("config/dev.toml")), Some(Kind::Settings));
        assert_eq!(Kind::of(Path::new("crates/devkit/src/seed.rs")), Some(Kind::Runner));
        let both = edits(&["config/dev.toml", "migrations/0019_new.sql"]);
        assert!(both.include(Kind::Settings) && both.include(Kind::Migration) && !both.include(Kind::Source));
        assert!(!both.only_settings() && edits(&["config/dev.toml"]).only_settings());
    }

    #[test]
    fn what_nothing_running_depends_on_does_not_count() {
        for path in [
            "README.md",
            "tests/src/routes.rs",
            "docs/decisions/0001-one-door-to-transactions.md",
            "target/debug/holdfast.d",
            ".git/index.lock",
            ".dev/app.log",
            "bin/dev",
            "crates/app/src/contacts",
            "crates/app/src/4913",
            "crates/app/src/.list.rs.swp",
            "crates/app/src/.#list.rs",
            "crates/app/src/#list.rs#",
            "crates/app/src/list.rs~",
            "crates/app/src/list.rs___jb_tmp___",
            "crates/app/src/snapshots/app__list.snap.new",
            "",
        ] {
            assert_eq!(Kind::of(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_file_edited_twice_is_one_edit() {
        let mut once = Edits::default();
        assert!(once.is_empty());
        once.add("templates/a.html".into());
        once.add("templates/a.html".into());
        assert_eq!(once, edits(&["templates/a.html"]));
        let both = once.and(&edits(&["templates/a.html", "policies/a.cedar"]));
        assert_eq!(both, edits(&["policies/a.cedar", "templates/a.html"]));
    }

    #[test]
    fn edits_are_told_in_one_line() {
        assert_eq!(edits(&["a.rs"]).to_string(), "a.rs changed");
        assert_eq!(edits(&["a.rs", "b.rs"]).to_string(), "a.rs and 1 other file changed");
        assert_eq!(edits(&["c.rs", "a.rs", "b.rs"]).to_string(), "a.rs and 2 other files changed");
    }
}
