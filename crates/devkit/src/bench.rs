//! `bin/bench`: the cost of everything that is always on, as ratios to what a careful person writes by hand.
//!
//! The product serves the contacts list (session, membership, policies, row-level security, decision record, headers, HTML, log).
//! Another process serves the same list in three other ways, on the same PostgreSQL: hand-written pages (`hand_written`), only the
//! transaction of the product, and the bare query. `wrk` runs against each of the four in turn. Before and after each run, the page of
//! every session must be complete, and during a run the bytes must be those of complete pages. At the end an API client requests the
//! same list, to measure its token, and people sign in with passkeys.

pub(crate) mod bare;
mod data;
mod hand_written;
mod http;
mod lane;
mod passkey;
mod query;
mod report;
mod server;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use devkit::postgres::Cluster;
use secrecy::SecretString;

use self::data::{CONTACTS, Client, Request, TENANTS};
use self::lane::{Lane, Run};
use self::passkey::Passkey;
use self::report::{Costs, Report, Runs};
use self::server::{BareServer, Product};
use crate::say;
use crate::signals::Signals;

/// Connections of `wrk` to each server.
const CONNECTIONS: u32 = 16;
/// Connections of each server to the database: as many as two cores can use. More of them only take turns.
pub(crate) const DATABASE_CONNECTIONS: u32 = 6;
const RUNS: usize = 5;
const SECONDS: u32 = 8;

type Failure = Box<dyn std::error::Error>;

/// Runs the benchmark, or stops at a signal.
pub(crate) async fn run(signals: &mut Signals) -> Result<ExitCode, String> {
    tokio::select! {
        result = measure() => result.map_err(|error| format!("the benchmark did not finish: {error}")),
        _ = signals.next() => Ok(ExitCode::FAILURE),
    }
}

async fn measure() -> Result<ExitCode, Failure> {
    let clone = crate::clone_root()?;
    let home = clone.join(".dev/bench");
    fs::create_dir_all(&home)?;
    let cluster = start_database(&home).await?;
    let owner = cluster.owner_url();
    say(&format!("Writing {TENANTS} organizations with {CONTACTS} contacts each..."));
    let requests = data::fill(&owner).await?;
    let client = Client::create(&owner, requests.first().ok_or("no organization")?).await?;

    let (log, web) = (home.join("app.log"), cluster.login("web").await?);
    let product = Product::start(&clone, &web, &log).await?;
    let product_lane = Lane::new(&home, "product", product.port, &requests, Request::product).await?;
    let bare = BareServer::start(&cluster, &web, product_lane.bytes).await?;
    let lanes = Lanes {
        product: product_lane,
        hand_written: Lane::new(&home, "hand-written", bare.port, &requests, Request::hand_written).await?,
        bound: Lane::new(&home, "bound", bare.port, &requests, Request::bound).await?,
        bare: Lane::new(&home, "bare", bare.port, &requests, Request::bare).await?,
    };
    let runs = lanes.run_all().await?;
    say(&format!("The same for a client of the API, without HTML: {}", run_api(&home, &client, product.port).await?));
    let sign_ins = run_sign_ins(product.port, &requests).await?;
    let (memory_mb, start_time) = (product.peak_memory_mb()?, product.start_time);
    drop((product, bare));
    let costs = Costs::read(&log)?;
    say(&Report { runs, memory_mb, start_time, costs, sign_ins }.table());
    Ok(ExitCode::SUCCESS)
}

/// An empty database with the schema of the product.
async fn start_database(home: &Path) -> Result<Cluster, Failure> {
    let data = home.join("postgres");
    Cluster::erase(&data).await?;
    say("Starting a private PostgreSQL...");
    let cluster = Cluster::start(&data).await?;
    tenancy::migrate(&SecretString::from(cluster.owner_url())).await?;
    Ok(cluster)
}

struct Lanes {
    product: Lane,
    hand_written: Lane,
    bound: Lane,
    bare: Lane,
}

impl Lanes {
    /// Runs all lanes in turn, once to warm up and then [`RUNS`] times.
    async fn run_all(&self) -> Result<Vec<Runs>, Failure> {
        self.run().await?;
        say("Warmed up.");
        let mut all = Vec::new();
        for number in 1..=RUNS {
            let runs = self.run().await?;
            let Runs { product, hand_written, bound, bare } = &runs;
            say(&format!(
                "Run {number} of {RUNS}: everything {product}; hand-written {hand_written}; bound {bound}; bare {bare}"
            ));
            all.push(runs);
        }
        Ok(all)
    }

    async fn run(&self) -> Result<Runs, Failure> {
        Ok(Runs {
            product: self.product.run().await?,
            hand_written: self.hand_written.run().await?,
            bound: self.bound.run().await?,
            bare: self.bare.run().await?,
        })
    }
}

/// Requests the list as an API client.
async fn run_api(home: &Path, client: &Client, port: u16) -> Result<Run, Failure> {
    let script = home.join("api.lua");
    fs::write(&script, client.script(&client.token(port).await?))?;
    Ok(lane::wrk(port, &script).await?.0)
}

/// Signs in with one passkey for each connection of `wrk`.
async fn run_sign_ins(port: u16, requests: &[Request]) -> Result<Run, Failure> {
    let mut passkeys = Vec::new();
    for request in requests.iter().take(usize::try_from(CONNECTIONS)?) {
        passkeys.push(Passkey::enrol(port, &request.product().1).await?);
    }
    passkey::measure(passkeys, Duration::from_secs(SECONDS.into())).await
}
