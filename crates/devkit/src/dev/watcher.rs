//! Notices edits of the clone.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::edits::{Edits, Kind, LOCKFILE};

/// The directories that are watched recursively. Of the clone's own directory, only the files are watched.
const DIRECTORIES: [&str; 6] = ["crates", "templates", "policies", "migrations", "config", ".sqlx"];
/// Edits that follow each other faster than this count as one, for example if an editor saves all files.
const QUIET: Duration = Duration::from_millis(100);

/// Watches the clone until it is dropped.
pub(super) struct Watcher {
    _notify: RecommendedWatcher,
    queue: Queue,
}

/// Edits that are not applied yet.
struct Queue {
    paths: UnboundedReceiver<PathBuf>,
    waiting: Edits,
}

impl Watcher {
    /// Starts to watch.
    ///
    /// # Errors
    /// If the system cannot watch as many directories, or one is missing.
    pub(super) fn start(clone: &Path) -> notify::Result<Self> {
        // The system reports paths without symbolic links.
        let clone = clone.canonicalize()?;
        let (sender, paths) = unbounded_channel();
        let root = clone.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for path in edited(&root, event) {
                // The receiver is gone when everything stops.
                let _ = sender.send(path);
            }
        })?;
        watcher.watch(&clone, RecursiveMode::NonRecursive)?;
        for directory in DIRECTORIES {
            watcher.watch(&clone.join(directory), RecursiveMode::Recursive)?;
        }
        Ok(Self { _notify: watcher, queue: Queue { paths, waiting: Edits::default() } })
    }

    /// Waits for edits, and then until there are none for a moment.
    pub(super) async fn next(&mut self) -> Edits {
        self.queue.next().await
    }

    /// Drops edits of the lockfile so far, because cargo made them in the build that has ended.
    pub(super) fn forget_lockfile(&mut self) {
        self.queue.forget_lockfile();
    }
}

impl Queue {
    async fn next(&mut self) -> Edits {
        let mut edits = std::mem::take(&mut self.waiting);
        loop {
            let path = if edits.is_empty() {
                self.paths.recv().await
            } else {
                let Ok(path) = timeout(QUIET, self.paths.recv()).await else { return edits };
                path
            };
            match path {
                Some(path) => edits.add(path),
                None => return pending().await,
            }
        }
    }

    fn forget_lockfile(&mut self) {
        while let Ok(path) = self.paths.try_recv() {
            if path != Path::new(LOCKFILE) {
                self.waiting.add(path);
            }
        }
    }
}

/// The watched files of an event, by their paths within the clone.
fn edited(clone: &Path, event: notify::Result<Event>) -> Vec<PathBuf> {
    let Ok(event) = event else { return Vec::new() };
    if event.need_rescan() {
        // There were more edits than the system can report. Cargo finds the edited sources, and migrations are checked again.
        return vec!["Cargo.toml".into(), "migrations/roles.sql".into()];
    }
    if matches!(event.kind, EventKind::Access(_)) {
        return Vec::new();
    }
    let within = event.paths.iter().filter_map(|path| path.strip_prefix(clone).ok());
    within.filter(|path| Kind::of(path).is_some()).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn reading_is_no_edit_and_everything_else_is() {
        let clone = Path::new("/clone");
        let event = |kind| Ok(Event::new(kind).add_path("/clone/crates/app/src/a.rs".into()));
        assert!(edited(clone, event(EventKind::Access(AccessKind::Any))).is_empty());
        for kind in [
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::File),
        ] {
            assert_eq!(edited(clone, event(kind)), [PathBuf::from("crates/app/src/a.rs")]);
        }
        let elsewhere = Event::new(EventKind::Any).add_path("/other/crates/app/src/a.rs".into());
        assert!(edited(clone, Ok(elsewhere)).is_empty());
        assert!(edited(clone, Err(notify::Error::generic("gone"))).is_empty());
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(edited(clone, Ok(overflow)).iter().all(|path| Kind::of(path).is_some()));
    }

    #[tokio::test]
    async fn edits_that_follow_each_other_come_together() {
        let (sender, paths) = unbounded_channel();
        let mut queue = Queue { paths, waiting: Edits::default() };
        for path in ["policies/a.cedar", "templates/b.html", "policies/a.cedar"] {
            sender.send(path.into()).unwrap();
        }
        assert_eq!(queue.next().await.to_string(), "policies/a.cedar and 1 other file changed");
        // Cargo wrote the lockfile during a build; somebody edited a template.
        for path in [LOCKFILE, "templates/b.html"] {
            sender.send(path.into()).unwrap();
        }
        queue.forget_lockfile();
        assert_eq!(queue.next().await.to_string(), "templates/b.html changed");
        sender.send(LOCKFILE.into()).unwrap();
        assert_eq!(queue.next().await.to_string(), "Cargo.lock changed");
    }

    #[tokio::test]
    async fn edits_are_noticed_in_every_way_that_an_editor_saves() {
        let clone = std::env::temp_dir().join(format!("holdfast-watcher-{}", std::process::id()));
        for directory in DIRECTORIES {
            fs::create_dir_all(clone.join(directory)).unwrap();
        }
        let mut watcher = Watcher::start(&clone).unwrap();
        let mut expected = Edits::default();
        for path in ["Cargo.lock", "policies/a.cedar", "templates/b.html", "crates/c.rs"] {
            expected.add(path.into());
        }
        fs::write(clone.join("Cargo.lock"), "1").unwrap();
        // The editor writes a file beside it, and then renames that one.
        fs::write(clone.join("policies/a.cedar.tmp"), "1").unwrap();
        fs::rename(clone.join("policies/a.cedar.tmp"), clone.join("policies/a.cedar")).unwrap();
        fs::write(clone.join("README.md"), "1").unwrap();
        fs::write(clone.join("templates/b.html"), "1").unwrap();
        fs::write(clone.join("crates/c.rs"), "1").unwrap();
        fs::remove_file(clone.join("crates/c.rs")).unwrap();
        let mut seen = Edits::default();
        while seen != expected {
            seen = seen.and(&timeout(Duration::from_secs(10), watcher.next()).await.unwrap());
        }
        fs::remove_dir_all(&clone).unwrap();
    }
}
