//! A world per test: its own database, identity provider and server.

mod both_parts;
pub(crate) mod changes;
mod client;
mod database;
mod evidence;
pub(crate) mod log;
mod owner;
pub(crate) mod passkey;
mod pgbouncer;
mod race;
mod raw;
pub(crate) mod reviewed;
mod samples;
pub(crate) mod totp;
mod withheld;

pub(crate) use client::{Answer, Client};
pub(crate) use database::Database;
pub(crate) use evidence::Traces;
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use samples::{Sample, Samples, sample};
pub(crate) use withheld::Sent;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use authn::{Authn, Clock};
use authz::{Authorizer, Policies, Route};
use chrono::Utc;
use devkit::dns::Dns;
use devkit::idp::{Client as IdpClient, Idp};
use devkit::mailbox::{Mailbox, Message};
use sqlx::{Executor, PgConnection};
use tokens::Tokens;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// The application, running, with the people and organizations of `bin/dev`.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) idp: Idp,
    pub(crate) mailbox: Mailbox,
    pub(crate) dns: Dns,
    /// Address of the mailbox, as `MAIL__URL` has it.
    pub(crate) smtp: String,
    pub(crate) clock: Clock,
    /// Where the application listens; people say `localhost`.
    pub(crate) address: SocketAddr,
    pub(crate) acme: Place,
    pub(crate) globex: Place,
    pub(crate) db: tenancy::Db,
    pub(crate) authn: Authn,
    /// What records the decisions of the application.
    pub(crate) decisions: audit::Decisions,
    /// The authenticators of people, by subject.
    devices: tokio::sync::Mutex<BTreeMap<String, passkey::Authenticator>>,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// No setting: to answer for one host alone, as in production.
pub(crate) const ONE_HOST: (&str, &str) = ("ONE_HOST", "");

/// An organization of the world and its workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) organization: Uuid,
    pub(crate) workspace: Uuid,
}

/// What the features of the product registered.
pub(crate) fn registry() -> app::Registry {
    app::registry().unwrap()
}

/// The routes for browsers. Those of the API are walked in `api`.
pub(crate) fn browser_routes() -> Vec<Route> {
    registry().table().iter().filter(|row| !row.api).cloned().collect()
}

/// The names of the parameters of a route's path.
pub(crate) fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

impl Place {
    pub(crate) fn url(&self) -> String {
        format!("/o/{}", self.organization)
    }

    pub(crate) fn contacts(&self) -> String {
        format!("/o/{}/w/{}/contacts", self.organization, self.workspace)
    }
}

/// Keys that nothing was sealed with.
pub(crate) fn encryption_keys() -> encryption::KeyRing {
    let key = devkit::seed::encryption_key().unwrap().into();
    encryption::KeyRing::new(&encryption::Config { key, previous_key: None }).unwrap()
}

/// The policies of the application. They are the same in every world, and checking them takes longer than all else that a
/// world starts with.
fn policies() -> Arc<Policies> {
    static ONCE: LazyLock<Arc<Policies>> = LazyLock::new(|| Arc::new(Policies::load(registry().policies()).unwrap()));
    Arc::clone(&ONCE)
}

/// Lets a provider read the time from the clock of the application, which stands still between moves.
fn follow(clock: &Clock, idp: &Idp) {
    let clock = clock.clone();
    idp.set_clock(move || clock.now().timestamp());
}

