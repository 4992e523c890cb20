use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{Answer, World};

/// How many rows a sign-in can leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) users: i64,
    pub(crate) logins: i64,
    pub(crate) sessions: i64,
    pub(crate) failures: i64,
}

impl World {
    /// What the identity plane holds now.
    pub(crate) async fn traces(&self) -> Traces {
        let (users, logins, sessions, failures) = sqlx::query_as(
            "select (select count(*) from identity.users), (select count(*) from identity.login_flows),
                    (select count(*) from identity.sessions),
                    (select count(*) from audit.events where kind = 'sign_in.failed')",
        )
        .fetch_one(&mut self.database.owner().await)
        .await
        .unwrap();
        Traces { users, logins, sessions, failures }
    }

    /// The audit events of a kind, oldest first, as JSON objects of their columns.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        sqlx::query_scalar("select to_jsonb(e) from audit.events e where kind = $1 order by id")
            .bind(kind)
            .fetch_all(&mut self.database.owner().await)
            .await
            .unwrap()
    }

    /// The sessions there ever were, oldest first, as JSON objects of their columns.
    pub(crate) async fn sessions(&self) -> Vec<Value> {
        sqlx::query_scalar("select to_jsonb(s) from identity.sessions s order by created_at, id")
            .fetch_all(&mut self.database.owner().await)
            .await
            .unwrap()
    }

    /// Every row of every table of the application, as text; bytes are in hexadecimal.
    pub(crate) async fn everything_stored(&self) -> String {
        let mut owner = self.database.owner().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where n.nspowner = 'migrator'::regrole and c.relkind = 'r' order by 1",
        )
        .fetch_all(&mut owner)
        .await
        .unwrap();
        assert!(tables.contains(&"tenant.organizations".to_owned()), "{tables:?}");
        let mut text = String::new();
        for table in tables {
            // The names come from the catalog, quoted by it.
            let sql = AssertSqlSafe(format!("select coalesce(string_agg(t::text, chr(10)), '') from {table} t"));
            text += &sqlx::query_scalar::<_, String>(sql).fetch_one(&mut owner).await.unwrap();
        }
        text
    }

    /// A statement of the database's owner, such as locking a user.
    pub(crate) async fn change(&self, sql: &'static str) -> u64 {
        sqlx::query(sql).execute(&mut self.database.owner().await).await.unwrap().rows_affected()
    }

    /// Moves the clock of the application, which its providers follow.
    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.advance(chrono::Duration::seconds(seconds));
    }
}

impl Answer {
    /// The `Set-Cookie` line for a cookie of ours.
    pub(crate) fn sets(&self, name: &str) -> Option<&str> {
        let start = format!("__Host-Http-{name}=");
        let mut lines = self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
        lines.rfind(|line| line.starts_with(&start))
    }
}
