//! Passkeys: making and keeping them, signing in with one, and proving one for what needs it.

mod ceremonies;
mod management;
mod samples;
mod step_up;

use serde_json::Value;

use crate::harness::World;

/// Sessions that have not ended, of one person.
async fn live_sessions(world: &World, subject: &str) -> i64 {
    let sql = "select count(*) from identity.sessions s join identity.accounts a using (user_id)
                where a.subject = $1 and s.ended_at is null";
    sqlx::query_scalar(sql).bind(subject).fetch_one(&mut world.database.owner().await).await.unwrap()
}

/// Changes a field of an answer that is bytes in base64url, as somebody in between would.
pub(crate) fn tampered(answer: &Value, field: &str, change: impl FnOnce(&mut Vec<u8>)) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut answer = answer.clone();
    let mut bytes = URL_SAFE_NO_PAD.decode(answer["response"][field].as_str().unwrap()).unwrap();
    change(&mut bytes);
    answer["response"][field] = URL_SAFE_NO_PAD.encode(bytes).into();
    answer
}
