//! Inviting people, and joining.

mod samples;

use serde_json::json;
use uuid::Uuid;

use crate::harness::{Answer, Client, World};

const WHY: (&str, &str) = ("reason", "Joins the team");
const NOT_NEEDED: [(&str, &str); 1] = [("reason", "Not needed any more")];

async fn invite(client: &mut Client, world: &World, email: &str, role: &str) -> Answer {
    let form = [("email", email), ("role", role), WHY];
    client.post(&format!("{}/invitations", world.acme.url()), &form).await
}

/// The id of the invitation of an address.
async fn invitation(world: &World, email: &str) -> Uuid {
    sqlx::query_scalar("select id from tenant.invitations where email = $1")
        .bind(email)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

async fn accept(client: &mut Client, id: Uuid) -> Answer {
    client.post(&format!("/invitations/{id}/accept"), &[]).await
}

// control: IDN-21
// control: POL-12
#[tokio::test]
async fn an_invited_person_gets_a_mail_and_joins_with_the_offered_role() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let invited = invite(&mut olivia, &world, " Nora@Example.com ", "editor").await;
    assert_eq!(invited.status, 303, "{}", invited.text());
    let listed = olivia.get(&format!("{}/invitations", world.acme.url())).await;
    for shown in ["nora@example.com", "Editor", "Olivia Owner", "Cancel<span"] {
        assert!(listed.body.contains(shown), "{shown}: {}", listed.text());
    }
    let mail = world.mail_to("nora@example.com").await;
    assert_eq!(mail.subject, "You are invited to an organization");
    for said in ["Olivia Owner invites you to join “Acme” as Editor.", &*world.url("/invitations")] {
        assert!(mail.text.contains(said), "{}", mail.text);
    }

    let mut nora = world.sign_in("nora").await;
    let own = nora.get("/invitations").await;
    assert!(own.body.contains("Acme") && own.body.contains("Editor"), "{}", own.text());
    assert_eq!(nora.get(&world.acme.url()).await.status, 404, "not yet");
    let joined = accept(&mut nora, invitation(&world, "nora@example.com").await).await;
    assert_eq!((joined.status, joined.location()), (303, &*world.acme.url()), "{}", joined.text());
    assert_eq!(nora.get(&world.acme.url()).await.status, 200);
    assert_eq!(world.role("nora").await.as_deref(), Some("editor"));
    assert!(!olivia.get(&format!("{}/invitations", world.acme.url())).await.body.contains("nora@"));

    let activity = olivia.get(&format!("{}/activity", world.acme.url())).await;
    for shown in ["Invited a member", "Joined the organization", "Joins the team"] {
        assert!(activity.body.contains(shown), "{shown}: {}", activity.text());
    }
    let details: serde_json::Value =
        sqlx::query_scalar("select details from audit.events where kind = 'invitation.created'")
            .fetch_one(&mut world.database.owner().await)
            .await
            .unwrap();
    assert_eq!(details, json!({ "email": "nora@example.com", "role": "editor", "reason": "Joins the team" }));
}

// control: IDN-21
#[tokio::test]
async fn an_invitation_is_for_its_verified_address_alone() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(invite(&mut olivia, &world, "nora@example.com", "editor").await.status, 303);
    let id = invitation(&world, "nora@example.com").await;
    let mut gus = world.sign_in("gus").await;
    assert_eq!(accept(&mut gus, id).await.status, 404, "another address");
    assert!(!gus.get("/invitations").await.body.contains("Acme"));

    let mut nora = world.sign_in("nora").await;
    // A Kelvin sign is no k, though its small letter is: nobody passes for somebody else with it.
    for (email, verified) in [("nora@example.com", false), ("nora@example.com.evil.example", true), ("", true)] {
        sqlx::query("update identity.users set email = $1, email_verified = $2 where id = $3")
            .bind(email)
            .bind(verified)
            .bind(world.user("nora").await)
            .execute(&mut world.database.owner().await)
            .await
            .unwrap();
        assert_eq!(accept(&mut nora, id).await.status, 404, "{email}");
        assert!(!nora.get("/invitations").await.body.contains("Acme"), "{email}");
    }
    assert_eq!(world.role("nora").await, None);
    let kelvin = "update identity.users set email = 'nora@\u{212a}example.com', email_verified = true
                   where id in (select user_id from identity.accounts where subject = 'nora')";
    assert_eq!(world.change(kelvin).await, 1);
    assert_eq!(invite(&mut olivia, &world, "nora@kexample.com", "editor").await.status, 303);
    assert_eq!(accept(&mut nora, invitation(&world, "nora@kexample.com").await).await.status, 404);
}

