//! `tenancy::Db`: a transaction leaves nothing to the next one on its connection, in whichever way it ends.

use std::pin::pin;
use std::task::Poll;

use devkit::postgres::Cluster;
use secrecy::SecretString;
use sqlx::{Connection, Executor, PgConnection};
use tenancy::{Account, Db, Mode, Read, TenantId, Tx, UserId, Write};
use uuid::Uuid;

use super::run;
use crate::harness::{Database, Place, World};

/// A pool of one connection, so that every transaction follows on the one before.
async fn one_connection(url: &str) -> Db {
    connect(url, true).await.unwrap()
}

async fn connect(url: &str, production: bool) -> Result<Db, tenancy::Error> {
    let url = SecretString::from(url.to_owned());
    let config = tenancy::Config { url, max_connections: 1, acquire_timeout_ms: 10_000, statement_cache: 100 };
    Db::connect(&config, production).await
}

async fn begin<M: Mode>(db: &Db, place: Place) -> Tx<M> {
    db.begin(TenantId::from(place.organization)).await.unwrap()
}

async fn add_workspace(tx: &mut Tx<Write>, name: &str) {
    let sql = "insert into tenant.workspaces (id, name, name_key) values ($1, $2, sha256($2::bytea))";
    sqlx::query(sql).bind(Uuid::now_v7()).bind(name).execute(&mut **tx).await.unwrap();
}

async fn workspaces(world: &World) -> i64 {
    world.database.count("select count(*) from tenant.workspaces").await
}

/// The next transaction on the connection is bound to nothing, and the one after it to Globex alone.
async fn assert_clean(db: &Db, world: &World) {
    let mut audit = db.begin_audit().await.unwrap();
    let left: (String, Option<String>, Option<String>) = sqlx::query_as(
        "select current_user::text, nullif(current_setting('app.tenant_id', true), ''),
                nullif(current_setting('app.user_id', true), '')",
    )
    .fetch_one(&mut *audit)
    .await
    .unwrap();
    assert_eq!(left, ("audit_rows".to_owned(), None, None));
    audit.execute("set local role none").await.unwrap();
    let refused = run(&mut audit, "select from tenant.contacts").await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
    drop(audit);
    assert_bound_again(db, world).await;
}

async fn assert_bound_again(db: &Db, world: &World) {
    let mut globex = begin::<Read>(db, world.globex).await;
    assert_eq!(super::tenants(&mut globex, "tenant.contacts").await, [world.globex.organization]);
}

// control: TEN-03
#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_behind() {
    let world = World::start().await;
    let db = one_connection(&world.database.web_url).await;
    let mut tx = begin::<Write>(&db, world.acme).await;
    add_workspace(&mut tx, "Dropped").await;
    drop(tx);
    assert_clean(&db, &world).await;
    drop(begin::<Read>(&db, world.acme).await);
    assert_clean(&db, &world).await;
    drop(db.begin::<Read, Account>(UserId::from(world.user("olivia").await)).await.unwrap());
    assert_clean(&db, &world).await;
    assert_eq!(workspaces(&world).await, 2);
}

// control: TEN-03
#[tokio::test]
async fn a_committed_transaction_leaves_its_rows_and_nothing_else() {
    let world = World::start().await;
    let db = one_connection(&world.database.web_url).await;
    let mut tx = begin::<Write>(&db, world.acme).await;
    add_workspace(&mut tx, "Kept").await;
    tx.commit().await.unwrap();
    assert_clean(&db, &world).await;
    assert_eq!(workspaces(&world).await, 3);
}

// control: TEN-03
#[tokio::test]
async fn a_transaction_in_which_a_statement_failed_does_not_pretend_to_commit() {
    let world = World::start().await;
    let db = one_connection(&world.database.web_url).await;
    let mut tx = begin::<Write>(&db, world.acme).await;
    add_workspace(&mut tx, "Lost").await;
    run(&mut tx, "select 1 / 0").await.unwrap_err();
    let committed = tx.commit().await;
    assert!(committed.is_err(), "PostgreSQL rolled back, and the caller was told that it is done");
    assert_clean(&db, &world).await;
    assert_eq!(workspaces(&world).await, 2);
}

/// Polls a future so often, then drops it: a request whose client has gone.
async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

// control: TEN-03
#[tokio::test]
async fn a_request_cancelled_in_the_middle_of_a_query_leaves_nothing_behind() {
    let world = World::start().await;
    let db = one_connection(&world.database.web_url).await;
    for polls in 0..12 {
        let request = async {
            let mut tx = begin::<Write>(&db, world.acme).await;
            add_workspace(&mut tx, "Cancelled").await;
            run(&mut tx, "select pg_sleep(0.3)").await.unwrap();
            tx.commit().await.unwrap();
        };
        let done = cancelled_after(polls, request).await;
        assert!(done.is_none(), "{polls}");
        assert_clean(&db, &world).await;
    }
    let request = async {
        let mut tx = begin::<Write>(&db, world.acme).await;
        add_workspace(&mut tx, "Cancelled").await;
        run(&mut tx, "select pg_sleep(0.6)").await.unwrap();
        tx.commit().await.unwrap();
    };
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), request).await.is_err());
    assert_clean(&db, &world).await;
    assert_eq!(workspaces(&world).await, 2);
}

