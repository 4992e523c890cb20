//! Invitations to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, entity, groups, text};

inventory::submit! {
    TruncatedList {
        page: |world| format!("{}/invitations", world.acme.url()),
        sentence: "Only the first 500 are shown, by address.",
        most: 500,
        table: "tenant.invitations",
        counted: "select count(*) from tenant.invitations",
        make: |world| Box::pin(world.new_invitation(world.acme)),
        others: ", 'email', gen_random_uuid() || '@example.org'",
    }
}

inventory::submit! { CausedByTests(&["invitation.privileged"]) }

sample!("invitation", World::new_invitation);
sample!("own_invitation", own_invitation);
entities!("Invitation", invitations);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/invitations",
            &[("email", "New@Example.org"), ("role", "editor"), ("reason", "Helps with the move")],
            &["invitation.created"]
        )
        .creates("/o/{organization}/invitations/new"),
        Change::new(
            "/o/{organization}/invitations/{invitation}/revoke",
            &[("reason", "Not needed any more")],
            &["invitation.revoked"]
        )
        .ends_or_changes(),
        Change::new("/invitations/{own_invitation}/accept", &[], &["member.joined"]).ends_or_changes(),
    ]
);

async fn own_invitation(world: &World, place: Place) -> Uuid {
    world.new_invitation_to(world.owner_of(place)).await
}

impl World {
    /// An invitation of somebody to a place, by one of its owners.
    pub(crate) async fn new_invitation(&self, place: Place) -> Uuid {
        let id = Uuid::now_v7();
        self.invite(id, place.organization, &format!("{}@example.org", id.simple()), "viewer").await;
        id
    }

    /// An invitation of a person of the seed to an organization of others.
    pub(crate) async fn new_invitation_to(&self, subject: &str) -> Uuid {
        let (id, organization) = (Uuid::now_v7(), Uuid::now_v7());
        let mut owner = self.database.owner().await;
        for sql in [
            "insert into tenant.organizations (tenant_id, name) values ($1, 'Umbrella')",
            "insert into tenant.memberships (tenant_id, user_id, role)
             select $1, user_id, 'owner' from identity.accounts where subject = 'carl'",
        ] {
            sqlx::query(sql).bind(organization).execute(&mut owner).await.unwrap();
        }
        self.invite(id, organization, &format!("{subject}@example.com"), "viewer").await;
        id
    }

    pub(crate) async fn invite(&self, id: Uuid, organization: Uuid, email: &str, role: &str) {
        let sql = "insert into tenant.invitations (tenant_id, id, email, role, invited_by, inviter_role, created_at, expires_at, notified)
                   select $2, $1, $3, $4, user_id, role, $5, $5 + interval '7 days', true
                     from tenant.memberships where tenant_id = $2 and memberships.role = 'owner' limit 1";
        let invite = sqlx::query(sql).bind(id).bind(organization).bind(email).bind(role).bind(self.clock.now());
        assert_eq!(invite.execute(&mut self.database.owner().await).await.unwrap().rows_affected(), 1);
    }
}

fn invitations(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("as a viewer", entity_of("viewer", "a", "me@a", "viewer", "admin")),
        ("as an owner", entity_of("owner", "a", "me@a", "owner", "owner")),
        ("beyond inviter", entity_of("too much", "a", "me@a", "owner", "admin")),
        ("by an editor", entity_of("demoted", "a", "me@a", "viewer", "editor")),
        ("not to oneself", entity_of("theirs", "a", "other@a", "viewer", "admin")),
        ("foreign", entity_of("foreign", "b", "other@a", "viewer", "admin")),
    ]
}

fn entity_of(id: &str, organization: &str, email: &str, role: &str, inviter_role: &str) -> Entity {
    let attributes = [("email", text(email)), ("role", text(role)), ("inviter_role", text(inviter_role))];
    let parents = [format!("Organization::\"{organization}\""), format!("Role::\"{role}\"")];
    let parents = [&[&*parents[0], &*parents[1]], groups(role)].concat();
    entity(&format!("Invitation::\"{id}\""), &parents, &attributes)
}