// control: IDN-21
#[tokio::test]
async fn an_invitation_works_once_and_for_seven_days() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(invite(&mut olivia, &world, "nora@example.com", "viewer").await.status, 303);
    let id = invitation(&world, "nora@example.com").await;
    let nora = world.sign_in("nora").await;
    let send = || {
        let mut nora = nora.clone();
        async move { accept(&mut nora, id).await.status }
    };
    let mut statuses: [u16; 3] = tokio::join!(send(), send(), send()).into();
    statuses.sort_unstable();
    assert_eq!(statuses[0], 303, "{statuses:?}");
    assert!(statuses[1..].iter().all(|status| matches!(status, 404 | 409)), "{statuses:?}");
    let joined = "select count(*) from audit.events where kind = 'member.joined'";
    assert_eq!(world.database.count(joined).await, 1);

    let mut gus = world.sign_in("gus").await;
    assert_eq!(invite(&mut olivia, &world, "gus@example.com", "viewer").await.status, 303);
    world.wait(7 * 86_400 - 60);
    let mut gus_later = world.sign_in("gus").await;
    assert!(gus_later.get("/invitations").await.body.contains("Acme"), "still there");
    world.wait(60);
    assert!(!gus_later.get("/invitations").await.body.contains("Acme"), "over");
    let late = accept(&mut gus_later, invitation(&world, "gus@example.com").await).await;
    assert_eq!(late.status, 409, "{}", late.text());
    assert_eq!(world.role("gus").await, None);
    let over = accept(&mut gus, id).await;
    assert!(
        over.status == 303 && over.location().starts_with("/sign-in?"),
        "that session is long over: {}",
        over.text()
    );
    // One that has ended is in nobody's way.
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(invite(&mut olivia, &world, "gus@example.com", "viewer").await.status, 303);
}

// control: IDN-21
#[tokio::test]
async fn a_revoked_invitation_is_gone() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    assert_eq!(invite(&mut olivia, &world, "nora@example.com", "viewer").await.status, 303);
    let again = invite(&mut olivia, &world, "NORA@example.com", "editor").await;
    assert_eq!(again.status, 422, "{}", again.text());
    assert!(again.body.contains("is already invited"), "{}", again.text());
    let id = invitation(&world, "nora@example.com").await;
    let revoke = format!("{}/invitations/{id}/revoke", world.acme.url());
    assert_eq!(olivia.post(&revoke, &NOT_NEEDED).await.status, 303);
    assert_eq!(olivia.post(&revoke, &NOT_NEEDED).await.status, 404);
    assert_eq!(accept(&mut world.sign_in("nora").await, id).await.status, 404);
    assert_eq!(invite(&mut olivia, &world, "nora@example.com", "editor").await.status, 303, "and may be invited again");
    let member = invite(&mut olivia, &world, "vera@example.com", "editor").await;
    assert!(member.status == 422 && member.body.contains("is already a member"), "{}", member.text());
}

