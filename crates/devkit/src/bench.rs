//! `bin/bench`: what everything that is always on costs, as ratios to a handler that does without.
//!
//! The real program serves the contacts list (session, membership, policies, row-level security, decision record, headers,
//! HTML, log) beside a bare axum and sqlx handler that runs the same query with the same number of connections on the
//! same PostgreSQL, and beside what a careful person writes without a base (`hand_written`). Both are processes of their
//! own; `wrk` asks each in turn. Before and after each run, every session's page must be a whole one, and during the run the
//! bytes must be those of whole pages. At the end a client of the API asks for the same list, for what its token costs, and
//! people sign in with passkeys.

pub(crate) mod bare;
mod hand_written;
mod http;
mod passkey;
mod query;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use devkit::postgres::Cluster;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use uuid::Uuid;

use self::passkey::Passkey;
use crate::say;
use crate::signals::Signals;

/// Connections of `wrk` to each server.
const CONNECTIONS: u32 = 16;
/// Connections of each server to the database: as many as two cores can use. More of them only take turns.
pub(crate) const DATABASE_CONNECTIONS: u32 = 6;
const TENANTS: i32 = 1_000;
const CONTACTS: i32 = 200;
/// Organizations that are asked in turn, each with a session of its own.
const ASKED: i64 = 100;
const RUNS: usize = 5;
const SECONDS: u32 = 8;

type Failure = Box<dyn std::error::Error>;

/// What one run of `wrk` saw.
#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    p99_ms: f64,
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} requests/s, p99 {:.1} ms", self.per_second, self.p99_ms)
    }
}

/// One turn of each: everything the product does; what is written by hand; only the product's transaction and binding; the
/// bare query.
struct Runs {
    product: Run,
    hand_written: Run,
    bound: Run,
    bare: Run,
}

/// A server and what is asked of it.
struct Lane {
    port: u16,
    script: PathBuf,
    pages: Vec<(String, String)>,
    /// Mean size of a whole answer.
    bytes: f64,
}

/// How far the bytes of a run may be from those of whole answers: heads differ a little, and `wrk` rounds.
const TOLERANCE: f64 = 0.02;

impl Lane {
    async fn new(
        home: &Path,
        name: &str,
        port: u16,
        requests: &[Request],
        of: impl Fn(&Request) -> (String, String),
    ) -> Result<Self, Failure> {
        let (script, pages) = (home.join(format!("{name}.lua")), requests.iter().map(of).collect::<Vec<_>>());
        fs::write(&script, lua(&pages))?;
        let mut lane = Self { port, script, pages, bytes: 0.0 };
        lane.bytes = lane.check().await?;
        Ok(lane)
    }

    /// Reads each page once. All must be 200, and have the rows of the list. Returns their mean size.
    async fn check(&self) -> Result<f64, Failure> {
        let mut bytes = 0;
        for (path, cookie) in &self.pages {
            let answer = http::get(self.port, path, cookie).await?;
            let rows = answer.body.matches("@example.com").count();
            if answer.status != 200 || rows < 20 {
                return Err(
                    format!("{path}: {} with {rows} rows; all answers must be whole pages", answer.status).into()
                );
            }
            bytes += answer.bytes();
        }
        Ok(f64::from(u32::try_from(bytes)?) / f64::from(u32::try_from(self.pages.len())?))
    }

    async fn run(&self) -> Result<Run, Failure> {
        let (run, mean_bytes) = wrk(self.port, &self.script).await?;
        self.check().await?;
        let whole = mean_bytes / self.bytes;
        if (whole - 1.0).abs() > TOLERANCE {
            let (got, expected) = (mean_bytes, self.bytes);
            return Err(format!(
                "answers had {got:.0} bytes, whole ones have {expected:.0}: not every answer was a page"
            )
            .into());
        }
        Ok(run)
    }
}

