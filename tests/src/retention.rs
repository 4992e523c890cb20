//! What is over is deleted, and nothing else.

use std::collections::BTreeSet;

use sqlx::{Connection, Executor};

use crate::harness::{World, registry};

/// Tables with times in them whose rows stay: what people have, and what goes with something else.
const STAY: [&str; 15] = [
    "identity.accounts",
    "identity.passkeys",
    "identity.recovery_codes",
    // With its family.
    "identity.refresh_tokens",
    // One for each person; one that is not confirmed makes room for the next.
    "identity.totp",
    "identity.users",
    // One for each account at an organization's provider.
    "identity.sso_authentications",
    // One for each kind.
    "jobs.periods",
    "tenant.api_clients",
    "tenant.contacts",
    "tenant.domains",
    "tenant.memberships",
    "tenant.organizations",
    "tenant.identity_providers",
    "tenant.workspaces",
];

const OFTEN: [(&str, &str); 1] = [("RETENTION__EVERY_SECONDS", "1")];

#[tokio::test]
async fn every_table_with_a_time_in_it_has_a_rule_or_stays_for_a_reason() {
    let world = World::start().await;
    let tables = "select distinct c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid
                   where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text in ('tenant', 'audit', 'identity', 'jobs')
                     and a.attnum > 0 and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)";
    let tables: BTreeSet<String> =
        sqlx::query_scalar(tables).fetch_all(&mut world.database.owner().await).await.unwrap().into_iter().collect();
    let ruled: BTreeSet<String> = app::retention_rules(&registry()).iter().map(|rule| rule.table.to_owned()).collect();
    let stay: BTreeSet<String> = STAY.iter().map(|table| (*table).to_owned()).collect();
    assert!(ruled.is_disjoint(&stay));
    assert_eq!(tables, &ruled | &stay);
}

#[tokio::test]
async fn every_rule_runs_as_the_janitor_and_reads_an_index() {
    let world = World::start().await;
    let mut web = world.database.web().await;
    for rule in app::retention_rules(&registry()) {
        let mut tx = web.begin().await.unwrap();
        tx.execute(
            "set local role janitor_rows; set local enable_seqscan = off;
                    set local enable_bitmapscan = off; set local enable_sort = off",
        )
        .await
        .unwrap();
        sqlx::query(rule.sql())
            .bind(3600.0)
            .execute(&mut *tx)
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", rule.table));
        let explain = format!("explain {}", rule.sql().replace("$1", "3600"));
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *tx).await.unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Sort"), "the time is not indexed: {}: {plan}", rule.table);
        tx.rollback().await.unwrap();
    }
}

/// Rows of every kind that is cheap to make: some that are over and some that are not.
const OVER: &str = "
    insert into identity.login_flows (handle_hash, state_hash, provider, issuer, nonce, pkce_verifier, reauthenticate, return_to, created_at, expires_at)
    select sha256(n::text::bytea), sha256(''), 'dev', 'i', 'n', 'v', false, '/', now(), now() + make_interval(hours => 2 * n - 1201)
      from generate_series(1, 1200) n;
    insert into identity.rate_limits (key, tat)
    select sha256(n::text::bytea), now() + make_interval(hours => 2 * n - 1201) from generate_series(1, 1200) n;
    insert into identity.used_nonces (key, expires_at)
    select sha256(n::text::bytea), now() + make_interval(hours => 2 * n - 1201) from generate_series(1, 1200) n;
    insert into identity.magic_links (token_hash, handle_hash, return_to, expires_at)
    select sha256(n::text::bytea), sha256(''), '/', now() + make_interval(hours => 2 * n - 1201) from generate_series(1, 1200) n;
    insert into identity.proof_of_work_solutions (mac, expires_at)
    select sha256(n::text::bytea), now() + make_interval(hours => 2 * n - 1201) from generate_series(1, 1200) n;";

#[tokio::test]
async fn what_is_over_goes_step_by_step_and_the_rest_stays() {
    let world = World::start_with(&OFTEN).await;
    world.database.owner().await.execute(sqlx::raw_sql(OVER)).await.unwrap();
    let left = "select (select count(*) from identity.login_flows) + (select count(*) from identity.rate_limits) + (select count(*) from identity.used_nonces)
                     + (select count(*) from identity.magic_links) + (select count(*) from identity.proof_of_work_solutions)";
    world.until(left, 3000).await;
}