// control: IDN-21
// control: POL-04
#[tokio::test]
async fn an_invitation_grants_only_a_role_that_the_inviter_may_still_grant() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    assert_eq!(invite(&mut adam, &world, "nora@example.com", "owner").await.status, 403, "admins make no owners");
    assert_eq!(invite(&mut adam, &world, "nora@example.com", "editor").await.status, 303);
    let id = invitation(&world, "nora@example.com").await;
    let mut nora = world.sign_in("nora").await;
    let adams = world.user("adam").await;
    let become_a = |role: &'static str| {
        let (database, organization) = (world.database.clone(), world.acme.organization);
        async move {
            sqlx::query("update tenant.memberships set role = $1 where tenant_id = $2 and user_id = $3")
                .bind(role)
                .bind(organization)
                .bind(adams)
                .execute(&mut database.owner().await)
                .await
                .unwrap();
        }
    };
    become_a("editor").await;
    assert_eq!(accept(&mut nora, id).await.status, 404, "he is no admin any more");
    let listed = nora.get("/invitations").await;
    assert!(listed.body.contains("The person who invited you can no longer do so"), "{}", listed.text());
    become_a("admin").await;
    let olivias = "update tenant.invitations set role = 'owner'";
    assert_eq!(world.change(olivias).await, 1);
    assert_eq!(accept(&mut nora, id).await.status, 404, "and was never one to make owners");
    assert_eq!(world.role("nora").await, None);

    let gone = "delete from tenant.memberships m using identity.accounts a where m.user_id = a.user_id
                and a.subject = 'adam' and m.role = 'admin'";
    assert_eq!(world.change(gone).await, 1);
    assert_eq!(world.database.count("select count(*) from tenant.invitations").await, 0, "they go with him");
}

// control: TEN-01
#[tokio::test]
async fn the_database_lets_nobody_join_but_as_invited() {
    let world = World::start().await;
    let nora = world.user("nora").await;
    let acme = world.acme.organization;
    world.invite(Uuid::now_v7(), acme, "nora@example.com", "viewer").await;
    let join = |as_whom: Uuid, role: &'static str, organization: Uuid, user: Uuid| {
        let database = world.database.clone();
        async move {
            let mut owner = database.session().await;
            let sql = format!(
                "begin; set local role account_rows; set local app.user_id = '{as_whom}'; set local app.sso_tenant_id = '';
                 insert into tenant.memberships (tenant_id, user_id, role) values ('{organization}', '{user}', '{role}');
                 rollback"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut owner).await.map(drop)
        }
    };
    let gus = world.user("gus").await;
    assert!(join(nora, "viewer", acme, nora).await.is_ok());
    assert!(join(nora, "owner", acme, nora).await.is_err(), "another role");
    assert!(join(nora, "viewer", world.globex.organization, nora).await.is_err(), "another organization");
    assert!(join(nora, "viewer", acme, gus).await.is_err(), "for somebody else");
    assert!(join(gus, "viewer", acme, gus).await.is_err(), "by the invitation of somebody else");
    let mut owner = world.database.session().await;
    let as_nora = |what: &str| {
        let sql = format!(
            "begin; set local role account_rows; set local app.user_id = '{nora}'; set local app.sso_tenant_id = ''; {what}; rollback"
        );
        sqlx::AssertSqlSafe(sql)
    };
    let joined = |kind: &str| {
        format!(
            "insert into audit.events (id, tenant_id, actor, kind, target)
             values (gen_random_uuid(), '{acme}', '{nora}', '{kind}', 'Member')"
        )
    };
    let member =
        format!("insert into tenant.memberships (tenant_id, user_id, role) values ('{acme}', '{nora}', 'viewer')");
    for (what, done) in [
        (joined("member.joined"), false),
        (format!("{member}; {}", joined("member.joined")), true),
        (format!("{member}; {}", joined("member.removed")), false),
        (
            format!(
                "insert into jobs.queue (id, tenant_id, owner, kind, about, payloads, request_id)
                  values (gen_random_uuid(), '{acme}', '{acme}', 'mail', '', array['{{}}'::jsonb], gen_random_uuid())"
            ),
            false,
        ),
    ] {
        let tried = sqlx::raw_sql(as_nora(&what)).execute(&mut owner).await;
        assert_eq!(tried.is_ok(), done, "{what}: {tried:?}");
        sqlx::raw_sql("rollback").execute(&mut owner).await.unwrap();
    }
}

