//! A domain stays verified only as long as its DNS record exists.

use askama::Template;
use audit::Actor;
use authn::{Authn, VerifiedDomain, domain_record};
use chrono::{DateTime, Duration, Utc};
use jobs::{Failure, Job, JobHandler, JobKind};
use mail::Mail;
use serde_json::json;
use tenancy::{Db, Tx, Write};
use uuid::Uuid;
use web::{Result, filters};

use super::domain::{CHECK_INTERVAL, any_verified};
use super::{DOMAIN_MISSING, DOMAIN_WITHDRAWN};
use crate::base::ScheduledJob;

/// Most domains that one run looks up. What is left is due in the next one.
const BATCH_SIZE: i64 = 200;

/// When a domain whose DNS did not answer is looked up again.
const RECHECK_INTERVAL: Duration = Duration::hours(1);

/// The outcome of a check.
enum Outcome {
    Unchanged,
    Missing { until: DateTime<Utc> },
    Withdrawn { last: bool },
}

/// Looks up the verified domains whose next look-up is due, and withdraws those whose record has been missing for too long.
/// A DNS failure proves nothing, so the domain is looked up again an hour later.
#[derive(Debug)]
pub(super) struct DomainCheck {
    db: Db,
    authn: Authn,
}

impl ScheduledJob for DomainCheck {
    fn new(db: Db, authn: Authn) -> Self {
        Self { db, authn }
    }
}

impl DomainCheck {
    /// Runs it once. A domain whose result cannot be stored keeps no other from being looked up.
    async fn check(&self) -> Result<()> {
        for domain in self.authn.domains_to_check(BATCH_SIZE).await? {
            // No transaction is open during the DNS query.
            let answer = self.authn.has_domain_record(&domain.name, &domain.token).await;
            if let Err(error) = &answer {
                tracing::warn!(domain = domain.name, error, "DNS lookup failed");
            }
            if let Err(error) = note(&self.db, &self.authn, &domain, answer.ok()).await {
                tracing::error!(?error, domain = domain.name, "DNS lookup result could not be stored");
            }
        }
        Ok(())
    }
}

impl JobHandler for DomainCheck {
    type Payload = ();

    /// With two queries of two seconds for each domain, the longest run takes 14 minutes.
    const KIND: JobKind = JobKind {
        name: "domain_check",
        concurrency: 1,
        timeout: std::time::Duration::from_mins(20),
        retry_for: std::time::Duration::from_hours(1),
    };

    fn interval(&self) -> Option<std::time::Duration> {
        Some(std::time::Duration::from_hours(1))
    }

    async fn run(&self, _: &Job<()>) -> Result<(), Failure> {
        if let Err(error) = self.check().await {
            tracing::error!(?error, "due domains could not be read");
        }
        Ok(())
    }
}

async fn note(db: &Db, authn: &Authn, domain: &VerifiedDomain, there: Option<bool>) -> Result<()> {
    let now = authn.clock().now();
    let mut tx = db.begin(domain.organization).await?;
    let outcome = if there == Some(false) {
        note_missing(&mut tx, authn, domain, now).await?
    } else {
        // Only what was looked up: the domain may have been removed, and be another row now.
        sqlx::query!(
            "update tenant.domains set next_check_at = $3, missing_since = case when $4 then null else missing_since end
              where id = $1 and token = $2 and verified_at is not null",
            domain.id,
            domain.token,
            now + if there.is_some() { CHECK_INTERVAL } else { RECHECK_INTERVAL },
            there.is_some(),
        )
        .execute(&mut *tx)
        .await?;
        Outcome::Unchanged
    };
    let by = Actor::unknown(Uuid::now_v7(), String::new());
    let target = format!("Domain::{}", domain.id);
    match outcome {
        Outcome::Unchanged => {}
        Outcome::Missing { until } => {
            let details = json!({ "domain": domain.name, "withdrawn_at": until });
            let mail = warning(authn, domain, until)?;
            DOMAIN_MISSING.announce_by(&mut tx, &mail, by, target, details).await?.record(&mut tx).await?;
        }
        Outcome::Withdrawn { last } => {
            let (mail, details) = (withdrawal(authn, domain, last)?, json!({ "domain": domain.name }));
            DOMAIN_WITHDRAWN.announce_by(&mut tx, &mail, by, target, details).await?.record(&mut tx).await?;
            if last {
                authn.end_provider_sessions(&mut tx, "no domain is verified now").await?;
            }
        }
    }
    Ok(tx.commit().await?)
}

async fn note_missing(
    tx: &mut Tx<Write>,
    authn: &Authn,
    domain: &VerifiedDomain,
    now: DateTime<Utc>,
) -> Result<Outcome> {
    let noted = sqlx::query!(
        r#"with before as (
             select id, missing_since from tenant.domains
              where id = $1 and token = $2 and verified_at is not null for update)
           update tenant.domains d
              set next_check_at = case when before.missing_since <= $4 then null else $5::timestamptz end,
                  missing_since = case when before.missing_since <= $4 then null
                                       else coalesce(before.missing_since, $3) end,
                  verified_at = case when before.missing_since <= $4 then null else d.verified_at end
             from before where d.id = before.id
           returning (before.missing_since is null) as "first!", (d.verified_at is null) as "withdrawn!""#,
        domain.id,
        domain.token,
        now,
        now - authn.withdraws_domains_after(),
        now + CHECK_INTERVAL,
    );
    let Some(noted) = noted.fetch_optional(&mut **tx).await? else { return Ok(Outcome::Unchanged) };
    if noted.withdrawn {
        return Ok(Outcome::Withdrawn { last: !any_verified(tx).await? });
    }
    if noted.first {
        Ok(Outcome::Missing { until: now + authn.withdraws_domains_after() })
    } else {
        Ok(Outcome::Unchanged)
    }
}

fn settings(authn: &Authn, domain: &VerifiedDomain) -> String {
    authn.url(&format!("/o/{}/settings", domain.organization))
}

#[derive(Template)]
#[template(path = "mail/domain_missing.txt")]
struct MissingMail<'a> {
    domain: &'a VerifiedDomain,
    record: String,
    until: DateTime<Utc>,
    url: String,
}

#[derive(Template)]
#[template(path = "mail/domain_withdrawn.txt")]
struct WithdrawnMail<'a> {
    domain: &'a VerifiedDomain,
    /// The organization has no other verified domain.
    last: bool,
    url: String,
}

fn warning(authn: &Authn, domain: &VerifiedDomain, until: DateTime<Utc>) -> Result<Mail> {
    let (record, url) = (domain_record(&domain.name), settings(authn, domain));
    Ok(Mail::of(DOMAIN_MISSING.name(), &MissingMail { domain, record, until, url })?)
}

fn withdrawal(authn: &Authn, domain: &VerifiedDomain, last: bool) -> Result<Mail> {
    let url = settings(authn, domain);
    Ok(Mail::of(DOMAIN_WITHDRAWN.name(), &WithdrawnMail { domain, last, url })?)
}
