use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tenancy::Db;
use tokio::sync::Mutex;

/// `[security]`: who to tell about a vulnerability.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityContact {
    /// `mailto:` or `https:` address.
    pub contact: String,
    /// Where the way of reporting is described.
    pub policy: Option<String>,
}

/// Can ask whether the database works, and nothing else. Knows how many proxies are believed.
#[derive(Clone, Debug)]
pub struct Readiness {
    db: Db,
    pub(crate) proxies: usize,
    /// The last answer. Locked while there is a new one to come, so that one asks and the others wait for it.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

/// How long a result is cached. The database is asked once in that time, however many probes come.
const CACHE_AGE: Duration = Duration::from_secs(1);

impl Readiness {
    /// Asks this database.
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

/// What the server believes about where requests come from, to explain why limits affect the wrong people.
#[must_use]
pub fn origin_of_requests(proxies: usize) -> String {
    match proxies {
        0 => "http.proxies is 0: clients have the address of their connection".to_owned(),
        1 => "http.proxies is 1: clients have the last address in X-Forwarded-For".to_owned(),
        n => format!("http.proxies is {n}: clients have the address {n} from the end of X-Forwarded-For"),
    }
}
