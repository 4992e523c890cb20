//! Elevations to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, entity, reference, text};

inventory::submit! {
    TruncatedList {
        page: |world| format!("{}/elevations", world.acme.url()),
        sentence: "Only the newest 500 of this organization are shown.",
        most: 500,
        table: "tenant.elevations",
        counted: "select count(*) from tenant.elevations",
        make: |world| Box::pin(world.new_elevation(world.acme)),
        others: ", 'ended_at', t.requested_at",
    }
}

inventory::submit! { CausedByTests(&["elevation.declined"]) }

sample!("elevation", World::new_elevation);
entities!("Elevation", elevations);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/elevations",
            &[
                ("role", "editor"),
                ("minutes", "15"),
                ("reason", "To see it as they do"),
                ("ticket", "https://tickets.example/1")
            ],
            &["elevation.requested"]
        )
        .creates("/o/{organization}/elevations/new"),
        Change::new("/o/{organization}/elevations/{elevation}/approve", &[], &["elevation.approved"]).ends_or_changes(),
        Change::new("/o/{organization}/elevations/{elevation}/end", &[], &["elevation.ended"]).ends_or_changes(),
    ]
);

impl World {
    /// A role that the viewer of a place asks for; what they asked for before has ended.
    pub(crate) async fn new_elevation(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        let mut owner = self.database.owner().await;
        let end = "update tenant.elevations set ended_at = $2 where tenant_id = $1 and ended_at is null";
        sqlx::query(end).bind(place.organization).bind(self.clock.now()).execute(&mut owner).await.unwrap();
        let ask = "insert into tenant.elevations (tenant_id, id, user_id, session_id, own_role, role, minutes, reason, ticket, requested_at, expires_at)
                   select $1, $2, user_id, $2, role, 'editor', 15, 'A test of it', 'https://tickets.example/1', $3, $3 + interval '24 hours'
                     from tenant.memberships m where m.tenant_id = $1 and m.role = 'viewer'";
        let ask = sqlx::query(ask).bind(place.organization).bind(id).bind(self.clock.now());
        assert_eq!(ask.execute(&mut owner).await.unwrap().rows_affected(), 1);
        id
    }
}

fn elevations(_: &str) -> Vec<(&'static str, Entity)> {
    let elevation = |id: &str, organization, member, role| {
        let attributes = [("member", reference(member)), ("role", text(role))];
        entity(&format!("Elevation::\"{id}\""), &[organization], &attributes)
    };
    vec![
        ("of oneself", elevation("mine", "Organization::\"a\"", "Member::\"me\"", "editor")),
        ("as an editor", elevation("editor", "Organization::\"a\"", "Member::\"viewer\"", "editor")),
        ("as an admin", elevation("admin", "Organization::\"a\"", "Member::\"viewer\"", "admin")),
        ("foreign", elevation("foreign", "Organization::\"b\"", "Member::\"me\"", "editor")),
    ]
}
