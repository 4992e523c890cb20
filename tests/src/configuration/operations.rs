//! Liveness, readiness, and the contact for vulnerabilities.

use chrono::{DateTime, Duration, Utc};
use sqlx::{Connection, Executor};

use crate::harness::{Answer, Client, World};

/// Requests readiness until the status is another one than `status`. Each result is valid for a second.
async fn until_not(client: &mut Client, status: u16) -> Answer {
    let changed = async {
        loop {
            let answer = client.get("/readyz").await;
            if answer.status != status {
                return answer;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), changed).await.expect("it stays as it was")
}

// control: API-08
#[tokio::test]
async fn security_txt_names_a_contact_and_never_expires_unnoticed() {
    let policy = "https://acme.example/security";
    let world =
        World::start_with(&[("SECURITY__CONTACT", "mailto:security@acme.example"), ("SECURITY__POLICY", policy)]).await;
    for _ in 0..3 {
        let text = world.stranger().get("/.well-known/security.txt").await;
        assert_eq!((text.status, text.header("content-type")), (200, "text/plain; charset=utf-8"));
        let field = |name: &str| -> Vec<&str> {
            text.body
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter(|(key, _)| *key == name)
                .map(|(_, v)| v)
                .collect()
        };
        assert_eq!(field("Contact"), ["mailto:security@acme.example"]);
        assert_eq!(field("Policy"), [policy]);
        assert_eq!(field("Preferred-Languages"), ["en"]);
        // RFC 9116: exactly one, in the form of RFC 3339, and less than a year ahead.
        let [expires] = field("Expires")[..] else { panic!("{}", text.body) };
        let left = expires.parse::<DateTime<Utc>>().unwrap() - world.clock.now();
        assert!(left > Duration::days(30) && left < Duration::days(365), "{expires}");
        world.clock.advance(Duration::days(200));
    }
}

#[tokio::test]
async fn a_process_is_alive_without_its_database_and_ready_only_with_it() {
    let world = World::start_with(&[("DATABASE__ACQUIRE_TIMEOUT_MS", "2000")]).await;
    let mut stranger = world.stranger();
    assert_eq!(stranger.get("/healthz").await.status, 200);
    assert_eq!(stranger.get("/readyz").await.status, 200);

    let mut server = world.database.elsewhere().await;
    let (name, gone) = (world.database.name(), "gone");
    let close = format!("alter database {name} rename to {name}_{gone}");
    let end = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    server
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter database {name} allow_connections false"))))
        .await
        .unwrap();
    server.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(end))).await.unwrap();
    while server.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(close.clone()))).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let refused = until_not(&mut stranger, 200).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "2"), "{}", refused.text());
    assert_eq!(stranger.get("/healthz").await.status, 200);
    assert_eq!(stranger.get("/").await.status, 200, "what needs no database");

    let back = format!("alter database {name}_{gone} rename to {name}");
    server.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(back))).await.unwrap();
    server
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter database {name} allow_connections true"))))
        .await
        .unwrap();
    // Connections that died in the meantime are noticed one by one.
    assert_eq!(until_not(&mut stranger, 503).await.status, 200);
    server.close().await.unwrap();
}
