use std::time::{Duration, Instant};

use serde::Deserialize;
use settings::{Rule, Setting};
use tenancy::{Db, Keep};

use crate::{Failure, Job, Kind, Work};

/// Deletes what has been kept for long enough, by the rule of each table: a few rows at a time, each time in a transaction of
/// its own, so that nobody waits for it.
#[derive(Debug)]
pub struct Janitor {
    db: Db,
    config: KeepingConfig,
    rules: Vec<tenancy::Rule>,
}

/// The `[keeping]` section of the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepingConfig {
    /// Seconds after which the janitor looks again.
    pub every_seconds: u32,
    /// Days that sessions are kept after their end.
    pub sessions_days: u32,
    /// Days that events, policy decisions and what they are about are kept. The database refuses less than a year.
    pub records_days: u32,
}

/// What production accepts.
pub const SETTINGS: &[Setting<KeepingConfig>] = &[
    Setting {
        name: "keeping.every_seconds",
        rule: Rule::Between(1, 3_600, |keeping| vec![keeping.every_seconds.into()]),
        why: "What is over piles up until the janitor comes.",
    },
    Setting {
        name: "keeping.sessions_days",
        rule: Rule::Between(7, 3_650, |keeping| vec![keeping.sessions_days.into()]),
        why: "A device that was used within this time is no new one; what is kept for ever grows for ever.",
    },
    Setting {
        name: "keeping.records_days",
        rule: Rule::Between(365, 36_500, |keeping| vec![keeping.records_days.into()]),
        why: "Whoever looks into what happened needs at least a year of it, and the database keeps that.",
    },
];

/// What is wrong with the configuration; the application does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepingError {
    /// Too often, or so seldom that tables grow.
    Every,
    /// Too short to know a device again, or for ever.
    Sessions,
    /// Shorter than a year, which is what the database keeps them at least, or for ever.
    Records,
}

impl std::error::Error for KeepingError {}

impl std::fmt::Display for KeepingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Every => "keeping.every_seconds: want 1 to 3600",
            Self::Sessions => "keeping.sessions_days: want 7 to 3650",
            Self::Records => "keeping.records_days: want 365 to 36500",
        })
    }
}

const DAY: u32 = 24 * 60 * 60;
/// How long it works at most before it leaves the rest to the next period.
const LONGEST: Duration = Duration::from_mins(4);

impl Janitor {
    /// With the rules of every table.
    pub fn new(db: Db, config: KeepingConfig, rules: Vec<tenancy::Rule>) -> Result<Self, KeepingError> {
        match config {
            _ if !(1..=3_600).contains(&config.every_seconds) => Err(KeepingError::Every),
            _ if !(7..=3_650).contains(&config.sessions_days) => Err(KeepingError::Sessions),
            _ if !(365..=36_500).contains(&config.records_days) => Err(KeepingError::Records),
            _ => Ok(Self { db, config, rules }),
        }
    }

    /// Deletes what there is, until it is time to stop.
    async fn clean(&self, rule: &tenancy::Rule, began: Instant) -> Result<u64, tenancy::Error> {
        let days = |days: u32| Duration::from_secs(u64::from(days) * u64::from(DAY));
        let keep = match rule.keep {
            Keep::For(time) => time,
            Keep::Sessions => days(self.config.sessions_days),
            Keep::Records => days(self.config.records_days),
        };
        let mut deleted = 0;
        while began.elapsed() < LONGEST {
            let mut tx = self.db.begin_janitor().await?;
            let step = sqlx::query(rule.sql()).bind(keep.as_secs_f64()).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            deleted += step;
            if step < tenancy::Rule::STEP {
                break;
            }
        }
        Ok(deleted)
    }

    /// Says in the log what waits and what was given up.
    async fn report(&self) -> Result<(), tenancy::Error> {
        let mut tx = self.db.begin_jobs().await?;
        let kinds = sqlx::query!(
            r#"select kind as "kind!", count(*) filter (where failed_at is null) as "waiting!",
                      count(*) filter (where failed_at is not null) as "dead!",
                      coalesce(extract(epoch from now() - min(due_at) filter (where failed_at is null and due_at <= now())), 0)::bigint
                        as "late!"
                 from jobs.queue where key is distinct from 'period' group by kind"#
        );
        for row in kinds.fetch_all(&mut *tx).await? {
            let (kind, waiting, dead, late) = (row.kind, row.waiting, row.dead, row.late);
            if dead > 0 || late > 300 {
                tracing::warn!(kind, waiting, dead, late, "jobs were given up or are late");
            } else {
                tracing::info!(kind, waiting, "jobs wait");
            }
        }
        Ok(())
    }
}

impl Work for Janitor {
    type Payload = ();

    const KIND: Kind =
        Kind { name: "janitor", places: 1, patience: Duration::from_mins(5), give_up: Duration::from_hours(1) };

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.config.every_seconds.into()))
    }

    async fn run(&self, _: &Job<()>) -> Result<(), Failure> {
        let began = Instant::now();
        for rule in &self.rules {
            match self.clean(rule, began).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(table = rule.table, deleted, "old rows deleted"),
                Err(error) => tracing::error!(%error, table = rule.table, "old rows cannot be deleted"),
            }
        }
        if let Err(error) = self.report().await {
            tracing::error!(%error, "the jobs cannot be counted");
        }
        Ok(())
    }
}