// control: API-01
#[tokio::test]
async fn organizations_that_invite_one_person_at_once_send_no_more_mails_than_one_after_the_other() {
    let world = World::start().await;
    world.sign_in("olivia").await;
    let many = "with made as (insert into tenant.organizations (tenant_id, name)
                              select gen_random_uuid(), 'Many ' || n from generate_series(1, 25) n returning tenant_id)
                insert into tenant.memberships (tenant_id, user_id, role)
                select tenant_id, (select id from identity.users where display_name = 'Olivia Owner'), 'owner' from made";
    assert_eq!(world.change(many).await, 25);
    let organizations: Vec<Uuid> =
        sqlx::query_scalar("select tenant_id from tenant.organizations where name like 'Many %'")
            .fetch_all(&mut world.database.owner().await)
            .await
            .unwrap();
    let olivia = world.sign_in("olivia").await;
    let invited = organizations.iter().map(|organization| {
        let (mut olivia, path) = (olivia.clone(), format!("/o/{organization}/invitations"));
        async move { olivia.post(&path, &[("email", "nora@example.com"), ("role", "viewer"), WHY]).await.status }
    });
    assert_eq!(futures_util::future::join_all(invited).await, vec![303; 25], "all stand");
    let told = "select count(*) from tenant.invitations where notified";
    assert_eq!(world.database.count(told).await, 20);
}

// control: API-01
#[tokio::test]
async fn a_person_makes_a_bounded_number_of_invitations_and_an_address_gets_a_bounded_number_of_mails() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for number in 0..30 {
        assert_eq!(invite(&mut olivia, &world, &format!("n{number}@example.org"), "viewer").await.status, 303);
    }
    let refused = invite(&mut olivia, &world, "one-more@example.org", "viewer").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "120"), "{}", refused.text());
    assert_eq!(world.database.count("select count(*) from tenant.invitations").await, 30);
    let made = olivia.post("/organizations", &[("name", "Another")]).await;
    let form = [("email", "one-more@example.org"), ("role", "viewer"), WHY];
    let elsewhere = olivia.post(&format!("{}/invitations", made.location()), &form).await;
    assert_eq!(elsewhere.status, 429, "in every organization");

    world.wait(3_600);
    let mut olivia = world.sign_in("olivia").await;
    for _ in 0..7 {
        assert_eq!(invite(&mut olivia, &world, "nora@example.com", "viewer").await.status, 303);
        let revoke =
            format!("{}/invitations/{}/revoke", world.acme.url(), invitation(&world, "nora@example.com").await);
        assert_eq!(olivia.post(&revoke, &NOT_NEEDED).await.status, 303);
    }
    world.until("select count(*) from jobs.queue where kind = 'mail' and failed_at is null", 0).await;
    let told = world.mailbox.messages().iter().filter(|mail| mail.to == ["nora@example.com"]).count();
    assert_eq!(told, 5, "the others stand, and are told by no mail");
    // What one organization has used up keeps no other one from telling them, and where no mail was sent the page says so.
    let invited = invite(&mut olivia, &world, "nora@example.com", "viewer").await;
    let page = olivia.get(invited.location()).await;
    assert!(page.body.contains("No email was sent") && page.body.contains("No email sent"), "{}", page.text());
    // What an organization tries beyond its own limit takes nothing from the others.
    for _ in 0..6 {
        assert_eq!(invite(&mut olivia, &world, "nora@example.com", "viewer").await.status, 422, "invited already");
    }
    let spent = "select count(*) from tenant.invitations where not notified";
    assert_eq!(world.database.count(spent).await, 1);
    let elsewhere = format!("{}/invitations", made.location());
    let form = [("email", "nora@example.com"), ("role", "viewer"), WHY];
    let invited = olivia.post(&elsewhere, &form).await;
    assert_eq!(invited.status, 303, "{}", invited.text());
    assert!(!olivia.get(&elsewhere).await.body.contains("No email"));
    let told = "select count(*) from tenant.invitations where email = 'nora@example.com' and notified";
    assert_eq!(world.database.count(told).await, 1);
    for number in 0..9 {
        assert_eq!(olivia.post("/organizations", &[("name", &*format!("Org {number}"))]).await.status, 303);
    }
    assert_eq!(olivia.post("/organizations", &[("name", "One more")]).await.status, 303, "an hour has gone by");
    assert_eq!(olivia.post("/organizations", &[("name", "Too many")]).await.status, 429);
}

