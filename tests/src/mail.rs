//! Mail: sent for what happened, and only for that.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::World;
use crate::harness::passkey::{Authenticator, enrol};

const WAITING: &str = "select count(*) from jobs.queue where kind = 'mail' and failed_at is null";

/// A port that nobody listens on.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("smtp://{}", listener.local_addr().unwrap())
}

async fn queue(world: &World, recipient: &str) {
    sqlx::query(
        "insert into jobs.queue (id, kind, owner, about, payloads, request_id)
         values (gen_random_uuid(), 'mail', gen_random_uuid(), $1, array[jsonb_build_object(
                   'kind', 'test', 'to', $1, 'subject', 'Grüße — ✓', 'text', E'A line.\\n.\\nÄnother line.\\n', 'urgent', false)],
                 gen_random_uuid())",
    )
    .bind(recipient)
    .execute(&mut world.database.owner().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written_and_is_kept_nowhere() {
    let world = World::start().await;
    queue(&world, "ada@example.org").await;
    let mail = world.mail_to("ada@example.org").await;
    assert_eq!((&*mail.subject, mail.text.trim_end()), ("Grüße — ✓", "A line.\n.\nÄnother line."));
    assert_eq!((&*mail.from, &mail.to[..]), ("no-reply@example.com", &["ada@example.org".to_owned()][..]));
    let raw = String::from_utf8_lossy(&mail.raw);
    assert!(raw.contains("Auto-Submitted: auto-generated\r\n"), "{raw}");
    assert!(raw.contains("From: Holdfast <no-reply@example.com>\r\n"), "{raw}");
    assert!(raw.contains("Content-Type: multipart/alternative;"), "{raw}");
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn a_name_is_text_in_both_parts_of_a_mail() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let named = "update identity.users set display_name = '<b>O&\"' where display_name = 'Olivia Owner'";
    assert_eq!(world.change(named).await, 1);
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    assert_eq!(olivia.post(&role, &[("role", "editor"), ("reason", "She writes now")]).await.status, 303);
    let mail = world.told("vera@example.com", "A member has a new role").await;
    let said = "changed Vera Viewer’s role from Viewer to Editor.";
    assert!(mail.text.contains(&format!("<b>O&\" {said}")), "{}", mail.text);
    assert!(
        mail.html.contains(&format!("&#60;b&#62;O&#38;&#34; {said}")) && !mail.html.contains("<b>"),
        "{}",
        mail.html
    );
}

#[tokio::test]
async fn a_mail_waits_for_its_server_and_the_next_process_sends_it() {
    let down = closed_port().await;
    let mut world = World::start_with(&[("MAIL__URL", &down)]).await;
    queue(&world, "ada@example.org").await;
    world
        .until("select count(*) from jobs.queue where kind = 'mail' and tries = 1 and due_at > now() + interval '270 seconds'", 1)
        .await;
    world.stop().await;
    let next = World::start_on(world.database.clone(), "", &[]).await;
    assert_eq!(world.change("update jobs.queue set due_at = now() where kind = 'mail'").await, 1);
    assert_eq!(next.mail_to("ada@example.org").await.subject, "Grüße — ✓");
    world.until(WAITING, 0).await;
    assert_eq!(world.database.count("select count(*) from audit.events where kind = 'mail.undeliverable'").await, 0);
}

#[tokio::test]
async fn a_mail_that_cannot_arrive_is_given_up_and_recorded() {
    let world = World::start().await;
    let undeliverable = "select count(*) from audit.events where kind = 'mail.undeliverable'";
    for (number, recipient) in ["somebody@nowhere.invalid", "no address", "a@b@c"].into_iter().enumerate() {
        queue(&world, recipient).await;
        world.until(undeliverable, i64::try_from(number).unwrap() + 1).await;
    }
    world.until(WAITING, 0).await;

    // A refusal that may be about us, and no answer at all.
    let world = World::start_with(&[("MAIL__FROM", "Holdfast <no-reply@here.invalid>")]).await;
    queue(&world, "ada@example.org").await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and tries = 1 and due_at > now() + interval '270 seconds'", 1).await;
    assert_eq!(world.database.count(undeliverable).await, 0);
    let down = closed_port().await;
    let world = World::start_with(&[("MAIL__URL", &down)]).await;
    queue(&world, "ada@example.org").await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and tries = 1 and due_at > now() + interval '270 seconds'", 1).await;
    let old = "update jobs.queue set created_at = now() - interval '73 hours', due_at = now() where kind = 'mail'";
    assert_eq!(world.change(old).await, 1);
    world.until(undeliverable, 1).await;
    world.until(WAITING, 0).await;
}

#[tokio::test]
async fn two_processes_send_each_mail_once() {
    let world = World::start().await;
    let port = world.smtp.clone();
    let _other = World::start_on(world.database.clone(), "", &[("MAIL__URL", &port)]).await;
    for number in 0..40 {
        queue(&world, &format!("n{number}@example.org")).await;
    }
    world.until(WAITING, 0).await;
    let sent: Vec<String> = world.mailbox.messages().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!((sent.len(), sent.iter().collect::<BTreeSet<_>>().len()), (40, 40));
}

#[tokio::test]
async fn an_expired_mail_is_not_sent() {
    let down = closed_port().await;
    let mut world = World::start_with(&[("MAIL__URL", &down)]).await;
    queue(&world, "ada@example.org").await;
    world.until("select count(*) from jobs.queue where kind = 'mail' and tries = 1 and due_at > now() + interval '270 seconds'", 1).await;
    world.stop().await;
    let over = "update jobs.queue set due_at = now(), expires_at = now() - interval '1 second' where kind = 'mail'";
    assert_eq!(world.change(over).await, 1);
    let next = World::start_on(world.database.clone(), "", &[]).await;
    queue(&world, "last@example.org").await;
    next.mail_to("last@example.org").await;
    assert!(next.mailbox.messages().iter().all(|mail| mail.to != ["ada@example.org"]));
}

// control: IDN-11
// control: OBS-02
#[tokio::test]
async fn people_are_notified_of_changes_to_their_account() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    world.prove(&mut erin, "erin").await;
    let heard = async |subject: &str| {
        let mail = world.mail_to("erin@example.com").await;
        assert_eq!(mail.subject, subject, "{}", mail.text);
        assert!(
            mail.text.contains("127.0.0.0/24") && mail.text.contains(&world.url("/account/sessions")),
            "{}",
            mail.text
        );
        world.mailbox.clear();
    };
    heard("A passkey was added to your account").await;
    let made = erin.post("/account/recovery/codes", &[]).await;
    heard("New recovery codes for your account").await;
    let code = made.body.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut elsewhere = world.sign_in_at_provider("erin").await;
    assert_eq!(elsewhere.post("/recovery", &[("code", &code)]).await.status, 200);
    heard("Somebody is recovering your account").await;
    let mut elsewhere = crate::recovery::continue_after_the_wait(&world, &elsewhere, "erin").await;
    heard("The recovery of your account continues").await;
    let mut new = Authenticator::new(&world);
    assert_eq!(enrol(&mut elsewhere, &mut new, "Another").await.status, 303);
    heard("A passkey was added to your account").await;
    let remove = format!("/account/passkeys/{}/remove", world.first_passkey("erin").await);
    assert_eq!(elsewhere.post(&remove, &[]).await.status, 303);
    heard("A passkey was removed from your account").await;
    let phone =
        world.stranger().with_agent("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1");
    let mut phone = phone;
    let callback = world.click_at_provider(&mut phone, "erin").await;
    assert_eq!(phone.get_from_elsewhere(&callback).await.status, 200);
    heard("A new device signed in to your account").await;
}

// control: IDN-11
#[tokio::test]
async fn the_owner_is_notified_of_a_pending_recovery() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let made = olivia.post("/account/recovery/codes", &[]).await;
    let code = made.body.split("<code>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut thief = world.sign_in_at_provider("olivia").await;
    assert_eq!(thief.post("/recovery", &[("code", &code)]).await.status, 200);
    let waits = async {
        loop {
            let mails = world.mailbox.messages();
            if let Some(mail) = mails.into_iter().find(|mail| mail.subject == "Somebody is recovering your account") {
                return mail;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mail = tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap();
    assert_eq!(mail.to, ["olivia@example.com"]);
    assert!(mail.text.contains("Until then you can stop it"), "{}", mail.text);
}

#[tokio::test]
async fn an_unverified_address_gets_no_mail() {
    let world = World::start().await;
    let mut erin = world.sign_in("erin").await;
    let unverified = "update identity.users set email_verified = false where email = 'erin@example.com'";
    assert_eq!(world.change(unverified).await, 1);
    world.prove(&mut erin, "erin").await;
    assert_eq!(world.database.count("select count(*) from audit.events where kind = 'passkey.enrolled'").await, 1);
    let queued = "select count(*) from jobs.queue where about = 'erin@example.com'";
    assert_eq!(world.database.count(queued).await, 0);
    queue(&world, "last@example.org").await;
    world.mail_to("last@example.org").await;
    assert!(world.mailbox.messages().iter().all(|mail| mail.to != ["erin@example.com"]));
}

// control: API-01
#[tokio::test]
async fn what_one_person_does_again_and_again_is_told_to_everybody_in_few_mails() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let owners = "
        with people as (
          insert into identity.users (id, display_name, email, email_verified, created_at)
          select uuidv7.id, 'Owner ' || n, 'owner' || n || '@example.org', true, now()
            from generate_series(1, 40) n,
                 lateral (select ('01890000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid as id) uuidv7
          returning id)
        insert into tenant.memberships (tenant_id, user_id, role)
        select o.tenant_id, p.id, 'owner' from tenant.organizations o, people p where o.name = 'Acme'";
    assert_eq!(world.change(owners).await, 40);
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("vera").await);
    let waiting = "select count(*) from jobs.queue where kind = 'mail'";
    for number in 0..60 {
        let to = if number % 2 == 0 { "admin" } else { "viewer" };
        let changed = olivia.post(&role, &[("role", to), ("reason", "Because I can")]).await;
        assert_eq!(changed.status, 303, "{number}: {}", changed.text());
        if number == 0 {
            world.until(waiting, 0).await; // all have been told of the first change at once
        }
    }
    let queued = world.database.count(waiting).await;
    assert!(queued <= 2 * 41, "{queued} mails wait");
    // Of the sixty mails that go at once, 41 have gone. The others are fewer than those who wait for a second one.
    world.until("select count(*) from jobs.queue where kind = 'mail' and (due_at <= now() or not waiting)", 0).await;
    let sent = world.mailbox.messages().into_iter().filter(|mail| mail.subject.starts_with("A member has a new role"));
    let sent = sent.count();
    assert!((41..=150).contains(&sent), "{sent} mails for 60 changes and 41 owners");

    // What waits is not lost: in ten minutes at the latest everybody hears of the rest, in one mail.
    let too_long = "select count(*) from jobs.queue where kind = 'mail' and due_at > now() + interval '10 minutes'";
    assert_eq!(world.database.count(too_long).await, 0);
    assert!(world.change("update jobs.queue set due_at = now() where kind = 'mail'").await > 0, "some wait");
    world.until(waiting, 0).await;
    let subject = "A member has a new role";
    let of_owner_7 = world.mailbox.messages().into_iter().filter(|mail| mail.to == ["owner7@example.org"]);
    let told = of_owner_7.map(|mail| {
        let more = mail.subject.strip_prefix(subject).unwrap().trim_start_matches(" (and ").trim_end_matches(" more)");
        1 + more.parse::<i64>().unwrap_or(0)
    });
    assert_eq!(told.sum::<i64>(), 60);
}
