//! `holdfast serve` runs the application, `holdfast migrate` brings the schema of a database up to date.

use std::process::ExitCode;

use app::State;
use app::config::Config;
use authn::{Authn, Clock};
use authz::Authorizer;
use secrecy::SecretString;
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage:
  holdfast serve     run the application (configuration: HOLDFAST_CONFIG, HOLDFAST__SECTION__KEY)
  holdfast migrate   create roles and tables; reads the URL of the database's owner from standard input";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => run().await,
        ["migrate"] => migrate().await,
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

/// The URL holds a password, and arguments stand in the list of processes.
async fn migrate() -> Result<(), Failure> {
    let url = std::io::read_to_string(std::io::stdin())?;
    tenancy::migrate(&SecretString::from(url.trim())).await?;
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let config = Config::read()?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(EnvFilter::try_new(&config.log.filter)?)
        .init();
    let production = config.production();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;

    let keys = sealing::Keys::new(&config.sealing)?;
    let db = tenancy::Db::connect(&config.database, production).await?;
    let url = &config.http.public_url;
    let authn = Authn::new(config.authn, url, production, keys.clone(), db.clone(), Clock::system())?;
    // Beside the start: a provider that is down must not keep anything from starting.
    let providers = authn.clone();
    tokio::spawn(async move { providers.check_providers().await });
    let tokens = Tokens::new(config.tokens, url, app::scopes(), keys, db.clone(), authn.clone())?;
    let mail = mail::Sender::start(&config.mail, production, db.clone())?;
    let decisions = audit::Decisions::start(db.clone());
    let authorizer = Authorizer::new(authn.clone(), tokens.clone(), decisions.clone(), &app::policies())?;
    let app = app::app(State::new(authn, authorizer, tokens, db.clone(), config.security), config.http.limits());

    let listener = TcpListener::bind(config.http.listen).await?;
    tracing::info!(address = %listener.local_addr()?, "listening");
    let stop = async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping");
    };
    web::serve(listener, app, &config.http, stop).await;
    mail.close().await;
    let lost = decisions.close().await;
    db.close().await;
    if lost > 0 { Err(format!("{lost} policy decisions could not be recorded").into()) } else { Ok(()) }
}
