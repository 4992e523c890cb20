//! The commands of operators: they need a reason, are recorded, notify the affected person, and only operators can run them.

use app::operator::{self, Reason};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use encryption::{Column, Config, EncryptionContext, KeyRing};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tenancy::{Db, Write};
use uuid::Uuid;

use crate::api::{ALL, ApiClient};
use crate::harness::{Database, World, passkey, totp};

async fn owner(world: &World) -> Db {
    Db::connect_as_owner(world.database.owner_url.clone().into()).await.unwrap()
}

fn why(text: &str) -> Reason {
    Reason::read(text).unwrap()
}

// control: IDN-13
// control: OBS-02
#[tokio::test]
async fn an_operator_locks_an_account_and_unlocks_it_with_a_reason() {
    let world = World::start().await;
    let (db, now) = (owner(&world).await, world.clock.now());
    let (mut vera, user) = (world.sign_in("vera").await, world.user("vera").await);
    let client = ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    let token = client.token(&world).await;
    let id = Uuid::now_v7();
    world.invite(id, world.acme.organization, "nora@example.com", "owner").await;
    world.change("update tenant.invitations set invited_by = (select id from identity.users where email = 'vera@example.com'), inviter_role = 'viewer'").await;

    let locked = operator::lock(&db, "VERA@example.com", &why("Their laptop was stolen"), now).await.unwrap();
    assert_eq!(locked.uuid(), user);
    assert_eq!(vera.get("/account").await.status, 303, "gone for the very next request");
    let event = &world.events("account.locked").await[0];
    assert_eq!((&event["details"]["reason"], &event["actor"]), (&json!("Their laptop was stolen"), &Value::Null));
    assert_eq!((&event["details"]["sessions"], &event["details"]["invitations"]), (&json!(1), &json!(1)));
    assert_eq!(world.database.count("select count(*) from tenant.invitations").await, 0, "nobody joins on their word");
    assert_eq!((&event["target"], &event["tenant_id"]), (&json!(format!("User::\"{user}\"")), &Value::Null));
    let told = world.told("vera@example.com", "Your account was locked").await;
    assert!(!told.text.contains("laptop"), "the reason is the operator's");
    let again = operator::lock(&db, &user.to_string(), &why("Once more"), now).await.unwrap_err().to_string();
    assert!(again.contains("locked since"), "{again}");
    assert_eq!(world.events("account.locked").await.len(), 1);

    operator::lock(&db, "erin@example.com", &why("Left the company"), now).await.unwrap();
    let path = format!("/api/v1{}", world.acme.contacts());
    assert_eq!(crate::api::call(&world, reqwest::Method::GET, &path, &token, None).await.status, 401);

    operator::unlock(&db, &user.to_string(), &why("It was found again")).await.unwrap();
    assert!(operator::unlock(&db, &user.to_string(), &why("Once more")).await.is_err());
    assert_eq!(vera.get("/account").await.status, 303, "a stolen session stays ended");
    assert_eq!(world.sign_in("vera").await.get("/account").await.status, 200);
    assert_eq!(world.events("account.unlocked").await.len(), 1);
}

#[tokio::test]
async fn an_operator_says_who_is_meant_and_why() {
    let world = World::start().await;
    let db = owner(&world).await;
    world
        .change(
            "update identity.users set email = 'two@example.com' where display_name in ('Vera Viewer', 'Erin Editor')",
        )
        .await;
    for who in ["two@example.com", "nobody@example.com", "", "' or true --", &Uuid::now_v7().to_string()] {
        let error = operator::lock(&db, who, &why("A good reason"), world.clock.now()).await.unwrap_err().to_string();
        let ids = [world.user("vera").await, world.user("erin").await].map(|id| error.contains(&id.to_string()));
        assert_eq!(ids, [who == "two@example.com"; 2], "{error}");
    }
    for reason in ["", "  ", "no", &"x".repeat(501)] {
        assert!(Reason::read(reason).is_err(), "{reason}");
    }
    assert_eq!(world.database.count("select count(*) from identity.users where locked_at is not null").await, 0);
    assert_eq!(world.events("account.locked").await.len(), 0);
}

