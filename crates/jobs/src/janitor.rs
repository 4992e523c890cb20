use std::time::{Duration, Instant};

use serde::Deserialize;
use settings::{Rule, Setting};
use tenancy::{Db, Retention};

use crate::{Failure, Job, JobHandler, JobKind};

/// Deletes expired rows by the retention rule of each table. It deletes a few rows at a time, each time in a transaction of its
/// own, so nobody waits for it.
#[derive(Debug)]
pub struct Janitor {
    db: Db,
    config: RetentionConfig,
    rules: Vec<tenancy::RetentionRule>,
}

/// The `[retention]` section of the configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Seconds between two runs of the janitor.
    pub every_seconds: u32,
    /// Days for which ended sessions are kept.
    pub sessions_days: u32,
    /// Days for which events, policy decisions, temporary access and approvals are kept. The database refuses less than a year.
    pub records_days: u32,
}

/// What production accepts.
pub const SETTINGS: &[Setting<RetentionConfig>] = &[
    Setting {
        name: "retention.every_seconds",
        rule: Rule::Between(1, 3_600, |retention| vec![retention.every_seconds.into()]),
        why: "Expired rows pile up until the janitor runs.",
    },
    Setting {
        name: "retention.sessions_days",
        rule: Rule::Between(7, 3_650, |retention| vec![retention.sessions_days.into()]),
        why: "A device used within this time does not count as new. Rows that are kept forever pile up forever.",
    },
    Setting {
        name: "retention.records_days",
        rule: Rule::Between(365, 36_500, |retention| vec![retention.records_days.into()]),
        why: "An investigation needs at least a year of records. The database keeps that much.",
    },
];

/// What is wrong with the configuration. The application does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionError {
    /// The janitor would run too often, or so rarely that tables grow.
    Every,
    /// Sessions would be kept too briefly to recognize a device, or forever.
    Sessions,
    /// Records would be kept for less than the year that the database enforces, or forever.
    Records,
}

impl std::error::Error for RetentionError {}

impl std::fmt::Display for RetentionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Every => "retention.every_seconds: want 1 to 3600",
            Self::Sessions => "retention.sessions_days: want 7 to 3650",
            Self::Records => "retention.records_days: want 365 to 36500",
        })
    }
}

const DAY: u32 = 24 * 60 * 60;
/// Longest run. The rest is left to the next one.
const MAX_RUN: Duration = Duration::from_mins(4);

impl Janitor {
    /// Checks the configuration. `rules` are those of all tables.
    ///
    /// # Errors
    ///
    /// A setting is out of its range.
    pub fn new(db: Db, config: RetentionConfig, rules: Vec<tenancy::RetentionRule>) -> Result<Self, RetentionError> {
        match config {
            _ if !(1..=3_600).contains(&config.every_seconds) => Err(RetentionError::Every),
            _ if !(7..=3_650).contains(&config.sessions_days) => Err(RetentionError::Sessions),
            _ if !(365..=36_500).contains(&config.records_days) => Err(RetentionError::Records),
            _ => Ok(Self { db, config, rules }),
        }
    }

    /// Deletes the expired rows of one table until none are left or the run is over.
    async fn clean(&self, rule: &tenancy::RetentionRule, began: Instant) -> Result<u64, tenancy::Error> {
        let days = |days: u32| Duration::from_secs(u64::from(days) * u64::from(DAY));
        let keep = match rule.retention {
            Retention::For(time) => time,
            Retention::Sessions => days(self.config.sessions_days),
            Retention::Records => days(self.config.records_days),
        };
        let mut deleted = 0;
        while began.elapsed() < MAX_RUN {
            let mut tx = self.db.begin_janitor().await?;
            let step = sqlx::query(rule.sql()).bind(keep.as_secs_f64()).execute(&mut *tx).await?.rows_affected();
            tx.commit().await?;
            deleted += step;
            if step < tenancy::RetentionRule::STEP {
                break;
            }
        }
        Ok(deleted)
    }

    /// Logs how many jobs wait and how many failed.
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
                tracing::warn!(kind, waiting, dead, late, "jobs have failed or are late");
            } else {
                tracing::info!(kind, waiting, "jobs are waiting");
            }
        }
        Ok(())
    }
}

impl JobHandler for Janitor {
    type Payload = ();

    const KIND: JobKind = JobKind {
        name: "janitor",
        concurrency: 1,
        timeout: Duration::from_mins(5),
        retry_for: Duration::from_hours(1),
    };

    fn interval(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.config.every_seconds.into()))
    }

    async fn run(&self, _: &Job<()>) -> Result<(), Failure> {
        let began = Instant::now();
        for rule in &self.rules {
            match self.clean(rule, began).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(table = rule.table, deleted, "expired rows deleted"),
                Err(error) => tracing::error!(%error, table = rule.table, "expired rows could not be deleted"),
            }
        }
        if let Err(error) = self.report().await {
            tracing::error!(%error, "jobs could not be counted");
        }
        Ok(())
    }
}