/// Measures, or stops when asked to.
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
    let data = home.join("postgres");
    Cluster::erase(&data).await?;
    say("Starting a private PostgreSQL...");
    let cluster = Cluster::start(&data).await?;
    let owner = cluster.owner_url();
    tenancy::migrate(&SecretString::from(owner.clone())).await?;
    say(&format!("Writing {TENANTS} organizations with {CONTACTS} contacts each..."));
    let requests = fill(&owner).await?;
    let client = Client::make(&owner, requests.first().ok_or("no organization")?).await?;

    let (product_port, bare_port) = (free_port().await?, free_port().await?);
    let log = home.join("app.log");
    let web = cluster.login("web").await?;

    let started = Instant::now();
    let product = start_product(&clone, product_port, &web, &log)?;
    ready(product_port).await?;
    let start_time = started.elapsed();
    let product_lane = Lane::new(&home, "product", product_port, &requests, Request::product).await?;
    let bare = Command::new(std::env::current_exe()?)
        .args(["bench-bare", &bare_port.to_string()])
        .env(bare::DATABASE, &owner)
        .env(bare::WEB_DATABASE, &web)
        .env(bare::PAGE_BYTES, format!("{:.0}", product_lane.bytes))
        .kill_on_drop(true)
        .spawn()?;
    ready(bare_port).await?;
    let hand_written_lane = Lane::new(&home, "hand-written", bare_port, &requests, Request::hand_written).await?;
    let bound_lane = Lane::new(&home, "bound", bare_port, &requests, Request::bound).await?;
    let bare_lane = Lane::new(&home, "bare", bare_port, &requests, Request::bare).await?;

    let mut runs = Vec::new();
    for number in 0..=RUNS {
        let run = Runs {
            product: product_lane.run().await?,
            hand_written: hand_written_lane.run().await?,
            bound: bound_lane.run().await?,
            bare: bare_lane.run().await?,
        };
        if number == 0 {
            say("Warmed up.");
            continue;
        }
        let Runs { product, hand_written, bound, bare } = &run;
        say(&format!(
            "Run {number} of {RUNS}: everything {product}; hand-written {hand_written}; bound {bound}; bare {bare}"
        ));
        runs.push(run);
    }
    let api_script = home.join("api.lua");
    fs::write(&api_script, client.script(&client.token(product_port).await?))?;
    say(&format!("The same for a client of the API, without HTML: {}", wrk(product_port, &api_script).await?.0));
    let mut passkeys = Vec::new();
    for request in requests.iter().take(usize::try_from(CONNECTIONS)?) {
        passkeys.push(Passkey::enrol(product_port, &request.product().1).await?);
    }
    let sign_ins = passkey::measure(passkeys, Duration::from_secs(SECONDS.into())).await?;
    let memory = peak_memory_mb(&product)?;
    drop((product, bare));
    let costs = Costs::read(&log)?;
    say(&table(&runs, memory, start_time, &costs, sign_ins));
    Ok(ExitCode::SUCCESS)
}

/// A request of the benchmark: one organization, its workspace, and the session of its owner.
struct Request {
    tenant: Uuid,
    workspace: Uuid,
    token: String,
}

impl Request {
    fn product(&self) -> (String, String) {
        (format!("/o/{}/w/{}/contacts", self.tenant, self.workspace), format!("__Host-Http-session={}", self.token))
    }

    fn hand_written(&self) -> (String, String) {
        (format!("/hand-written/{}/{}", self.tenant, self.workspace), self.product().1)
    }

    fn bound(&self) -> (String, String) {
        (format!("/bound/{}/{}", self.tenant, self.workspace), self.product().1)
    }

    fn bare(&self) -> (String, String) {
        (format!("/{}/{}", self.tenant, self.workspace), String::new())
    }
}