// control: IDN-12
#[tokio::test]
async fn an_operator_helps_somebody_who_is_locked_out() {
    let world = World::start().await;
    let (db, user) = (owner(&world).await, world.user("olivia").await);
    let mut olivia = world.sign_in("olivia").await;
    totp::add(&world, &mut world.sign_in("erin").await).await;
    olivia.post("/account/recovery/codes", &[]).await;
    let of_olivia = "select count(*) from identity.passkeys where user_id in (select user_id from identity.accounts where subject = 'olivia')";
    assert_eq!(world.database.count(of_olivia).await, 1, "the last one");
    let passkeys = world.database.count("select count(*) from identity.passkeys").await;
    operator::reset_factors(&db, &user.to_string(), &why("Lost the telephone, known in person"), world.clock.now())
        .await
        .unwrap();
    assert_eq!(world.database.count(of_olivia).await, 0);
    assert_eq!(world.database.count("select count(*) from identity.passkeys").await, passkeys - 1, "of nobody else");
    assert_eq!(world.database.count("select count(*) from identity.totp").await, 1, "of nobody else");
    assert_eq!(olivia.get("/account").await.status, 303, "their sessions have ended");
    let event = &world.events("account.factors_reset").await[0];
    assert_eq!(event["details"]["reason"], "Lost the telephone, known in person");
    assert_eq!((&event["details"]["passkeys"], &event["details"]["authenticator_apps"]), (&json!(1), &json!(0)));
    world.told("olivia@example.com", "Your passkeys and codes were removed").await;
    // They sign in with their provider, and create a passkey.
    let mut again = world.sign_in_at_provider("olivia").await;
    let mut device = passkey::Authenticator::new(&world);
    let enrolled = passkey::enrol(&mut again, &mut device, "A new one").await;
    assert_eq!(enrolled.status, 303, "{}", enrolled.text());
    operator::reset_factors(&db, &world.user("erin").await.to_string(), &why("Lost the app"), world.clock.now())
        .await
        .unwrap();
    assert_eq!(world.database.count("select count(*) from identity.totp").await, 0);
}

// control: OBS-01
#[tokio::test]
async fn an_operator_reads_the_events_outside_of_organizations_and_no_others() {
    let world = World::start().await;
    let db = owner(&world).await;
    for _ in 0..3 {
        world.sign_in("vera").await;
    }
    world.sign_in("erin").await;
    ApiClient::made(&world, "erin", "self", "tokens", &ALL).await;
    let read = async |user: Option<Uuid>, before: Option<Uuid>| {
        let mut out = Vec::new();
        operator::events(&db, user, before, &mut out).await.unwrap();
        let lines: Vec<Value> = out
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        lines
    };
    let of_vera = read(Some(world.user("vera").await), None).await;
    let vera = world.user("vera").await.to_string();
    assert!(of_vera.iter().all(|event| event["actor"] == *vera));
    let all = read(None, None).await;
    let stored = world.database.count("select count(*) from audit.events where tenant_id is null").await;
    assert_eq!(i64::try_from(all.len()).unwrap(), stored);
    let expected: Vec<_> = all.iter().filter(|event| event["actor"] == *vera).cloned().collect();
    assert!(expected.len() < all.len(), "events of others, too");
    assert_eq!(of_vera, expected);
    let sign_ins = of_vera.iter().filter(|event| event["kind"] == "sign_in.succeeded").count();
    assert_eq!(sign_ins, 3);
    let kinds: Vec<&str> = all.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(!kinds.iter().any(|kind| kind.starts_with("api_client.")), "{kinds:?}");
    let older = read(None, Some(all[0]["id"].as_str().unwrap().parse().unwrap())).await;
    assert_eq!(older[..], all[1..]);
    // Nor does the database show them any other.
    let mut tx = db.begin_operator::<tenancy::Read>().await.unwrap();
    let foreign: i64 = sqlx::query_scalar("select count(*) from audit.events where tenant_id is not null")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(foreign, 0);
}

