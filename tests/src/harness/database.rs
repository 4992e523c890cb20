use std::sync::{Arc, Mutex};

use devkit::postgres::{random_hex, verifier};
use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use url::Url;
use uuid::Uuid;

use super::owner::Owner;

const TEMPLATE: &str = "holdfast_template";

/// A database of its own, copied from one that was migrated and seeded once.
#[derive(Clone)]
pub(crate) struct Database {
    /// The superuser's way in, for looking at what the application did.
    pub(crate) owner_url: String,
    /// The application's way in: the role `web`, which has no right of its own.
    pub(crate) web_url: String,
    /// Connections of the superuser that nobody uses now.
    idle: Arc<Mutex<Vec<PgConnection>>>,
    _until: Arc<Until>,
}

/// The name of a database whose test has not ended. Dropped, the database may go.
struct Until(String);

struct Template {
    server: Url,
    web_password: String,
}

/// Databases of tests that have ended. The next test drops them, when nothing is connected to them any more.
static OVER: Mutex<Vec<String>> = Mutex::new(Vec::new());

static ONCE: OnceCell<Template> = OnceCell::const_new();

impl Database {
    pub(crate) async fn create() -> Self {
        let template = ONCE.get_or_init(Template::make).await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut server = PgConnection::connect(template.server.as_str()).await.unwrap();
        let over = std::mem::take(&mut *OVER.lock().unwrap());
        // The names are ours: letters and digits. Copying files is cheaper than logging what they hold.
        let drops = over.iter().map(|name| format!("drop database if exists {name} with (force)"));
        for statement in drops.chain([format!("create database {name} template {TEMPLATE} strategy file_copy")]) {
            server.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await.unwrap();
        }
        server.close().await.unwrap();
        let mut owner = template.server.clone();
        owner.set_path(&name);
        let mut web = owner.clone();
        web.set_username("web").unwrap();
        web.set_password(Some(&template.web_password)).unwrap();
        let (idle, until) = (Arc::default(), Arc::new(Until(name)));
        Self { owner_url: owner.into(), web_url: web.into(), idle, _until: until }
    }

    /// A connection that sees everything, to make single statements with: the next caller gets the same one, because
    /// opening it costs more than most statements. Leave no transaction, lock or setting behind: those need a `session`.
    pub(crate) async fn owner(&self) -> Owner {
        let idle = self.idle.lock().unwrap().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.session().await,
        };
        Owner::new(connection, Arc::clone(&self.idle))
    }

    /// A connection that sees everything and that nothing else uses. Dropped, it is closed.
    pub(crate) async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.owner_url).await.unwrap()
    }

    /// A connection as the application has it.
    pub(crate) async fn web(&self) -> PgConnection {
        PgConnection::connect(&self.web_url).await.unwrap()
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> String {
        Url::parse(&self.owner_url).unwrap().path().trim_start_matches('/').to_owned()
    }

    /// The superuser's connection to another database of the same server.
    pub(crate) async fn elsewhere(&self) -> PgConnection {
        PgConnection::connect(ONCE.get().unwrap().server.as_str()).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.owner().await).await.unwrap()
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        OVER.lock().unwrap().push(std::mem::take(&mut self.0));
    }
}

impl Template {
    async fn make() -> Self {
        let url =
            std::env::var("TEST_DATABASE_URL").expect("run the tests with bin/test: it starts a PostgreSQL for them");
        let server = Url::parse(&url).unwrap();
        let mut connection = PgConnection::connect(server.as_str()).await.unwrap();
        // Roles belong to the cluster: one run at a time sets them up.
        connection.execute("select pg_advisory_lock(4417)").await.unwrap();
        let drop = format!("drop database if exists {TEMPLATE} with (force)");
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(drop))).await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {TEMPLATE}")))).await.unwrap();
        let mut template = server.clone();
        template.set_path(TEMPLATE);
        tenancy::migrate(&SecretString::from(template.to_string())).await.unwrap();
        devkit::seed::seed(template.as_str(), "http://127.0.0.1:0").await.unwrap();
        let web_password = random_hex(24).unwrap();
        let login = format!("alter role web password '{}'", verifier(&web_password).unwrap());
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(login))).await.unwrap();
        connection.close().await.unwrap();
        Self { server, web_password }
    }
}
