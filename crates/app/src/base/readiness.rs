use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tenancy::Db;
use tokio::sync::Mutex;

/// `[security]`: the contact for reporting a vulnerability.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityContact {
    /// A `mailto:` or `https:` address.
    pub contact: String,
    /// The address of the disclosure policy.
    pub policy: Option<String>,
}

/// Checks whether the database works. It can do nothing else with the database. It also knows the number of trusted
/// proxies.
#[derive(Clone, Debug)]
pub struct Readiness {
    db: Db,
    pub(crate) proxies: usize,
    /// The last result. It stays locked during a check, so one caller checks and the others wait.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// How long a result is cached. However many probes arrive, the database is queried once in that time.
const CACHE_AGE: Duration = Duration::from_secs(1);

impl Readiness {
    /// Creates a check of this database.
    #[must_use]
    pub fn new(db: Db, http: &web::Config) -> Self {
        Self { db, proxies: http.proxies.unwrap_or_default(), last: Arc::default() }
    }

    pub(crate) async fn ask(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, ready)) = *last
            && at.elapsed() < CACHE_AGE
        {
            return ready;
        }
        let answer = self.db.ready().await;
        if let Err(error) = &answer {
            tracing::error!(%error, "not ready");
        }
        *last = Some((Instant::now(), answer.is_ok()));
        answer.is_ok()
    }
}

/// Describes how the server determines the origin of requests. It helps to explain why limits affect the wrong people.
#[must_use]
pub fn origin_of_requests(proxies: usize) -> String {
    match proxies {
        0 => "http.proxies is 0: clients have the address of their connection".to_owned(),
        1 => "http.proxies is 1: clients have the last address in X-Forwarded-For".to_owned(),
        n => format!("http.proxies is {n}: clients have the address {n} from the end of X-Forwarded-For"),
    }
}