impl World {
    /// Lets another provider agree with the application about the time.
    pub(crate) fn keeps_time(&self, idp: &Idp) {
        follow(&self.clock, idp);
    }

    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings other than the defaults, as `("HTTP__REQUEST_SECONDS", "1")`.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::start_on(Database::create().await, "", settings).await
    }

    /// On a database that a test has prepared, and with a configuration file below the settings, for what a variable
    /// cannot say, such as lists.
    pub(crate) async fn start_on(database: Database, file: &str, settings: &[(&str, &str)]) -> Self {
        log::start();
        let idp_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Idp::start(idp_listener, devkit::seed::people()).await.unwrap();
        devkit::seed::seed(&database.owner_url, &idp.issuer()).await.unwrap();

        let smtp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let smtp_url = format!("smtp://{}", smtp.local_addr().unwrap());
        let mailbox = Mailbox::start(smtp, TcpListener::bind("127.0.0.1:0").await.unwrap()).unwrap();

        let dns = Dns::start(UdpSocket::bind("127.0.0.1:0").await.unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let public_url = format!("http://localhost:{}", address.port());
        idp.register(IdpClient {
            id: "holdfast".to_owned(),
            secret: "a secret of the client".to_owned(),
            redirect_uris: vec![format!("{public_url}/sign-in/dev/callback")],
            post_logout_redirect_uris: vec![format!("{public_url}/signed-out")],
            backchannel_logout_uri: Some(format!("http://{address}/sign-in/dev/back-channel-logout")),
        });

        let defaults = [
            ("PROFILE", "development".to_owned()),
            ("HTTP__PUBLIC_URL", public_url.clone()),
            ("DATABASE__URL", database.web_url.clone()),
            ("DATABASE__MAX_CONNECTIONS", "4".to_owned()),
            ("MAIL__URL", smtp_url.clone()),
            ("AUTHN__SSO__RESOLVER", dns.address().to_string()),
            ("ENCRYPTION__KEY", devkit::seed::encryption_key().unwrap()),
            ("AUTHN__PROVIDERS__DEV__NAME", "Development sign-in".to_owned()),
            ("AUTHN__PROVIDERS__DEV__ISSUER", idp.issuer()),
            ("AUTHN__PROVIDERS__DEV__CLIENT_ID", "holdfast".to_owned()),
            ("AUTHN__PROVIDERS__DEV__CLIENT_SECRET", "a secret of the client".to_owned()),
            ("AUTHN__PROVIDERS__DEV__RETRY_SECONDS", "0".to_owned()),
            // Everybody here comes from one network, and the clock stands still.
            ("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "60000".to_owned()),
            ("TOKENS__REQUESTS_PER_MINUTE", "60000".to_owned()),
            ("HTTP__RATE_LIMITS__NETWORK_PER_MINUTE", "100000000".to_owned()),
            ("HTTP__RATE_LIMITS__PERSON_PER_MINUTE", "100000000".to_owned()),
            ("HTTP__RATE_LIMITS__CLIENT_PER_MINUTE", "100000000".to_owned()),
            ("HTTP__RATE_LIMITS__ORGANIZATION_PER_MINUTE", "100000000".to_owned()),
        ];
        let given =
            settings.iter().filter(|setting| **setting != ONE_HOST).map(|(key, value)| (*key, (*value).to_owned()));
        let variables = defaults.into_iter().chain(given).map(|(key, value)| (format!("HOLDFAST__{key}"), value));
        let path = std::env::temp_dir().join(format!("holdfast-test-{}.toml", Uuid::now_v7().simple()));
        std::fs::write(&path, file).unwrap();
        let config = app::config::Config::from_parts(Some(&path), variables);
        std::fs::remove_file(&path).unwrap();
        let config = config.unwrap();

        let clock = Clock::fixed_at(Utc::now());
        follow(&clock, &idp);
        let keys = encryption::KeyRing::new(&config.encryption).unwrap();
        let db = tenancy::Db::connect(&config.database, true).await.unwrap();
        let authn = Authn::new(
            config.authn,
            &config.http.public_url,
            app::ADDRESSES,
            false,
            keys.clone(),
            db.clone(),
            clock.clone(),
        )
        .unwrap();
        let registry = registry();
        let tokens =
            Tokens::new(config.tokens, &config.http.public_url, registry.scopes(), keys, db.clone(), authn.clone())
                .unwrap();
        let worker = jobs::Worker::new(db.clone());
        worker.start(mail::Sender::new(&config.mail, false, db.clone()).unwrap()).await;
        let janitor = jobs::Janitor::new(db.clone(), config.retention, app::retention_rules(&registry)).unwrap();
        // It would clean while a test looks, so it comes where a test says how often.
        if settings.iter().any(|(key, _)| *key == "RETENTION__EVERY_SECONDS") {
            worker.start(janitor).await;
        }
        let decisions = audit::Decisions::start(db.clone());
        let authorizer = Authorizer::new(authn.clone(), tokens.clone(), decisions.clone(), policies());
        let (kept_authn, kept_db) = (authn.clone(), db.clone());
        let readiness = app::Readiness::new(db, &config.http);
        let state = app::State::new(authn, authorizer, tokens, readiness, config.security, registry);
        let app = app::app(state, config.http.limits(settings.contains(&ONE_HOST)));
        let (stop, stopped) = oneshot::channel();
        let http = config.http;
        let server = tokio::spawn(async move {
            web::serve(listener, app, &http, async { stopped.await.unwrap_or(()) }).await;
            worker.close().await;
        });

        let acme = place(&database, "Acme").await;
        let globex = place(&database, "Globex").await;
        Self {
            database,
            idp,
            mailbox,
            dns,
            smtp: smtp_url,
            clock,
            address,
            acme,
            globex,
            db: kept_db,
            authn: kept_authn,
            decisions,
            devices: tokio::sync::Mutex::default(),
            server: Some((stop, server)),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.address.port())
    }

    /// A browser without cookies.
    pub(crate) fn stranger(&self) -> Client {
        Client::new(self.address.port())
    }

    /// A browser in which `subject` has signed in at the provider, and proved nothing else.
    pub(crate) async fn sign_in_at_provider(&self, subject: &str) -> Client {
        let mut client = self.stranger();
        let callback = self.click_at_provider(&mut client, subject).await;
        let answer = client.get_from_elsewhere(&callback).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(client.cookie("session").is_some(), "signed in: {}", answer.text());
        client
    }

    /// Starts a sign-in in `client` and picks a person at the provider. Returns the address the provider sends them to.
    pub(crate) async fn click_at_provider(&self, client: &mut Client, subject: &str) -> String {
        let started = client.post("/sign-in/dev", &[("return_to", "/account")]).await;
        assert_eq!(started.status, 200, "{}", started.text());
        let location = self.idp.sign_in(&started.moves_on_to(), subject).await.unwrap();
        let prefix = self.url("");
        location.strip_prefix(&prefix).unwrap_or_else(|| panic!("{location} is not ours")).to_owned()
    }

    /// Waits until every decision is in the database. Nothing is recorded after.
    pub(crate) async fn settle_decisions(&self) {
        assert_eq!(self.decisions.close().await, 0);
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let (stop, server) = self.server.take().unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(30), server).await.unwrap().unwrap();
    }

    /// The id of a person of the seed.
    pub(crate) async fn user(&self, subject: &str) -> Uuid {
        sqlx::query_scalar("select user_id from identity.accounts where subject = $1")
            .bind(subject)
            .fetch_one(&mut self.database.owner().await)
            .await
            .unwrap()
    }

    /// The owner of a place of the seed.
    pub(crate) fn owner_of(&self, place: Place) -> &'static str {
        if place.organization == self.acme.organization { "olivia" } else { "gus" }
    }

    /// What a person of the seed is in Acme.
    pub(crate) async fn role(&self, subject: &str) -> Option<String> {
        sqlx::query_scalar("select role from tenant.memberships where tenant_id = $1 and user_id = $2")
            .bind(self.acme.organization)
            .bind(self.user(subject).await)
            .fetch_optional(&mut self.database.owner().await)
            .await
            .unwrap()
    }

    /// Waits until a query counts as many as expected.
    pub(crate) async fn until(&self, sql: &'static str, expected: i64) {
        let seen = async {
            while self.database.count(sql).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap_or_else(|_| panic!("never {expected}: {sql}"));
    }

    /// The newest mail to an address, or the first to come.
    pub(crate) async fn mail_to(&self, address: &str) -> Message {
        let mail = self.mailbox.wait_for(address, Duration::from_secs(30)).await;
        let mail = mail.unwrap_or_else(|| panic!("no mail to {address}"));
        both_parts::assert_same(&mail);
        mail
    }

    /// The mail with this subject to an address, or the first to come.
    pub(crate) async fn told(&self, address: &str, subject: &str) -> Message {
        let told = async {
            loop {
                let is = |mail: &Message| mail.subject == subject && mail.to.iter().any(|to| to == address);
                if let Some(mail) = self.mailbox.messages().into_iter().find(is) {
                    return mail;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(30), told).await;
        let told = told.unwrap_or_else(|_| {
            let mails = self.mailbox.messages();
            let told: Vec<_> = mails.iter().map(|mail| (&mail.to, &mail.subject)).collect();
            panic!("{address} is not told: {subject}, of {told:?}")
        });
        both_parts::assert_same(&told);
        told
    }

    /// The id of one of the contacts of a place.
    pub(crate) async fn contact(&self, place: Place) -> Uuid {
        sqlx::query_scalar("select id from tenant.contacts where tenant_id = $1 order by name, id limit 1")
            .bind(place.organization)
            .fetch_one(&mut self.database.owner().await)
            .await
            .unwrap()
    }

    /// Everything people can change, as one text: the same before and after means that nothing happened.
    pub(crate) async fn state(&self) -> String {
        let sessions =
            "select coalesce(string_agg(id::text, ';' order by id), '') from identity.sessions where ended_at is null";
        let sessions: String = sqlx::query_scalar(sessions).fetch_one(&mut self.database.owner().await).await.unwrap();
        let events = self.database.count("select count(*) from audit.events").await;
        format!("{}\n{sessions}\n{events}", self.tenant_rows(None).await)
    }

    /// Every row of every table of the schema `tenant`, of one organization or of all, as one text.
    pub(crate) async fn tenant_rows(&self, organization: Option<Uuid>) -> String {
        let mut owner = self.database.owner().await;
        let tables = "select tablename::text from pg_tables where schemaname = 'tenant' order by 1";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut owner).await.unwrap();
        let mut rows = Vec::new();
        for table in tables {
            let sql = format!(
                "select coalesce(string_agg(t::text, ';' order by t::text), '') from tenant.{table} t
                  where $1 is null or tenant_id = $1"
            );
            let of_table = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).bind(organization);
            rows.push(of_table.fetch_one(&mut owner).await.unwrap());
        }
        rows.join("\n")
    }

    /// Keeps everybody from the contacts until what is returned is dropped.
    pub(crate) async fn block_contacts(&self) -> PgConnection {
        let mut owner = self.database.session().await;
        owner.execute("begin; lock table tenant.contacts in access exclusive mode").await.unwrap();
        owner
    }

    /// Waits until this many queries wait for a lock.
    pub(crate) async fn until_blocked(&self, queries: i64) {
        let waiting =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        let blocked = async {
            while self.database.count(waiting).await < queries {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), blocked).await.expect("nothing waits for the lock");
    }

    /// Sends bytes as they are and reads until the server ends the connection.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> raw::Raw {
        raw::exchange(self.address, request.as_ref()).await
    }
}

async fn place(database: &Database, name: &str) -> Place {
    let (organization, workspace) = sqlx::query_as(
        "select o.tenant_id, w.id from tenant.organizations o join tenant.workspaces w using (tenant_id) where o.name = $1",
    )
    .bind(name)
    .fetch_one(&mut database.owner().await)
    .await
    .unwrap();
    Place { organization, workspace }
}