// control: TEN-04
#[tokio::test]
async fn the_application_cannot_do_what_an_operator_does() {
    let world = World::start().await;
    let db = Db::connect_as_owner(world.database.web_url.clone().into()).await.unwrap();
    let refused = db.begin_operator::<Write>().await.unwrap_err().to_string();
    assert!(refused.contains("permission denied to set role"), "{refused}");
    let user = world.user("vera").await.to_string();
    assert!(operator::lock(&db, &user, &why("It is an attack"), world.clock.now()).await.is_err());
    assert!(operator::reset_factors(&db, &user, &why("It is an attack"), world.clock.now()).await.is_err());
}

fn key(first: u8) -> String {
    STANDARD.encode((0..32).map(|n| first.wrapping_add(n)).collect::<Vec<u8>>())
}

fn keys(current: u8, previous: Option<u8>) -> KeyRing {
    KeyRing::new(&Config { key: key(current).into(), previous_key: previous.map(|previous| key(previous).into()) })
        .unwrap()
}

/// The encrypted secrets of a column, by row.
async fn encrypted(world: &World, column: Column) -> Vec<(Uuid, Vec<u8>)> {
    let sql = match column {
        Column::Totp => "select user_id, secret from identity.totp",
        Column::IdentityProvider => "select tenant_id, client_secret from tenant.identity_providers",
        Column::SigningKey => "select id, private from identity.signing_keys",
        Column::ApiClient => "select id, secret from tenant.api_clients where signs",
    };
    sqlx::query_as(sql).fetch_all(&mut world.database.owner().await).await.unwrap()
}

// control: IDN-11
// control: SUP-12
#[tokio::test]
async fn a_rotation_of_the_key_is_finished_and_the_old_key_is_worth_nothing() {
    let world = World::start_with(&[("ENCRYPTION__KEY", &key(1))]).await;
    let db = owner(&world).await;
    totp::add(&world, &mut world.sign_in("erin").await).await;
    for _ in 0..3 {
        ApiClient::made(&world, "olivia", "viewer", "signatures", &ALL).await;
    }
    ApiClient::made(&world, "olivia", "viewer", "tokens", &ALL).await.token(&world).await;
    world.new_provider(world.acme).await;
    let context = EncryptionContext { column: Column::IdentityProvider, row: world.acme.organization };
    let secret = keys(1, None).encrypt(context, b"a secret of the provider").unwrap();
    let change = "update tenant.identity_providers set client_secret = $1";
    sqlx::query(change).bind(secret).execute(&mut world.database.owner().await).await.unwrap();
    // One that nobody can open stops nothing, and is named.
    let broken = "update tenant.api_clients set secret = secret || '\\x00' where id = (select min(id::text)::uuid from tenant.api_clients where signs) returning id";
    let broken: Uuid = sqlx::query_scalar(broken).fetch_one(&mut world.database.owner().await).await.unwrap();

    let mut out = Vec::new();
    let left = operator::re_encrypt(&db, &keys(2, Some(1)), &mut out).await.unwrap_err().to_string();
    assert!(left.contains(&broken.to_string()) && left.matches(" of ").count() == 1, "{left}");
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("tenant.api_clients.secret: 2 re-encrypted"), "{said}");
    for column in Column::ALL {
        let rows = encrypted(&world, column).await;
        assert!(!rows.is_empty(), "{column:?}");
        for (row, secret) in rows.iter().filter(|(row, _)| *row != broken) {
            let context = EncryptionContext { column, row: *row };
            assert!(keys(2, None).decrypt(context, secret).is_ok(), "{column:?} under the new one");
            assert!(keys(1, None).decrypt(context, secret).is_err(), "{column:?} not under the old one");
        }
    }
    let plain = keys(2, None).decrypt(context, &encrypted(&world, Column::IdentityProvider).await[0].1).unwrap();
    assert_eq!(plain.as_slice(), b"a secret of the provider");
    let events = world.events("encryption.re_encrypted").await;
    assert_eq!(events.len(), Column::ALL.len(), "{events:?}");

    // Begun again it does what is left, and nothing twice.
    let before = encrypted(&world, Column::Totp).await;
    sqlx::query("delete from tenant.api_clients where id = $1")
        .bind(broken)
        .execute(&mut world.database.owner().await)
        .await
        .unwrap();
    let mut out = Vec::new();
    operator::re_encrypt(&db, &keys(2, Some(1)), &mut out).await.unwrap();
    let said = String::from_utf8(out).unwrap();
    assert!(!said.contains("re-encrypted") && said.contains("You can remove encryption.previous_key"), "{said}");
    assert_eq!(encrypted(&world, Column::Totp).await, before);
    assert_eq!(world.events("encryption.re_encrypted").await.len(), Column::ALL.len());
}

