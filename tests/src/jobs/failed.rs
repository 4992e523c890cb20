//! Jobs that were given up, and trying one again.

use serde_json::json;

use crate::harness::{Client, World};

const WAITING: &str = "select count(*) from jobs.queue where kind = 'mail' and failed_at is null";
const FAILED: &str = "select count(*) from jobs.queue where failed_at is not null";

fn page(world: &World) -> String {
    format!("{}/failed-jobs", world.acme.url())
}

async fn retry(client: &mut Client, world: &World, job: uuid::Uuid) -> crate::harness::Answer {
    client.post(&format!("{}/{job}/retry", page(world)), &[]).await
}

#[tokio::test]
async fn an_admin_sees_what_failed_and_why_and_has_it_tried_again() {
    let world = World::start().await;
    let job = world.new_failed_job(world.acme).await;
    let mut adam = world.sign_in("adam").await;
    assert!(adam.get(&format!("{}/activity", world.acme.url())).await.body.contains(&page(&world)));
    let list = adam.get(&page(&world)).await;
    for shown in ["Mail", &format!("{job}@example.net"), "No server takes mail for it", "tried 3 times"] {
        assert!(list.body.contains(shown), "{shown}: {}", list.text());
    }
    assert_eq!(retry(&mut adam, &world, job).await.status, 303);
    assert_eq!(world.mail_to(&format!("{job}@example.net")).await.subject, "Again");
    world.until(WAITING, 0).await;
    let event = &world.events("job.retried").await[0];
    assert_eq!(event["actor"], json!(world.user("adam").await));
    assert_eq!(event["details"]["failure"], "No server takes mail for it");
    assert!(adam.get(&page(&world)).await.body.contains("Nothing has failed"));
    assert_eq!(retry(&mut adam, &world, job).await.status, 404, "it is done and gone");
}

// control: TEN-05
#[tokio::test]
async fn nobody_retries_what_is_another_organization_s_a_person_s_or_not_failed() {
    let world = World::start().await;
    let (theirs, waiting) = (world.new_failed_job(world.globex).await, world.new_failed_job(world.acme).await);
    let persons = world.new_failed_job(world.acme).await;
    for (sql, id) in [
        (
            "update jobs.queue set failed_at = null, failure = null, due_at = now() + interval '1 hour' where id = $1",
            waiting,
        ),
        ("update jobs.queue set tenant_id = null where id = $1", persons),
    ] {
        sqlx::query(sql).bind(id).execute(&mut world.database.owner().await).await.unwrap();
    }
    let mut olivia = world.sign_in("olivia").await;
    for job in [theirs, waiting, persons] {
        assert_eq!(retry(&mut olivia, &world, job).await.status, 404);
        assert!(!olivia.get(&page(&world)).await.body.contains(&job.to_string()));
    }
    assert_eq!(world.database.count(FAILED).await, 2);
    assert_eq!(world.events("job.retried").await.len(), 0);
}

#[tokio::test]
async fn of_two_who_retry_at_once_one_does_and_what_has_expired_is_tried_no_more() {
    let world = World::start().await;
    let job = world.new_failed_job(world.acme).await;
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    let mut owner = world.database.session().await;
    sqlx::raw_sql("begin; select from jobs.queue for update").execute(&mut owner).await.unwrap();
    let answers = world.race(owner, retry(&mut olivia, &world, job), retry(&mut adam, &world, job)).await;
    let mut statuses = answers.each_ref().map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 409]);
    assert!(answers.iter().any(|answer| answer.body.contains("already being retried")));
    assert_eq!(world.events("job.retried").await.len(), 1);

    let late = world.new_failed_job(world.acme).await;
    world.change("update jobs.queue set expires_at = now() - interval '1 minute' where failed_at is not null").await;
    let list = olivia.get(&page(&world)).await;
    assert!(list.body.contains("Expired") && !list.body.contains(">Try again"), "{}", list.text());
    let refused = retry(&mut olivia, &world, late).await;
    assert!(refused.status == 409 && refused.body.contains("has expired"), "{}", refused.text());
}

// control: API-01
#[tokio::test]
async fn trying_again_is_counted_for_the_person() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for number in 0..21 {
        let job = world.new_failed_job(world.acme).await;
        assert_eq!(retry(&mut olivia, &world, job).await.status, if number < 20 { 303 } else { 429 });
    }
}

#[tokio::test]
async fn a_worker_with_an_old_lease_says_nothing_of_a_job_that_is_tried_again() {
    let world = World::start_with(&[("MAIL__URL", "smtp://127.0.0.1:9")]).await;
    let job = world.new_failed_job(world.acme).await;
    let created = "update jobs.queue set created_at = now() - interval '80 hours'";
    assert_eq!(world.change(created).await, 1);
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(retry(&mut olivia, &world, job).await.status, 303);
    // It is tried as if it were new, and postponed. Only its count of attempts continues.
    let postponed = "select count(*) from jobs.queue where tries = 4 and failed_at is null and due_at > now() + interval '270 seconds'";
    world.until(postponed, 1).await;
    let mut worker = world.database.session().await;
    let old = sqlx::query("delete from jobs.queue where id = $1 and tries = 3").bind(job);
    assert_eq!(old.execute(&mut worker).await.unwrap().rows_affected(), 0);
}

// control: IDN-21
#[tokio::test]
async fn an_invitation_whose_mail_is_tried_again_is_not_marked_any_more() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let invitations = format!("{}/invitations", world.acme.url());
    let form = [("email", "x@nowhere.invalid"), ("role", "viewer"), ("reason", "Helps us out")];
    assert_eq!(olivia.post(&invitations, &form).await.status, 303);
    world.until(FAILED, 1).await;
    assert!(olivia.get(&invitations).await.body.contains("Email not delivered"));
    let job = sqlx::query_scalar(
        "update jobs.queue set payloads = array[jsonb_set(payloads[1], '{to}', '\"x@example.net\"')]
          where failed_at is not null returning id",
    );
    let job = job.fetch_one(&mut world.database.owner().await).await.unwrap();
    assert_eq!(retry(&mut olivia, &world, job).await.status, 303);
    world.mail_to("x@example.net").await;
    assert!(!olivia.get(&invitations).await.body.contains("Email not delivered"));
}
