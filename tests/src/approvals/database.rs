use sqlx::{Executor, PgConnection};

use crate::harness::World;

/// A connection as the application's, in Acme.
async fn bound(world: &World) -> PgConnection {
    let mut web = world.database.web().await;
    let bind = format!("set role tenant_rows; set app.tenant_id = '{}'", world.acme.organization);
    run(&mut web, &bind).await.unwrap();
    web
}

/// Lets it be somebody of the seed who writes.
async fn act_as(web: &mut PgConnection, world: &World, subject: &str) {
    run(web, &format!("set app.user_id = '{}'", world.user(subject).await)).await.unwrap();
}

async fn run(web: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(web.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))).await?.rows_affected())
}

/// The constraint and the sentence with which the database refuses.
async fn refused(web: &mut PgConnection, sql: &str) -> String {
    let refused = run(web, sql).await.expect_err(sql);
    let error = refused.as_database_error().unwrap();
    let told = format!("{} {}", error.constraint().unwrap_or_default(), error.message());
    let _ = run(web, "rollback").await;
    told
}

/// Olivia asks for something that is done to Acme.
async fn ask(world: &World, kind: &str) -> uuid::Uuid {
    let id = uuid::Uuid::now_v7();
    let ask = "insert into tenant.approvals
                 (tenant_id, id, kind, target, parameters, reason, requested_by, requester_role, requested_at, expires_at)
               select tenant_id, $2, $3, tenant_id, '{}', 'A test of it', user_id, role, now(), now() + interval '1 hour'
                 from tenant.memberships where tenant_id = $1 and role = 'owner'";
    sqlx::query(ask)
        .bind(world.acme.organization)
        .bind(id)
        .bind(kind)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    id
}

// control: POL-07
#[tokio::test]
async fn a_request_for_a_role_cannot_be_changed() {
    let world = World::start().await;
    let id = ask(&world, "delete_organization").await;
    let mut web = bound(&world).await;
    for set in [
        "id = id",
        "kind = 'stop_requiring_sso'",
        "target = id",
        "parameters = '{}'",
        "reason = 'Another'",
        "ticket = 'x'",
        "requested_by = id",
        "requester_role = 'admin'",
        "requested_at = now()",
        "expires_at = now()",
        "decided_in = pg_current_xact_id()",
    ] {
        let refused = refused(&mut web, &format!("update tenant.approvals set {set}")).await;
        assert!(refused.contains("permission denied"), "{set}: {refused}");
    }
    assert!(refused(&mut web, "delete from tenant.approvals").await.contains("permission denied"));
    let decided = "insert into tenant.approvals (id, kind, target, parameters, reason, requested_by, requester_role,
                                                 requested_at, expires_at, outcome)
                   select gen_random_uuid(), kind, id, parameters, reason, requested_by, requester_role, now(), now(),
                          'approved' from tenant.approvals";
    assert!(refused(&mut web, decided).await.contains("permission denied"));
    let by = |who: &str, outcome: &str| {
        format!(
            "update tenant.approvals set decided_by = {who}, decided_at = requested_at, outcome = '{outcome}' where id = '{id}'"
        )
    };
    let adam = format!("'{}'", world.user("adam").await);
    act_as(&mut web, &world, "olivia").await;
    assert!(refused(&mut web, &by("requested_by", "approved")).await.contains("approvals_by_another"));
    assert!(refused(&mut web, &by(&adam, "approved")).await.contains("check_author"), "as somebody else");
    act_as(&mut web, &world, "adam").await;
    let asked = "insert into tenant.approvals (id, kind, target, parameters, reason, requested_by, requester_role,
                                               requested_at, expires_at)
                 select gen_random_uuid(), 'stop_requiring_sso', target, '{}', reason, requested_by, requester_role,
                        requested_at, expires_at from tenant.approvals";
    assert!(refused(&mut web, asked).await.contains("check_author"), "in the name of somebody else");
    run(&mut web, &by(&adam, "declined")).await.unwrap();
    assert!(refused(&mut web, &by(&adam, "approved")).await.contains("approvals_once"));
    let undone = "update tenant.approvals set decided_by = null, decided_at = null, outcome = null";
    assert!(refused(&mut web, undone).await.contains("approvals_once"));
}