// control: IDN-21
#[tokio::test]
async fn of_joining_and_what_is_changed_in_the_same_moment_one_is_done() {
    let world = World::start().await;
    let mut adam = world.sign_in("adam").await;
    let nora = world.sign_in("nora").await;
    for change in [
        "update tenant.memberships m set role = 'editor' from identity.accounts a
          where a.user_id = m.user_id and a.subject = 'adam' and m.role = 'admin'",
        "delete from tenant.invitations",
    ] {
        world.change("delete from tenant.invitations").await;
        assert_eq!(invite(&mut adam, &world, "nora@example.com", "viewer").await.status, 303);
        let id = invitation(&world, "nora@example.com").await;
        let mut owner = world.database.session().await;
        let under_way = format!("begin; {change}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(under_way)).execute(&mut owner).await.unwrap();
        let asked = tokio::spawn({
            let mut nora = nora.clone();
            async move { accept(&mut nora, id).await.status }
        });
        world.until_blocked(1).await;
        sqlx::raw_sql("commit").execute(&mut owner).await.unwrap();
        assert_eq!(asked.await.unwrap(), 409, "{change}");
        assert_eq!(world.role("nora").await, None, "{change}");
        let back = "update tenant.memberships m set role = 'admin' from identity.accounts a
                     where a.user_id = m.user_id and a.subject = 'adam' and m.role = 'editor'";
        world.change(back).await;
    }
}

// control: IDN-21
// control: POL-04
#[tokio::test]
async fn an_inviter_who_is_no_longer_an_admin_has_no_valid_invitations() {
    let world = World::start().await;
    let (mut olivia, mut adam) = (world.sign_in("olivia").await, world.sign_in("adam").await);
    assert_eq!(invite(&mut adam, &world, "nora@example.com", "viewer").await.status, 303);
    let id = invitation(&world, "nora@example.com").await;
    let adams = format!("{}/members/{}", world.acme.url(), world.user("adam").await);
    let down = [("role", "editor"), ("reason", "Other work")];
    assert_eq!(olivia.post(&format!("{adams}/role"), &down).await.status, 303);
    let mut nora = world.sign_in("nora").await;
    assert_eq!(accept(&mut nora, id).await.status, 404, "while he is an editor");
    let up = [("role", "admin"), ("reason", "Back again")];
    assert_eq!(olivia.post(&format!("{adams}/role"), &up).await.status, 303);
    assert_eq!(olivia.post(&format!("{adams}/remove"), &up[1..]).await.status, 303);
    assert_eq!(accept(&mut nora, id).await.status, 404, "he is gone");
    assert_eq!(world.database.count("select count(*) from tenant.invitations").await, 0);
    assert_eq!(world.role("nora").await, None);
}

#[tokio::test]
async fn bad_forms_say_what_is_wrong_and_invite_nobody() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    for (email, role, field) in [
        ("", "viewer", "f-email"),
        ("nobody", "viewer", "f-email"),
        ("a@b.example\r\nBcc: x@y.example", "viewer", "f-email"),
        ("a@b.example", "", "f-role"),
        ("a@b.example", "god", "f-role"),
    ] {
        let answer = invite(&mut olivia, &world, email, role).await;
        assert_eq!(answer.status, 422, "{email:?} {role:?}");
        assert!(answer.body.contains(&format!("{field}-error")), "{email:?} {role:?}: {}", answer.text());
    }
    let no_reason = [("email", "a@b.example"), ("role", "viewer"), ("reason", "")];
    let answer = olivia.post(&format!("{}/invitations", world.acme.url()), &no_reason).await;
    assert!(answer.status == 422 && answer.body.contains("f-reason-error"), "{}", answer.text());
    assert_eq!(world.database.count("select count(*) from tenant.invitations").await, 0);
    assert_eq!(
        world.database.count("select count(*) from jobs.queue where payloads[1] ->> 'kind' = 'invitation'").await,
        0
    );
}