async fn fill(owner: &str) -> Result<Vec<Request>, Failure> {
    let mut connection = PgConnection::connect(owner).await?;
    for statement in [
        "create temporary table places as
           select number, gen_random_uuid() as tenant, gen_random_uuid() as workspace, gen_random_uuid() as person
             from generate_series(1, $1) as number",
        "insert into identity.users (id, display_name, created_at) select person, 'Owner ' || number, now() from places",
        "insert into tenant.organizations (tenant_id, name) select tenant, 'Organization ' || number from places",
        "insert into tenant.workspaces (tenant_id, id, name, name_key) select tenant, workspace, 'Main', sha256('Main') from places",
        "insert into tenant.memberships (tenant_id, user_id, role) select tenant, person, 'owner' from places",
    ] {
        let query = sqlx::query(statement);
        let query = if statement.contains("$1") { query.bind(TENANTS) } else { query };
        query.execute(&mut connection).await?;
    }
    sqlx::query(
        "insert into tenant.contacts (tenant_id, id, workspace_id, name, email, company, created_by)
         select tenant, gen_random_uuid(), workspace, 'Contact ' || md5(number || '-' || n),
                'contact' || n || '@example.com', 'Company ' || n % 20, person
           from places, generate_series(1, $1) as n",
    )
    .bind(CONTACTS)
    .execute(&mut connection)
    .await?;
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await?;
    let places: Vec<(Uuid, Uuid, Uuid)> =
        sqlx::query_as("select tenant, workspace, person from places order by number limit $1")
            .bind(ASKED)
            .fetch_all(&mut connection)
            .await?;
    let mut requests = Vec::new();
    for (tenant, workspace, person) in places {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        sqlx::query(
            "insert into identity.sessions
               (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, passkey_at, passkey_id, device,
                network, last_device, last_network, new_device, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
             values (gen_random_uuid(), $1, $2, 'bench', 'bench', 'bench', now(), '{oidc,passkey}', now(),
                     gen_random_uuid(), 'Unknown device', '127.0.0.0/24', 'Unknown device', '127.0.0.0/24', false, now(), now(), now(), now() + interval '1 hour', now() + interval '1 hour')",
        )
        .bind(person)
        .bind(Sha256::digest(&token).to_vec())
        .execute(&mut connection)
        .await?;
        requests.push(Request { tenant, workspace, token });
    }
    connection.close().await?;
    Ok(requests)
}

/// A client of the API of one organization.
struct Client {
    id: Uuid,
    secret: String,
    list: String,
}

impl Client {
    async fn make(owner: &str, request: &Request) -> Result<Self, Failure> {
        let (id, secret) = (Uuid::now_v7(), Uuid::now_v7().to_string());
        let mut connection = PgConnection::connect(owner).await?;
        sqlx::query(
            "insert into tenant.api_clients
               (tenant_id, id, name, name_key, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
             values ($1, $2, 'Benchmark', sha256('Benchmark'), 'viewer', '{ListContacts}', false, false, $3, now(), $2, now())",
        )
        .bind(request.tenant)
        .bind(id)
        .bind(Sha256::digest(&secret).to_vec())
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Self { id, secret, list: format!("/api/v1{}", request.product().0) })
    }

    /// An access token, as any client gets one.
    async fn token(&self, port: u16) -> Result<String, Failure> {
        let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", self.id, self.secret);
        let body = http::post(port, "/api/oauth/token", "", &form).await?.json()?;
        Ok(body["access_token"].as_str().ok_or("the token endpoint gave no token")?.to_owned())
    }

    fn script(&self, token: &str) -> String {
        format!("wrk.path = {:?}\nwrk.headers[\"Authorization\"] = \"Bearer {token}\"\n", self.list)
    }
}

fn lua(pages: &[(String, String)]) -> String {
    let mut lua = "local requests = {\n".to_owned();
    for (path, cookie) in pages {
        let _ = writeln!(lua, "  {{ {path:?}, {{ Accept = \"text/html\", Cookie = {cookie:?} }} }},");
    }
    lua += "}\nlocal n = 0\nfunction request()\n  n = n % #requests + 1\n  \
            return wrk.format(\"GET\", requests[n][1], requests[n][2])\nend\n";
    lua
}

fn start_product(clone: &Path, port: u16, database: &str, log: &Path) -> Result<Child, Failure> {
    let program = std::env::current_exe()?.with_file_name("holdfast");
    let address = format!("127.0.0.1:{port}");
    Ok(Command::new(program)
        .arg("serve")
        .env("HOLDFAST_CONFIG", clone.join("config/dev.toml"))
        .env("HOLDFAST__HTTP__LISTEN", &address)
        .env("HOLDFAST__HTTP__PUBLIC_URL", format!("http://localhost:{port}"))
        .env("HOLDFAST__DATABASE__URL", database)
        .env("HOLDFAST__MAIL__URL", "smtp://127.0.0.1:9") // nothing here sends any
        .env("HOLDFAST__ENCRYPTION__KEY", devkit::seed::encryption_key()?)
        // Nobody is kept waiting, or made to work, for signing in often.
        .env("HOLDFAST__AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "60000")
        .env("HOLDFAST__AUTHN__LIMITS__FREE_PERCENT", "100")
        // One person, or one client, asks as much as a whole town.
        .env("HOLDFAST__HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__PERSON_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__ORGANIZATION_PER_MINUTE", "100000000")
        .env("HOLDFAST__HTTP__RATE_LIMITS__CLIENT_PER_MINUTE", "100000000")
        .env("HOLDFAST__DATABASE__MAX_CONNECTIONS", DATABASE_CONNECTIONS.to_string())
        .stdout(fs::File::create(log)?)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// Returns what it saw, and the mean size of the answers, heads included.
async fn wrk(port: u16, script: &Path) -> Result<(Run, f64), Failure> {
    let output = Command::new("wrk")
        .args(["--latency", "-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-s"])
        .arg(script)
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("wrk saw errors:\n{text}").into());
    }
    let after = |mark: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(mark))?;
        Some(line.trim().to_owned())
    };
    let latency = after("99%").ok_or("wrk printed no 99% line")?;
    let p99_ms = match latency.strip_suffix("us") {
        Some(micros) => micros.parse::<f64>()? / 1000.0,
        None => match latency.strip_suffix("ms") {
            Some(millis) => millis.parse()?,
            None => latency.trim_end_matches('s').parse::<f64>()? * 1000.0,
        },
    };
    let per_second = after("Requests/sec:").ok_or("wrk printed no rate")?.parse()?;
    let mean_bytes = mean_bytes(&text).ok_or("wrk printed no sum of bytes")?;
    Ok((Run { per_second, p99_ms }, mean_bytes))
}

