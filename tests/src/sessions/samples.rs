//! Sessions to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, owned};

inventory::submit! {
    TruncatedList {
        page: |_| "/account/sessions".to_owned(),
        sentence: "Only the 100 used last are shown.",
        most: 100,
        table: "identity.sessions",
        counted: "select count(*) from identity.sessions where ended_at is null",
        make: |world| Box::pin(world.new_session("olivia")),
        others: ", 'token_hash', sha256(gen_random_uuid()::text::bytea)",
    }
}

sample!("session", new_session);
entities!("Session", sessions);

changes!(
    Turn::Usual,
    [
        Change::new("/account/sessions/{session}/end", &[], &["session.ended"]).ends_or_changes(),
        Change::new("/account/sessions/end-others", &[], &["session.others_ended"]).ends_or_changes(),
    ]
);

async fn new_session(world: &World, place: Place) -> Uuid {
    world.new_session(world.owner_of(place)).await
}

impl World {
    /// A live session of a person that no browser has, so that ending it ends nothing else.
    pub(crate) async fn new_session(&self, subject: &str) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into identity.sessions
               (id, user_id, token_hash, provider, issuer, subject, auth_time, methods, device, network, new_device,
                last_device, last_network, created_at, rotated_at, last_seen_at, idle_expires_at, expires_at)
             select $1, user_id, sha256($1::text::bytea), 'dev', issuer, subject, $2, '{oidc}', '', '', false, '', '', $2, $2,
                    $2, $2 + interval '1 hour', $2 + interval '1 hour'
               from identity.accounts where subject = $3",
        )
        .bind(id)
        .bind(self.clock.now())
        .bind(subject)
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
        id
    }
}

fn sessions(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", owned("Session::\"mine\"", "User::\"me\"")),
        ("somebody's", owned("Session::\"theirs\"", "User::\"other\"")),
    ]
}