// control: OBS-02
#[tokio::test]
async fn records_are_kept_for_a_year_in_any_configuration_and_only_the_janitor_deletes_them() {
    let world = World::start().await;
    let mut owner = world.database.session().await;
    let old = "
        insert into audit.events (id, at, kind, target) values
          ('01890000-0000-7000-8000-000000000001', now() - interval '364 days', 'test', 'x'),
          ('01890000-0000-7000-8000-000000000002', now() - interval '366 days', 'test', 'x'),
          ('01890000-0000-7000-8000-000000000003', now() - interval '401 days', 'test', 'x')";
    owner.execute(old).await.unwrap();
    for role in ["tenant_rows", "account_rows", "identity_rows", "audit_rows", "jobs_rows", "migrator"] {
        let tried = format!(
            "begin; set local role {role}; set local app.tenant_id = '{}'; delete from audit.events",
            world.acme.organization
        );
        let refused = owner.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tried))).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied") || refused.contains("append-only"), "{role}: {refused}");
        owner.execute("rollback").await.unwrap();
    }
    // The janitor sees what is a year old, and nothing of it but when it was.
    let mut web = world.database.web().await;
    let mut tx = web.begin().await.unwrap();
    tx.execute("set local role janitor_rows").await.unwrap();
    assert_eq!(tx.execute("delete from audit.events where at < now()").await.unwrap().rows_affected(), 2);
    tx.rollback().await.unwrap();
    for refused in [
        "select details from audit.events",
        "update audit.events set at = now()",
        "insert into audit.events default values",
    ] {
        let mut tx = web.begin().await.unwrap();
        tx.execute("set local role janitor_rows").await.unwrap();
        assert!(tx.execute(refused).await.unwrap_err().to_string().contains("permission denied"), "{refused}");
        tx.rollback().await.unwrap();
    }
    // Nor does a slip of who goes round the policies.
    let slip = "alter role janitor_rows bypassrls; begin; set local role janitor_rows; delete from audit.events where at < now() - interval '1 day'";
    let refused = owner.execute(slip).await.unwrap_err().to_string();
    owner.execute("rollback; alter role janitor_rows nobypassrls").await.unwrap();
    assert!(refused.contains("append-only"), "{refused}");

    let world = World::start_on(world.database.clone(), "", &OFTEN).await;
    let kept = "select count(*) from audit.events where kind = 'test'";
    world.until(kept, 2).await;
}

#[tokio::test]
async fn with_very_many_expired_sessions_a_member_is_demoted_and_people_come_and_go() {
    let world = World::start().await;
    let mut olivia = world.sign_in("olivia").await;
    let mut adam = world.sign_in("adam").await;
    let many = "
        insert into identity.sessions (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, device, network, new_device,
                                       last_device, last_network, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
        select gen_random_uuid(), a.user_id, sha256(n::text::bytea), 'dev', a.issuer, a.subject, now() - interval '3 days', '{oidc}', 'd', 'n',
               false, 'd', 'n', now() - interval '3 days', now() - interval '3 days', now() - interval '3 days',
               now() - interval '2 days', now() - interval '2 days'
          from identity.accounts a, generate_series(1, 150000) n where a.subject = 'adam';
        analyze identity.sessions";
    world.database.owner().await.execute(sqlx::raw_sql(many)).await.unwrap();
    let role = format!("{}/members/{}/role", world.acme.url(), world.user("adam").await);
    let began = std::time::Instant::now();
    assert_eq!(olivia.post(&role, &[("role", "viewer"), ("reason", "No admin any more")]).await.status, 303);
    assert_eq!(olivia.post(&role.replace("/role", "/end-sessions"), &[("reason", "Lost phone")]).await.status, 303);
    assert_eq!(adam.get("/account").await.status, 200);
    assert_eq!(adam.post("/account/sessions/end-others", &[]).await.status, 303);
    world.sign_in_at_provider("adam").await;
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
    let touched = "select count(*) from identity.sessions where expires_at < now() and (ended_at is not null or rotated_at = 'epoch')";
    assert_eq!(world.database.count(touched).await, 0, "what has expired is left alone");
    // Queries for the sessions of a person read only live sessions.
    for sql in [
        "update identity.sessions set rotated_at = now() where user_id = $1 and ended_at is null and expires_at > now()",
        "update identity.sessions set rotated_at = now() where issuer = (select issuer from identity.accounts where user_id = $1) and ended_at is null and expires_at > now()",
        "select from identity.sessions where user_id = $1 and device = 'other'",
    ] {
        let plan: String = sqlx::query_scalar(sqlx::AssertSqlSafe(
            format!("explain (format json) {sql}").replace("$1", &format!("'{}'", world.user("adam").await)),
        ))
        .fetch_one(&mut world.database.owner().await)
        .await
        .map(|plan: serde_json::Value| plan.to_string())
        .unwrap();
        assert!(
            !plan.contains("Seq Scan\",\"Parallel Aware\":false,\"Async Capable\":false,\"Relation Name\":\"sessions"),
            "{plan}"
        );
        assert!(plan.contains("sessions_"), "{plan}");
    }
}