// control: SUP-12
#[tokio::test]
async fn every_column_of_bytes_is_known_so_no_encrypted_one_is_missed() {
    let database = Database::create().await;
    let columns = "select c.table_schema || '.' || c.table_name || '.' || c.column_name from information_schema.columns c
                    where c.data_type = 'bytea' and c.table_schema in ('identity', 'tenant', 'audit', 'jobs') order by 1";
    let columns: Vec<String> = sqlx::query_scalar(columns).fetch_all(&mut database.owner().await).await.unwrap();
    // Hashes and what is public; a form is encrypted with a key that only a cookie has, for ten minutes.
    let known = ["credential_id", "policy_set", "public", "key", "challenge", "mac", "ciphertext", "name_key"];
    for column in columns {
        let name = column.rsplit('.').next().unwrap();
        let encrypted = Column::ALL.iter().any(|encrypted| encrypted.name() == column);
        assert!(
            encrypted || name.ends_with("hash") || known.contains(&name),
            "is {column} encrypted? Then it is a `encryption::Column`"
        );
    }
}

// control: TEN-01
#[tokio::test]
async fn a_migration_waits_shortly_for_others_and_then_lets_them_go_first() {
    let database = Database::create().await;
    let name = format!("bare_{}", Uuid::now_v7().simple());
    let create = format!("create database {name}");
    database.elsewhere().await.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(create))).await.unwrap();
    let url = database.owner_url.replace(&database.name(), &name);
    let mut blocker = PgConnection::connect(&url).await.unwrap();
    blocker.execute("begin; create schema identity").await.unwrap();
    let mut watcher = database.elsewhere().await;
    let waiting = "select count(*) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'";
    let lets_go = async {
        for wanted in [1, 0] {
            while sqlx::query_scalar::<_, i64>(waiting).bind(&name).fetch_one(&mut watcher).await.unwrap() != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        blocker.execute("rollback").await.unwrap();
    };
    let lets_go = tokio::time::timeout(std::time::Duration::from_secs(60), lets_go);
    let owner = url.clone().into();
    let (migrated, seen) = tokio::join!(tenancy::migrate(&owner), lets_go);
    seen.expect("it waits, and then it does not");
    migrated.unwrap();
    let mut done = PgConnection::connect(&url).await.unwrap();
    done.execute("select from identity.users, tenant.contacts").await.unwrap();
}

// control: TEN-01
#[tokio::test]
async fn the_owners_login_is_given_to_nobody_on_the_way() {
    for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"] {
        let url = || secrecy::SecretString::from(format!("postgres://owner:a-word@db.acme.example/holdfast{mode}"));
        let refused = [
            Db::connect_as_owner(url()).await.map(drop).unwrap_err().to_string(),
            tenancy::migrate(&url()).await.unwrap_err().to_string(),
        ];
        for error in refused {
            assert!(error.contains("sslmode=verify-full") && !error.contains("a-word"), "{mode}: {error}");
        }
    }
}
