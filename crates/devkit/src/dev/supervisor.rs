//! Replaces the running version of the app after each edit.
//!
//! The running version stays until the new one has served a page. If the new one never does, the running version stays.

use std::future::pending;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::app::App;
use super::build::build;
use super::database::{Database, Preparation, prepare_with};
use super::edits::{Edits, Kind};
use super::launch::{Build, Launch};
use super::proxy::Proxy;
use super::watcher::Watcher;
use crate::say;

/// The running app, and everything that is needed to start it again. When it is dropped, the app stops before the database.
pub(super) struct Supervisor {
    /// `None` after a new version did not start on a new database.
    pub(super) app: Option<App>,
    pub(super) running: Option<Build>,
    pub(super) launch: Launch,
    pub(super) proxy: Proxy,
    pub(super) clone: PathBuf,
    /// This program's own file, which each build replaces.
    pub(super) devkit: PathBuf,
    pub(super) issuer: String,
    /// Edits that have not taken effect, because the build or the start failed.
    pub(super) outstanding: Edits,
    pub(super) database: Database,
}

impl Supervisor {
    /// Applies edits until the app ends by itself. Returns the message about that.
    pub(super) async fn follow(&mut self, mut watcher: Option<Watcher>) -> String {
        loop {
            let edits = tokio::select! {
                message = self.app_ended() => return message,
                edits = next(&mut watcher) => edits,
            };
            let action = if edits.only_settings() { "restarting" } else { "building" };
            say(&format!("{edits}; {action}..."));
            let all = self.outstanding.and(&edits);
            match self.apply(&all, watcher.as_mut()).await {
                Ok(()) => self.outstanding = Edits::default(),
                Err(problem) => {
                    self.outstanding = all;
                    self.report(&problem);
                }
            }
        }
    }

    async fn app_ended(&mut self) -> String {
        match &mut self.app {
            Some(app) => {
                let what = app.ended().await;
                app.complaint(&what)
            }
            None => pending().await,
        }
    }

    fn report(&self, problem: &str) {
        let rest = match &self.app {
            Some(_) => "The previous version is still running.",
            None => "No version is running. The next edit tries again.",
        };
        let separator = if problem.contains('\n') { '\n' } else { ' ' };
        say(&format!("{problem}{separator}{rest}"));
    }

    async fn apply(&mut self, edits: &Edits, watcher: Option<&mut Watcher>) -> Result<(), String> {
        let mut built = None;
        if !edits.only_settings() {
            let started = Instant::now();
            let result = build(&self.clone).await;
            if let Some(watcher) = watcher {
                watcher.forget_lockfile();
            }
            result?;
            built = Some(started.elapsed());
        }
        if edits.include(Kind::Migration) {
            self.migrate().await?;
        }
        let mut restarted = None;
        let mut old = None;
        if self.app.is_none() || self.running != self.launch.build() || edits.include(Kind::Settings) {
            let started = Instant::now();
            old = self.restart().await?;
            restarted = Some(started.elapsed());
        }
        say(&outcome(built, restarted));
        if edits.include(Kind::Runner) {
            say("crates/devkit is bin/dev itself: press Ctrl-C and start it again to use the new version.");
        }
        if let Some(old) = old {
            old.stop().await;
        }
        if edits.include(Kind::Migration) {
            self.database.drop_unused().await;
        }
        Ok(())
    }

    /// Starts the version that was built last, and sends requests to it. Returns the previous version.
    async fn restart(&mut self) -> Result<Option<App>, String> {
        let build = self.launch.build();
        let mut new = self.launch.start().map_err(|error| sentence(&error))?;
        if let Err(what) = new.first_page().await {
            return Err(format!("The new version {what}. Its output ends with:\n{}", new.last_lines()));
        }
        self.proxy.switch(new.port());
        self.running = build;
        Ok(self.app.replace(new))
    }

    /// Applies new migrations. If an applied one was edited, the database is created again.
    async fn migrate(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let Preparation::Outdated(reason) = self.prepare(&self.database.owner_url()).await? else {
            say(&format!("Updated the database in {}.", seconds(started.elapsed())));
            return Ok(());
        };
        let reason = sentence(&reason);
        let spare = self.database.create_spare().await.map_err(|error| format!("{reason} {}", sentence(&error)))?;
        say(&format!("{reason} Creating the database again, with the sample data only..."));
        self.replace_database(&spare).await?;
        say(&format!(
            "Created the database again in {}. Earlier data and sessions are gone.",
            seconds(started.elapsed())
        ));
        Ok(())
    }

    /// The database in use stays until the new one is complete. Then requests wait until the new version runs.
    async fn replace_database(&mut self, spare: &str) -> Result<(), String> {
        match self.prepare(spare).await? {
            Preparation::Ready => {}
            Preparation::Outdated(reason) => return Err(sentence(&reason)),
        }
        self.proxy.hold();
        if let Some(app) = self.app.take() {
            app.stop().await;
        }
        self.database.use_spare().await.map_err(|error| sentence(&error))
    }

    async fn prepare(&self, owner: &str) -> Result<Preparation, String> {
        prepare_with(&self.devkit, owner, &self.issuer).await.map_err(|error| sentence(&error))
    }
}

async fn next(watcher: &mut Option<Watcher>) -> Edits {
    match watcher {
        Some(watcher) => watcher.next().await,
        None => pending().await,
    }
}

/// The text with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.map(String::from).unwrap_or_default(), chars.as_str())
}

/// The message about what was done, and how long it took.
fn outcome(built: Option<Duration>, restarted: Option<Duration>) -> String {
    match (built.map(seconds), restarted.map(seconds)) {
        (Some(built), Some(restarted)) => format!("Built in {built}, restarted in {restarted}."),
        (Some(built), None) => format!("Built in {built}. The app did not change and keeps running."),
        (None, Some(restarted)) => format!("Restarted in {restarted}."),
        (None, None) => "Nothing to do.".to_owned(),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_a_sentence() {
        assert_eq!(sentence("the migrations fail: no such type"), "The migrations fail: no such type.");
        assert_eq!(sentence("The build failed."), "The build failed.");
        let (built, restarted) = (Some(Duration::from_millis(4_230)), Some(Duration::from_millis(290)));
        assert_eq!(outcome(built, restarted), "Built in 4.2 s, restarted in 0.3 s.");
        assert_eq!(outcome(built, None), "Built in 4.2 s. The app did not change and keeps running.");
        assert_eq!(outcome(None, restarted), "Restarted in 0.3 s.");
    }
}
