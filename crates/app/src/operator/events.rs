use std::io::Write;

use serde_json::json;
use tenancy::{Db, Read};
use uuid::Uuid;

use super::Failure;

/// Most events of one call.
const PAGE_SIZE: i64 = 100;

/// Writes events that belong to no organization as lines of JSON, the newest first: those by or about one person, or all.
/// `before` is the id of the last event of the previous call.
///
/// # Errors
///
/// The database fails, or `out` cannot be written.
pub async fn events(db: &Db, user: Option<Uuid>, before: Option<Uuid>, out: &mut impl Write) -> Result<(), Failure> {
    let mut tx = db.begin_operator::<Read>().await?;
    let rows = sqlx::query!(
        r#"select id, at, kind, actor, target, session_id, network, request_id, details from audit.events
            where tenant_id is null and ($1::uuid is null or actor = $1 or target like '%"' || $1::text || '"')
              and ($2::uuid is null or id < $2)
            order by id desc limit $3"#,
        user,
        before,
        PAGE_SIZE,
    );
    for event in rows.fetch_all(&mut *tx).await? {
        let line = json!({
            "id": event.id,
            "at": event.at,
            "kind": event.kind,
            "actor": event.actor,
            "target": event.target,
            "session": event.session_id,
            "network": event.network,
            "request": event.request_id,
            "details": event.details,
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}
