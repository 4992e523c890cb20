use audit::{Actor, Event};
use authz::{Entity, PathParams, Resource};
use chrono::{DateTime, Utc};
use serde_json::json;
use tenancy::{Account, Read, RequestAccess, Tx, UserId, Write};
use uuid::Uuid;
use web::{Error, Result};

use crate::base::truncate;

/// A session of the person.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) id: Uuid,
    pub(super) owner: UserId,
}

impl Resource for Session {
    type Plane = Account;
    type View = super::EndSession;

    async fn load(tx: &mut Tx<Read, Account>, _: &RequestAccess, path: &PathParams) -> Result<Option<Self>> {
        let Some(id) = path.id::<Uuid>("session") else { return Ok(None) };
        Ok(sqlx::query_as!(
            Session,
            r#"select id, user_id as "owner: UserId" from identity.sessions where id = $1"#,
            id,
        )
        .fetch_optional(&mut **tx)
        .await?)
    }

    fn entity(&self) -> Entity {
        Entity::new("Session", self.id).reference("owner", &Entity::new("User", self.owner))
    }
}

/// A live session as its owner sees it.
pub(super) struct LiveSession {
    pub(super) id: Uuid,
    pub(super) methods: Vec<String>,
    pub(super) by_passkey: bool,
    pub(super) by_totp: bool,
    pub(super) device: String,
    pub(super) network: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) last_seen_at: DateTime<Utc>,
}

/// The maximum number of sessions that the page shows.
const MAX_SHOWN: usize = 100;

/// Returns the live sessions, and whether there are more. The most recently used is first.
pub(super) async fn live(tx: &mut Tx<Read, Account>, now: DateTime<Utc>) -> Result<(Vec<LiveSession>, bool)> {
    let found = sqlx::query_as!(
        LiveSession,
        r#"select id, methods, (passkey_at is not null) as "by_passkey!", (totp_at is not null) as "by_totp!", last_device as device, last_network as network, created_at, last_seen_at
             from identity.sessions
            where ended_at is null and idle_expires_at > $1 and expires_at > $1
            order by last_seen_at desc, id desc limit 101"#,
        now,
    );
    Ok(truncate(found.fetch_all(&mut **tx).await?, MAX_SHOWN))
}

const SESSION_ENDED_ERROR: Error = Error::Conflict("This session has ended already.", None);

/// Ends a session. Its next request will not find it.
pub(super) async fn end(tx: &mut Tx<Write, Account>, session: &Session, now: DateTime<Utc>, by: &Actor) -> Result<()> {
    let ended = sqlx::query!(
        "update identity.sessions set ended_at = $2, ended_reason = 'ended by its person' where id = $1 and ended_at is null",
        session.id,
        now,
    );
    if ended.execute(&mut **tx).await?.rows_affected() == 0 {
        return Err(SESSION_ENDED_ERROR);
    }
    let target = format!("Session::{}", session.id);
    Event { kind: "session.ended", target, details: json!({}) }.record(tx, by).await?;
    Ok(())
}

/// Ends all sessions except one. Returns how many it ended.
pub(super) async fn end_others(
    tx: &mut Tx<Write, Account>,
    kept: Uuid,
    now: DateTime<Utc>,
    by: &Actor,
) -> Result<usize> {
    let ended = sqlx::query_scalar!(
        "update identity.sessions set ended_at = $2, ended_reason = 'ended by its person'
          where id <> $1 and ended_at is null and expires_at > $2 returning id",
        kept,
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    let details = json!({ "ended": ended });
    Event { kind: "session.others_ended", target: format!("Session::{kept}"), details }.record(tx, by).await?;
    Ok(ended.len())
}
