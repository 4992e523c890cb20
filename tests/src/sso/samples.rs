//! Domains and providers to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, ISSUER, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::policies::{entities, entity};

// The domains of an organization are looked up again.
inventory::submit! { CausedByTests(&["domain.record_missing", "domain.withdrawn"]) }

sample!("domain", World::new_domain);
sample!(World::new_provider);
entities!("Domain", domains);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/settings/sign-in",
            &[
                ("allows_magic_links", "yes"),
                ("reason", "Not everybody has a provider at hand"),
                ("ticket", "https://tickets.example/8")
            ],
            &["organization.sign_in_changed"]
        )
        .creates("/o/{organization}/settings/sign-in"),
        Change::new(
            "/o/{organization}/settings/domains",
            &[("name", "new.example.org"), ("reason", "People have addresses in it")],
            &["domain.added"]
        )
        .creates("/o/{organization}/settings/domains/new"),
        Change::new("/o/{organization}/settings/domains/{domain}/verify", &[], &["domain.verified"]).ends_or_changes(),
        Change::new(
            "/o/{organization}/settings/provider",
            &[
                ("issuer", ISSUER),
                ("client_id", "holdfast"),
                ("client_secret", "a secret"),
                ("reason", "Everybody has an account there")
            ],
            &["organization.provider_changed"]
        )
        .replaces(),
        Change::new(
            "/o/{organization}/settings/provider/remove",
            &[("reason", "Another one comes")],
            &["organization.provider_removed"]
        )
        .ends_or_changes(),
        Change::new(
            "/o/{organization}/settings/domains/{domain}/remove",
            &[("reason", "Nobody has an address in it")],
            &["domain.removed"]
        )
        .ends_or_changes(),
    ]
);

impl World {
    /// A domain that nobody has proved, and whose DNS would.
    pub(crate) async fn new_domain(&self, place: Place) -> Uuid {
        let (id, token) = (Uuid::now_v7(), "t".repeat(43));
        let name = format!("d{}.example.org", id.simple());
        self.dns.say(&format!("_holdfast.{name}"), &[&format!("holdfast-domain={token}")]);
        sqlx::query("insert into tenant.domains (tenant_id, id, name, token, created_at) values ($1, $2, $3, $4, $5)")
            .bind(place.organization)
            .bind(id)
            .bind(name)
            .bind(token)
            .bind(self.clock.now())
            .execute(&mut self.database.owner().await)
            .await
            .unwrap();
        id
    }

    /// A provider that an organization brings, which nobody can ask.
    pub(crate) async fn new_provider(&self, place: Place) -> Uuid {
        sqlx::query(
            "insert into tenant.identity_providers
               values ($1, 'https://id.example.org', 'holdfast', sha256('') || sha256(''), $2, gen_random_uuid())
                     on conflict do nothing",
        )
        .bind(place.organization)
        .bind(self.clock.now())
        .execute(&mut self.database.owner().await)
        .await
        .unwrap();
        place.organization
    }
}

fn domains(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", entity("Domain::\"a\"", &["Organization::\"a\""], &[])),
        ("foreign", entity("Domain::\"b\"", &["Organization::\"b\""], &[])),
    ]
}