/// From the line `12345 requests in 8.00s, 123.45MB read`.
fn mean_bytes(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.ends_with(" read"))?;
    let requests: f64 = line.trim().split(' ').next()?.parse().ok()?;
    let read = line.rsplit(", ").next()?.strip_suffix(" read")?;
    let unit = read.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match read.get(unit..)? {
        "B" => 1.0,
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(read.get(..unit)?.parse::<f64>().ok()? * factor / requests)
}

/// What the log of the product says its guards cost.
struct Costs {
    guard: Vec<u64>,
    /// What is left of it without the decision.
    session: Vec<u64>,
    decision: Vec<u64>,
    token: Vec<u64>,
}

impl Costs {
    fn read(log: &Path) -> Result<Self, Failure> {
        let mut costs = Self { guard: Vec::new(), session: Vec::new(), decision: Vec::new(), token: Vec::new() };
        for line in fs::read_to_string(log)?.lines().filter(|line| line.contains("guard_micros")) {
            let line: serde_json::Value = serde_json::from_str(line)?;
            let (guard, decision) = (line["span"]["guard_micros"].as_u64(), line["span"]["decision_micros"].as_u64());
            costs.guard.extend(guard);
            costs.decision.extend(decision);
            costs.session.extend(guard.zip(decision).map(|(guard, decision)| guard.saturating_sub(decision)));
            costs.token.extend(line["span"]["token_micros"].as_u64());
        }
        costs.guard.sort_unstable();
        costs.session.sort_unstable();
        costs.decision.sort_unstable();
        costs.token.sort_unstable();
        Ok(costs)
    }
}

