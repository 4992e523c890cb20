//! Jobs to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, entity};

inventory::submit! {
    TruncatedList {
        page: |world| format!("{}/failed-jobs", world.acme.url()),
        sentence: "Only the newest 500 are shown.",
        most: 500,
        table: "jobs.queue",
        counted: "select count(*) from jobs.queue where failed_at is not null",
        make: |world| Box::pin(world.new_failed_job(world.acme)),
        others: "",
    }
}

// `mail`.
inventory::submit! { CausedByTests(&["mail.undeliverable"]) }

sample!("job", World::new_failed_job);
entities!("FailedJob", failed_jobs);

changes!(
    Turn::Usual,
    [Change::new("/o/{organization}/failed-jobs/{job}/retry", &[], &["job.retried"]).ends_or_changes(),]
);

impl World {
    /// A mail of a place that was given up.
    pub(crate) async fn new_failed_job(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        let sql = "insert into jobs.queue (id, kind, tenant_id, owner, about, payloads, request_id, tries, waiting, failed_at, failure)
                   values ($1, 'mail', $2, $2, $3, array[jsonb_build_object('kind', 'test', 'to', $3, 'subject', 'Again',
                             'text', 'A line.', 'urgent', false)], $1, 3, false, now(), 'No server takes mail for it')";
        let job = sqlx::query(sql).bind(id).bind(place.organization).bind(format!("{id}@example.net"));
        job.execute(&mut self.database.owner().await).await.unwrap();
        id
    }
}

fn failed_jobs(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", entity("FailedJob::\"a\"", &["Organization::\"a\""], &[])),
        ("foreign", entity("FailedJob::\"b\"", &["Organization::\"b\""], &[])),
    ]
}
