//! `bin/dev`: everything the app needs on this machine, and the app.

mod app;
mod ports;

use std::convert::Infallible;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use devkit::idp::{Client, Idp, Person};
use devkit::mailbox::Mailbox;
use devkit::postgres::{Cluster, Error, random_hex};
use devkit::processes::{Lock, LockError};
use devkit::seed;
use secrecy::SecretString;
use url::Url;

use self::app::App;
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
    /// `None` where the arguments are not ours.
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
    // Whatever ends first: dropping the other future stops all that it has started, the app first.
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
    let home = clone.join(".dev");
    make_private(&home)?;
    let _lock = Lock::take(&home.join("lock")).map_err(|error| match error {
        LockError::Held(pid) => Error::AlreadyRunning(pid).to_string(),
        LockError::File(error) => cannot("lock", &home, &error),
    })?;
    // What a run that was killed has left behind.
    let _ = fs::remove_file(home.join("env"));
    App::end_leftover(&home).await?;
    let database = Database::start(&home, options.reset).await?;
    let owner = database.owner_url();

    let provider = ports::listen("sign-in provider", 3001).await?;
    let mail = ports::listen("mail", 3002).await?;
    let smtp = ports::listen("SMTP", 2525).await?;
    let wanted = match environment("PORT") {
        None => 3000,
        Some(port) => port.parse().map_err(|_| format!("PORT is {port:?}; set it to a number from 1 to 65535"))?,
    };
    let app_port = ports::choose("app", wanted)?;
    let (mail_address, smtp_address) = (ports::address(&mail)?, ports::address(&smtp)?);
    let issuer = format!("http://{}", ports::address(&provider)?);

    prepare(&owner, &issuer).await?;
    let people = seed::people();
    let idp = Idp::start(provider, people.clone()).await.map_err(|error| failed("the sign-in provider", &error))?;
    let _mailbox = Mailbox::start(smtp, mail).map_err(|error| failed("the mailbox", &error))?;

    let secret = random_hex(24).map_err(|error| failed("the sign-in provider", &error))?;
    let public_url = format!("http://localhost:{app_port}");
    idp.register(Client {
        id: "holdfast".to_owned(),
        secret: secret.clone(),
        redirect_uris: vec![format!("{public_url}/sign-in/dev/callback")],
        post_logout_redirect_uris: vec![format!("{public_url}/signed-out")],
        backchannel_logout_uri: Some(format!("http://127.0.0.1:{app_port}/sign-in/dev/back-channel-logout")),
    });
    let mut app = App::start(
        app_port,
        &home,
        &[
            ("HOLDFAST_CONFIG", clone.join("config/dev.toml").display().to_string()),
            ("HOLDFAST__HTTP__LISTEN", format!("127.0.0.1:{app_port}")),
            ("HOLDFAST__HTTP__PUBLIC_URL", public_url.clone()),
            ("HOLDFAST__DATABASE__URL", database.app_url().await?),
            ("HOLDFAST__MAIL__URL", format!("smtp://{smtp_address}")),
            ("HOLDFAST__SEALING__KEY", sealing_key(&home)?),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__NAME", "Development sign-in".to_owned()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__ISSUER", issuer.clone()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__CLIENT_ID", "holdfast".to_owned()),
            ("HOLDFAST__AUTHN__PROVIDERS__DEV__CLIENT_SECRET", secret),
        ],
    )?;
    app.first_page().await?;
    let took = now().saturating_sub(started);

    let _published = Published::write(
        &home.join("env"),
        &format!("APP_URL={public_url}\nIDP_URL={issuer}\nMAIL_URL=http://{mail_address}\nDATABASE_URL={owner}\n"),
    )?;
    say(&format!(
        "
Holdfast is running.

  App       {public_url}
  Sign-in   {issuer}
  Mail      http://{mail_address}   (SMTP at {smtp_address})
  Database  {}   (with its password: .dev/env)
{}
  First page after {:.1} s. The app's log is in .dev/app.log; its warnings and errors also follow here.
  Ctrl-C stops everything.
",
        without_password(&owner),
        personas(&people),
        took.as_secs_f64(),
    ));
    Err(app.ended().await)
}

