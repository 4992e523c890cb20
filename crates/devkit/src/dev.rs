//! `bin/dev`: everything the app needs on this machine, and the app.

mod app;
mod banner;
mod build;
mod database;
mod edits;
mod home;
mod launch;
mod ports;
mod proxy;
mod reload;
mod services;
mod supervisor;
mod watcher;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use self::app::App;
use self::banner::banner;
use self::database::Database;
pub(crate) use self::database::prepare_for_other;
use self::edits::Edits;
use self::home::Home;
use self::launch::Launch;
use self::proxy::Proxy;
use self::services::Listeners;
use self::supervisor::Supervisor;
use self::watcher::Watcher;
use crate::say;
use crate::signals::Signals;

/// How `devkit dev` was called.
#[derive(Default)]
pub(crate) struct Options {
    reset: bool,
    /// When `bin/dev` began, since 1970.
    started: Option<Duration>,
}

impl Options {
    /// `None` if the arguments are not valid.
    pub(crate) fn parse(mut arguments: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        loop {
            arguments = match arguments {
                [] => return Some(options),
                ["--reset", rest @ ..] => {
                    options.reset = true;
                    rest
                }
                ["--started", seconds, rest @ ..] => {
                    options.started = Some(Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?);
                    rest
                }
                _ => return None,
            };
        }
    }
}

/// Runs until Ctrl-C, or until the app ends, which is an error.
pub(crate) async fn run(options: Options, signals: &mut Signals) -> Result<ExitCode, String> {
    // The first future that ends drops the other one. That stops everything it has started, the app first.
    tokio::select! {
        Err(message) = everything(options) => Err(message),
        () = asked_to_stop(signals) => {
            say("Stopped.");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn asked_to_stop(signals: &mut Signals) {
    signals.next().await;
    say("\nStopping the app, the sign-in provider, the mailbox and the database...");
}

async fn everything(options: Options) -> Result<Infallible, String> {
    let started = options.started.unwrap_or_else(now);
    let clone = crate::clone_root()?;
    let devkit = std::env::current_exe()
        .map_err(|error| format!("cannot find this program's own file: {error}; start bin/dev again"))?;
    let home = Home::open(&clone)?;
    App::end_leftovers(home.path()).await?;
    // The watcher starts before everything slow, so that it also notices edits during the start.
    let watcher = Watcher::start(&clone)
        .inspect_err(|error| say(&format!("Edits are not noticed: {error}. Start bin/dev again after an edit.")))
        .ok();
    let database = Database::start(home.path(), options.reset).await?;
    let owner = database.owner_url();
    let listeners = Listeners::bind().await?;
    let listener = ports::listen("app", wanted_port()?).await?;
    let port = ports::address(&listener)?.port();
    let public_url = format!("http://localhost:{port}");

    database::prepare(&owner, &listeners.issuer()?).await?;
    let services = listeners.start(port).await?;
    let mut environment = vec![
        ("HOLDFAST_CONFIG", clone.join("config/dev.toml").display().to_string()),
        ("HOLDFAST__HTTP__PUBLIC_URL", public_url.clone()),
        ("HOLDFAST__DATABASE__URL", database.app_url().await?),
        ("HOLDFAST__ENCRYPTION__KEY", home.encryption_key()?),
    ];
    environment.extend(services.environment());
    let launch = Launch::new(devkit.with_file_name("holdfast"), home.path(), environment)?;
    let running = launch.build();
    let mut app = launch.start()?;
    if let Err(what) = app.first_page().await {
        return Err(app.complaint(&what));
    }
    let took = now().saturating_sub(started);

    let mut supervisor = Supervisor {
        proxy: Proxy::start(listener, app.port()),
        app: Some(app),
        running,
        launch,
        clone,
        devkit,
        issuer: services.issuer.clone(),
        outstanding: Edits::default(),
        database,
    };
    // Dropped before the supervisor, so that scripts find no addresses of services that are stopping.
    let _published = home.publish(&format!(
        "APP_URL={public_url}\nIDP_URL={}\nMAIL_URL=http://{}\nDATABASE_URL={owner}\n",
        services.issuer, services.mail
    ))?;
    say(&banner(&public_url, &services, &owner, took));
    Err(supervisor.follow(watcher).await)
}

fn wanted_port() -> Result<u16, String> {
    environment("PORT").map_or(Ok(3000), |port| {
        port.parse().map_err(|_| format!("PORT is {port:?}; set it to a number from 1 to 65535"))
    })
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> String {
    format!("{what} did not start: {error}; start bin/dev again")
}

#[expect(clippy::disallowed_methods, reason = "PORT and DATABASE_URL are for this program, not for the app")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "it measures the start of bin/dev and not the app")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
