//! Clients of the API to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::policies::{entities, entity, reference};

inventory::submit! { CausedByTests(&["api_client.created", "api_client.secret_rotated", "api_client.token_reused", "api_token.issued", "api_token.refused", "api_token.revoked"]) }

sample!("client", World::new_client);
entities!("ApiClient", clients);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/clients",
            &[
                ("name", "Newsletter"),
                ("acts_as", "viewer"),
                ("scope", "ListContacts"),
                ("scope", "ViewContact"),
                ("kind", "tokens"),
                ("reason", "It sends the newsletter")
            ],
            &["service_account.created"]
        )
        .creates("/o/{organization}/clients/new"),
        Change::new(
            "/o/{organization}/clients/{client}/secret",
            &[("reason", "The last one is old")],
            &["service_account.secret_rotated"]
        )
        .replaces(),
        Change::new(
            "/o/{organization}/clients/{client}/revoke",
            &[("reason", "Not needed any more")],
            &["api_client.revoked"]
        )
        .ends_or_changes(),
        // Take the secret of a client; see `api`.
        Change::not_walked(
            "/api/oauth/token",
            &[("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", "x"), ("scope", "x")]
        ),
        Change::not_walked("/api/oauth/revoke", &[("token", "x"), ("client_id", "x"), ("client_secret", "x")]),
    ]
);

impl World {
    /// A client of the API of a place, with a secret that nobody knows.
    pub(crate) async fn new_client(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "insert into tenant.api_clients
               (tenant_id, id, name, name_key, role, scopes, dpop, signs, secret, secret_created_at, created_by, created_at)
             values ($1, $2, $2::text, sha256($2::text::bytea), 'editor', '{ListContacts}', false, false, sha256($2::text::bytea), $3, $2, $3)",
        )
        .bind(place.organization)
        .bind(id)
        .bind(self.clock.now())
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
        id
    }
}

fn clients(_: &str) -> Vec<(&'static str, Entity)> {
    let client = |id: &str, organization: &str, member: Option<&str>| {
        let member: Vec<_> = member.map(|member| ("member", reference(member))).into_iter().collect();
        entity(&format!("ApiClient::\"{id}\""), &[organization], &member)
    };
    vec![
        ("acts as oneself", client("mine", "Organization::\"a\"", Some("Member::\"me\""))),
        ("acts as another", client("theirs", "Organization::\"a\"", Some("Member::\"other\""))),
        ("service account", client("service", "Organization::\"a\"", None)),
        ("foreign", client("foreign", "Organization::\"b\"", Some("Member::\"me\""))),
    ]
}