/// Brings the schema up to date and fills an empty database.
async fn prepare(owner: &str, issuer: &str) -> Result<(), String> {
    let advice = "correct that, or start over with `bin/dev --reset`";
    tenancy::migrate(&SecretString::from(owner.to_owned()))
        .await
        .map_err(|error| format!("the migrations fail: {error}; {advice}"))?;
    seed::seed(owner, issuer).await.map_err(|error| format!("the data to look around with fails: {error}; {advice}"))
}

/// The database of this run.
enum Database {
    /// `DATABASE_URL`: somebody else's, used as it is.
    Given(String),
    Private(Box<Cluster>),
}

impl Database {
    async fn start(home: &Path, reset: bool) -> Result<Self, String> {
        if let Some(url) = environment("DATABASE_URL") {
            return if reset {
                Err("--reset deletes the private database only; unset DATABASE_URL, or empty that one yourself"
                    .to_owned())
            } else {
                Ok(Self::Given(url))
            };
        }
        let dir = home.join("postgres");
        if reset {
            Cluster::erase(&dir).await.map_err(|error| error.to_string())?;
            say("Deleted the data of earlier runs.");
        }
        let cluster = Cluster::start(&dir).await.map_err(|error| error.to_string())?;
        if cluster.dir() != dir {
            say(&format!(
                "The database's files are in {}: PostgreSQL does not run as root, and its user cannot reach {}.",
                cluster.dir().display(),
                home.display(),
            ));
        }
        Ok(Self::Private(Box::new(cluster)))
    }

    fn owner_url(&self) -> String {
        match self {
            Self::Given(url) => url.clone(),
            Self::Private(cluster) => cluster.owner_url(),
        }
    }

    async fn app_url(&self) -> Result<String, String> {
        match self {
            Self::Given(url) => Ok(url.clone()),
            Self::Private(cluster) => cluster.login("web").await.map_err(|error| error.to_string()),
        }
    }
}

/// The file that tells scripts where everything is. Dropped, it is deleted, because then nothing is there.
struct Published(PathBuf);

impl Published {
    fn write(path: &Path, text: &str) -> Result<Self, String> {
        let unfinished = path.with_extension("new");
        let _ = fs::remove_file(&unfinished);
        let mut open = OpenOptions::new();
        open.write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&unfinished, path))
            .map_err(|error| cannot("write", path, &error))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn make_private(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
        .map_err(|error| cannot("create", dir, &error))
}

/// The key of earlier runs, since the database of earlier runs is sealed with it, or a new one.
fn sealing_key(home: &Path) -> Result<String, String> {
    let path = home.join("sealing-key");
    match fs::read_to_string(&path) {
        Ok(key) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = seed::sealing_key().map_err(|error| failed("the app", &error))?;
            let mut open = OpenOptions::new();
            open.write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| file.write_all(key.as_bytes()))
                .map_err(|error| cannot("write", &path, &error))?;
            Ok(key)
        }
        Err(error) => Err(cannot("read", &path, &error)),
    }
}

fn personas(people: &[Person]) -> String {
    let width = people.iter().map(|person| person.name.chars().count()).max().unwrap_or(0);
    let line = |person: &Person| format!("    {:width$}  {}\n", person.name, person.about);
    if people.is_empty() {
        String::new()
    } else {
        "\n  Sign in as\n".to_owned() + &people.iter().map(line).collect::<String>()
    }
}

fn without_password(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "as in DATABASE_URL".to_owned() };
    let _ = url.set_password(None);
    url.set_query(None);
    url.into()
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> String {
    format!("{what} did not start: {error}; start bin/dev again")
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {action} {}: {error}; check who owns it and that the disk is not full", path.display())
}

#[expect(clippy::disallowed_methods, reason = "PORT and DATABASE_URL are for this program, not for the app")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "measures a start, nothing in the app")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