fn table(runs: &[Runs], memory: u64, start: Duration, costs: &Costs, sign_ins: Run) -> String {
    let of = |which: fn(&Runs) -> f64| median(runs.iter().map(which).collect());
    let percentile = |sorted: &[u64], part: usize| sorted.get(sorted.len() * part / 100).copied().unwrap_or(0);
    let mut lines = format!(
        "\nContacts list, 20 rows, {TENANTS} organizations x {CONTACTS} contacts, {CONNECTIONS} connections, {DATABASE_CONNECTIONS} to the database, median of {RUNS} runs\n\n"
    );
    let mut row = |what: &str, figures: [String; 6]| {
        let [product, hand_written, bound, bare, ratio, goal] = figures;
        let _ =
            writeln!(lines, "  {what:26} {product:>12} {hand_written:>12} {bound:>12} {bare:>12} {ratio:>8}   {goal}");
    };
    row("", ["everything", "hand-written", "bound only", "bare", "ratio", "wanted"].map(str::to_owned));
    // Of everything to what is written by hand.
    let (product, hand) = (of(|r| r.product.per_second), of(|r| r.hand_written.per_second));
    let rate = |figure: f64| format!("{figure:.0}");
    let (bound, bare) = (rate(of(|r| r.bound.per_second)), rate(of(|r| r.bare.per_second)));
    let ratio = format!("{:.2}", product / hand);
    row("requests per second", [rate(product), rate(hand), bound, bare, ratio, "at least 0.60".into()]);
    let (product, hand) = (of(|r| r.product.p99_ms), of(|r| r.hand_written.p99_ms));
    let time = |figure: f64| format!("{figure:.1} ms");
    let (bound, bare) = (time(of(|r| r.bound.p99_ms)), time(of(|r| r.bare.p99_ms)));
    let ratio = format!("{:.2}", product / hand);
    row("p99", [time(product), time(hand), bound, bare, ratio, "at most 1.50".into()]);
    let none = String::new;
    let alone = |figure: String, goal: &str| [figure, none(), none(), none(), none(), goal.to_owned()];
    row("peak memory", alone(format!("{memory} MB"), "at most 80 MB"));
    row("start to ready", alone(format!("{} ms", start.as_millis()), "under 1000 ms"));
    for (what, sorted) in [
        ("guard", &costs.guard),
        ("of it, session and place", &costs.session),
        ("of it, policy decision", &costs.decision),
        ("token verification", &costs.token),
    ] {
        let (half, most) = (percentile(sorted, 50), percentile(sorted, 99));
        row(
            &format!("{what}, p50 and p99"),
            [format!("{half} us"), format!("{most} us"), none(), none(), none(), none()],
        );
    }
    let (rate, slow) = (format!("{:.0}/s", sign_ins.per_second), time(sign_ins.p99_ms));
    row("sign-ins with passkey, p99", [rate, slow, none(), none(), none(), none()]);
    lines
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn peak_memory_mb(child: &Child) -> Result<u64, Failure> {
    let pid = child.id().ok_or("the product has ended")?;
    let status = PathBuf::from(format!("/proc/{pid}/status"));
    let text = fs::read_to_string(&status)
        .map_err(|error| format!("{}: {error}; memory is measured on Linux", status.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

async fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// Waits until the server takes connections, which both do only when they can work.
async fn ready(port: u16) -> Result<(), Failure> {
    let limit = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if Instant::now() > limit {
            return Err(format!("nothing listens on port {port} after 30 s").into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
