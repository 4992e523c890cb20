//! `holdfast serve` runs the application, `holdfast migrate` updates the schema of a database, and the other commands are for
//! operators.

use std::io::Write as _;
use std::process::ExitCode;

use app::State;
use app::config::Config;
use app::operator::{self, Reason};
use authn::{Authn, Clock};
use authz::{Authorizer, Policies};
use secrecy::SecretString;
use tenancy::Db;
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage:
  holdfast serve     run the application (configuration: HOLDFAST_CONFIG, HOLDFAST__SECTION__KEY)

These read the URL of the database's owner from standard input:
  holdfast migrate                              create roles and tables
  holdfast lock USER --reason TEXT              lock an account (USER: its id, or its address where only one has it)
  holdfast unlock USER --reason TEXT            unlock it
  holdfast reset-factors USER --reason TEXT     remove the passkeys, authenticator app and recovery codes of a user
  holdfast events [--user ID] [--before ID]     100 events that belong to no organization, newest first, as lines of JSON
  holdfast re-encrypt                           encrypt under encryption.key what is still under encryption.previous_key";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => run().await,
        ["migrate"] => migrate().await,
        ["lock", user, "--reason", reason] => change(Change::Lock, user, reason).await,
        ["unlock", user, "--reason", reason] => change(Change::Unlock, user, reason).await,
        ["reset-factors", user, "--reason", reason] => change(Change::ResetFactors, user, reason).await,
        ["events"] => events(None, None).await,
        ["events", "--user", user] => events(Some(user), None).await,
        ["events", "--before", before] => events(None, Some(before)).await,
        ["events", "--user", user, "--before", before] => events(Some(user), Some(before)).await,
        ["re-encrypt"] => re_encrypt().await,
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
            {
                eprintln!("holdfast: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The URL of the database owner. It contains a password, and command-line arguments are visible in the process list.
fn owner_url() -> Result<SecretString, Failure> {
    Ok(std::io::read_to_string(std::io::stdin())?.trim().into())
}

async fn migrate() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    tenancy::migrate(&owner_url()?).await?;
    Ok(())
}

/// What an operator changes of an account.
#[derive(Clone, Copy)]
enum Change {
    Lock,
    Unlock,
    ResetFactors,
}

async fn change(what: Change, user: &str, reason: &str) -> Result<(), Failure> {
    let (reason, now) = (Reason::read(reason)?, Clock::system().now());
    let db = Db::connect_as_owner(owner_url()?).await?;
    let (id, done) = match what {
        Change::Lock => (operator::lock(&db, user, &reason, now).await?, "is locked"),
        Change::Unlock => (operator::unlock(&db, user, &reason).await?, "is unlocked"),
        Change::ResetFactors => (operator::reset_factors(&db, user, &reason, now).await?, "has no factors any more"),
    };
    writeln!(std::io::stdout(), "{id} {done}. It is recorded.")?;
    Ok(())
}

async fn events(user: Option<&str>, before: Option<&str>) -> Result<(), Failure> {
    let (user, before) = (user.map(str::parse).transpose()?, before.map(str::parse).transpose()?);
    operator::events(&Db::connect_as_owner(owner_url()?).await?, user, before, &mut std::io::stdout()).await?;
    Ok(())
}

async fn re_encrypt() -> Result<(), Failure> {
    let keys = encryption::KeyRing::new(&Config::read()?.encryption)?;
    operator::re_encrypt(&Db::connect_as_owner(owner_url()?).await?, &keys, &mut std::io::stdout()).await?;
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let config = Config::read()?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(EnvFilter::try_new(&config.log.filter)?)
        .with_writer(|| app::log::Bounded(std::io::stdout()))
        .init();
    let production = config.production();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;

    let keys = encryption::KeyRing::new(&config.encryption)?;
    let db = Db::connect(&config.database, production).await?;
    let url = &config.http.public_url;
    let authn = Authn::new(config.authn, url, app::ADDRESSES, production, keys.clone(), db.clone(), Clock::system())?;
    // In the background: a provider that is down must not stop the application from starting.
    let providers = authn.clone();
    tokio::spawn(async move { providers.check_providers().await });
    let registry = app::registry()?;
    let tokens = Tokens::new(config.tokens, url, registry.scopes(), keys, db.clone(), authn.clone())?;
    let mail = mail::Sender::new(&config.mail, production, db.clone())?;
    let worker = jobs::Worker::new(db.clone());
    worker.start(mail).await;
    worker.start(jobs::Janitor::new(db.clone(), config.retention, app::retention_rules(&registry))?).await;
    registry.start_jobs(&worker, &db, &authn).await;
    let decisions = audit::Decisions::start(db.clone());
    let policies = Policies::load(registry.policies())?;
    let authorizer = Authorizer::new(authn.clone(), tokens.clone(), decisions.clone(), policies);
    let readiness = app::Readiness::new(db.clone(), &config.http);
    let state = State::new(authn, authorizer, tokens, readiness, config.security, registry);
    let app = app::app(state, config.http.limits(production));

    let listener = TcpListener::bind(config.http.listen).await?;
    let proxies = config.http.proxies.unwrap_or_default();
    let believed = app::origin_of_requests(proxies);
    tracing::info!(address = %listener.local_addr()?, proxies, believed, "listening");
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping");
    };
    web::serve(listener, app, &config.http, stop).await;
    worker.close().await;
    let lost = decisions.close().await;
    db.close().await;
    if lost > 0 { Err(format!("{lost} policy decisions could not be recorded").into()) } else { Ok(()) }
}