// control: POL-07
#[tokio::test]
async fn the_database_does_nothing_of_it_but_in_the_transaction_of_its_approval() {
    let world = World::start().await;
    world.new_provider(world.acme).await;
    let domain = world.new_domain(world.acme).await;
    let prove = "update tenant.domains set verified_at = created_at where id = $1";
    sqlx::query(prove).bind(domain).execute(&mut world.database.owner().await).await.unwrap();
    world
        .change("update tenant.organizations set settings = settings || '{\"requires_sso\": true}' where name = 'Acme'")
        .await;
    let adam = world.user("adam").await;
    let approve = |id: uuid::Uuid, outcome: &str| {
        format!(
            "update tenant.approvals set decided_by = '{adam}', decided_at = requested_at, outcome = '{outcome}' where id = '{id}'"
        )
    };
    let mut web = bound(&world).await;
    act_as(&mut web, &world, "adam").await;
    for (kind, other, effect) in [
        (
            "stop_requiring_sso",
            "delete_organization",
            "update tenant.organizations set settings = settings || '{\"requires_sso\": false}'",
        ),
        ("delete_organization", "stop_requiring_sso", "update tenant.organizations set deleted_at = now()"),
    ] {
        assert!(refused(&mut web, effect).await.contains("approval_required"), "{kind}: without any");
        let id = ask(&world, kind).await;
        assert!(refused(&mut web, effect).await.contains("approval_required"), "{kind}: that waits");
        let id_of_other = ask(&world, other).await;
        let with = |id, outcome| format!("begin; {}; {effect}; commit", approve(id, outcome));
        assert!(refused(&mut web, &with(id, "declined")).await.contains("approval_required"), "{kind}: declined");
        assert!(
            refused(&mut web, &with(id_of_other, "approved")).await.contains("approval_required"),
            "{kind}: another"
        );
        run(&mut web, &approve(id, "approved")).await.unwrap();
        assert!(refused(&mut web, effect).await.contains("approval_required"), "{kind}: of another transaction");
        assert_eq!(run(&mut web, &approve(id_of_other, "declined")).await.unwrap(), 1);
        let id = ask(&world, kind).await;
        run(&mut web, &with(id, "approved")).await.unwrap();
    }
    let both = "select count(*) from tenant.organizations where name = 'Acme' and deleted_at is not null and not settings @> '{\"requires_sso\": true}'";
    assert_eq!(world.database.count(both).await, 1);
}

// control: POL-07
#[tokio::test]
async fn an_organization_can_reach_only_factors_of_accounts_that_it_manages() {
    let world = World::start().await;
    world.passkey("olivia").await;
    let mut web = bound(&world).await;
    for sql in [
        "delete from identity.passkeys where user_id is not null",
        "delete from identity.totp where user_id is not null",
        "delete from identity.recovery_codes where user_id is not null",
        "delete from identity.recoveries where user_id is not null",
        "update identity.passkeys set disabled_at = now(), disabled_reason = 'x' where user_id is not null",
    ] {
        assert_eq!(run(&mut web, sql).await.unwrap(), 0, "{sql}");
    }
    world
        .change(
            "update identity.users set managed_by = (select tenant_id from tenant.organizations where name = 'Globex')",
        )
        .await;
    assert_eq!(run(&mut web, "select from identity.passkeys").await.unwrap(), 0, "of another organization");
    world
        .change(
            "update identity.users set managed_by = (select tenant_id from tenant.organizations where name = 'Acme')",
        )
        .await;
    assert_eq!(run(&mut web, "select from identity.passkeys").await.unwrap(), 1, "else this would show nothing");
    assert!(refused(&mut web, "select credential from identity.passkeys").await.contains("permission denied"));
}

// control: POL-07
#[tokio::test]
async fn a_wait_that_is_said_to_be_over_is_not() {
    let world = World::start().await;
    let id = ask(&world, "delete_organization").await;
    world.change("update tenant.memberships set role = 'owner' where role = 'admin'").await;
    let (olivia, adam) = (world.user("olivia").await, world.user("adam").await);
    let ask = |ago: &str| {
        format!(
            "insert into tenant.approvals (id, kind, target, parameters, reason, requested_by, requester_role, requested_at,
                                           expires_at, single_approver_from)
             values (gen_random_uuid(), 'remove_owner', '{adam}', '{{}}', 'A test of it', '{olivia}', 'owner',
                     now() - interval '{ago}', now() + interval '1 hour', now() - interval '{ago}' + interval '72 hours')"
        )
    };
    let mut web = bound(&world).await;
    act_as(&mut web, &world, "olivia").await;
    assert!(refused(&mut web, &ask("73 hours")).await.starts_with("approvals_backdated"));
    assert!(refused(&mut web, &ask("6 minutes")).await.starts_with("approvals_backdated"));
    assert_eq!(run(&mut web, &ask("4 minutes")).await.unwrap(), 1);
    world.change("update tenant.approvals set requested_at = requested_at - interval '3 days', expires_at = expires_at - interval '3 days', single_approver_from = single_approver_from - interval '3 days'").await;
    act_as(&mut web, &world, "adam").await;
    let late = format!(
        "update tenant.approvals set decided_by = '{adam}', decided_at = requested_at, outcome = 'approved' where id = '{id}'"
    );
    assert!(refused(&mut web, &late).await.starts_with("approvals_backdated"));
}

// control: IDN-08
#[tokio::test]
async fn a_session_that_has_ended_stays_ended() {
    let world = World::start().await;
    world.sign_in("vera").await;
    world.change("update identity.sessions set ended_at = now(), ended_reason = 'a test'").await;
    let mut web = bound(&world).await;
    let vera = world.user("vera").await;
    let revive = format!(
        "update identity.sessions set ended_at = null, ended_reason = null, rotated_at = 'epoch' where user_id = '{vera}'"
    );
    assert!(refused(&mut web, &revive).await.starts_with("session_ended"));
    run(
        &mut web,
        &format!("reset role; set role account_rows; set app.user_id = '{vera}'; set app.sso_tenant_id = ''"),
    )
    .await
    .unwrap();
    assert!(refused(&mut web, &revive).await.starts_with("session_ended"));
    run(&mut web, "reset role; set role identity_rows").await.unwrap();
    assert!(refused(&mut web, &revive).await.starts_with("session_ended"));
}