// control: TEN-03
#[tokio::test]
async fn the_database_refuses_to_write_in_a_reading_transaction() {
    let world = World::start().await;
    let db = one_connection(&world.database.web_url).await;
    for write in [
        "insert into tenant.workspaces (id, name, name_key) values ('01890000-0000-7000-8000-000000000001', 'x', sha256('x'))",
        "update tenant.contacts set name = 'x'",
        "delete from tenant.contacts",
        "select from tenant.contacts for update",
        "set transaction read write; delete from tenant.contacts",
    ] {
        let mut tx = begin::<Read>(&db, world.acme).await;
        run(&mut tx, "select from tenant.contacts").await.unwrap();
        let refused = run(&mut tx, write).await.unwrap_err().to_string();
        let read_only = refused.contains("in a read-only transaction") || refused.contains("read-write mode");
        assert!(read_only, "{write}: {refused}");
    }
    assert_clean(&db, &world).await;
}

// control: TEN-04
#[tokio::test]
async fn production_refuses_a_login_that_can_bypass_row_level_security() {
    let database = Database::create().await;
    let refused = connect(&database.owner_url, true).await.unwrap_err();
    assert!(matches!(refused, tenancy::Error::LoginTooPowerful), "{refused}");

    let mut owner = database.session().await;
    let login = format!("login_{}", Uuid::now_v7().simple());
    let made = format!(
        "create role {login} login noinherit password 'x';
         grant tenant_rows, account_rows, identity_rows, audit_rows, jobs_rows, janitor_rows to {login}"
    );
    run(&mut owner, &made).await.unwrap();
    let mut url = url::Url::parse(&database.owner_url).unwrap();
    url.set_username(&login).unwrap();
    url.set_password(Some("x")).unwrap();
    assert!(connect(url.as_str(), true).await.is_ok(), "it has the rights of `web` and no more");
    let powers = [
        ("alter role {} bypassrls", "alter role {} nobypassrls"),
        ("alter role {} inherit", "alter role {} noinherit"),
        ("alter role {} createrole", "alter role {} nocreaterole"),
        ("alter role {} replication", "alter role {} noreplication"),
        ("grant migrator to {}", "revoke migrator from {}"),
        ("grant pg_read_all_data to {}", "revoke pg_read_all_data from {}"),
        ("grant pg_execute_server_program to {}", "revoke pg_execute_server_program from {}"),
        ("grant select on tenant.contacts to {}", "revoke select on tenant.contacts from {}"),
        ("grant usage on schema tenant to {}", "revoke usage on schema tenant from {}"),
        ("alter table tenant.contacts owner to {}", "alter table tenant.contacts owner to migrator"),
        ("alter schema tenant owner to {}", "alter schema tenant owner to migrator"),
        (
            "alter function tenant.rotate_sessions() owner to {}",
            "alter function tenant.rotate_sessions() owner to migrator",
        ),
    ];
    for (give, take) in powers {
        run(&mut owner, &give.replace("{}", &login)).await.unwrap();
        let result = connect(url.as_str(), true).await;
        assert!(matches!(result, Err(tenancy::Error::LoginTooPowerful)), "{give}: {result:?}");
        run(&mut owner, &take.replace("{}", &login)).await.unwrap();
    }
    assert!(connect(url.as_str(), true).await.is_ok());
    run(&mut owner, &format!("drop role {login}")).await.unwrap();
}

/// On a cluster of its own, because the planes belong to the whole cluster.
// control: TEN-04
#[tokio::test]
async fn production_refuses_a_plane_that_can_bypass_row_level_security() {
    let cluster = Cluster::temporary().await.unwrap();
    tenancy::migrate(&SecretString::from(cluster.owner_url())).await.unwrap();
    let web = cluster.login("web").await.unwrap();
    let mut owner = PgConnection::connect(&cluster.owner_url()).await.unwrap();
    assert!(connect(&web, true).await.is_ok());
    for (give, take) in [
        ("alter role tenant_rows bypassrls", "alter role tenant_rows nobypassrls"),
        ("alter role account_rows superuser", "alter role account_rows nosuperuser"),
        ("alter role identity_rows createrole", "alter role identity_rows nocreaterole"),
        ("alter table tenant.contacts owner to audit_rows", "alter table tenant.contacts owner to migrator"),
    ] {
        run(&mut owner, give).await.unwrap();
        let result = connect(&web, true).await;
        assert!(matches!(result, Err(tenancy::Error::LoginTooPowerful)), "{give}: {result:?}");
        run(&mut owner, take).await.unwrap();
    }
    assert!(connect(&web, true).await.is_ok());
}

// control: TEN-01
#[tokio::test]
async fn a_superuser_in_development_is_bound_all_the_same() {
    let world = World::start().await;
    let db = connect(&world.database.owner_url, false).await.unwrap();
    let mut tx = begin::<Read>(&db, world.acme).await;
    assert_eq!(super::tenants(&mut tx, "tenant.contacts").await, [world.acme.organization]);
    drop(tx);
    assert_bound_again(&db, &world).await;
}
