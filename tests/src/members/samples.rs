//! Members to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::policies::{entities, member};

inventory::submit! { CausedByTests(&["member.left"]) }

sample!("member", viewer);
sample!(new_former_member);
entities!("Member", members);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/members/{member}/role",
            &[("role", "editor"), ("reason", "They edit now"), ("ticket", "https://tickets.example/7")],
            &["member.role_changed"]
        )
        .creates_once("/o/{organization}/members/{member}/role"),
        Change::new(
            "/o/{organization}/members/{member}/end-sessions",
            &[("reason", "Lost a telephone")],
            &["member.sessions_ended"]
        )
        .ends_or_changes(),
        Change::new(
            "/o/{organization}/members/{member}/reset-factors",
            &[("reason", "Lost a telephone")],
            &["member.factors_reset"]
        )
        .creates("/o/{organization}/members/{member}/reset-factors"),
        Change::new("/o/{organization}/members/{member}/remove", &[("reason", "They have left")], &["member.removed"])
            .creates_once("/o/{organization}/members/{member}/remove"),
    ]
);

/// The viewer, whose account the organization manages.
async fn viewer(world: &World, place: Place) -> Uuid {
    world.manage_viewer(place).await;
    sqlx::query_scalar("select user_id from tenant.memberships where tenant_id = $1 and role = 'viewer'")
        .bind(place.organization)
        .fetch_one(&mut world.database.owner().await)
        .await
        .unwrap()
}

async fn new_former_member(world: &World, place: Place) -> Uuid {
    let id = Uuid::now_v7();
    let left = "insert into tenant.former_members (tenant_id, user_id, left_at) values ($1, $2, now())";
    let left = sqlx::query(left).bind(place.organization).bind(id);
    left.execute(&mut world.database.owner().await).await.unwrap();
    id
}

impl World {
    /// Members of a place with these names.
    pub(crate) async fn new_members(&self, place: Place, names: &[&str]) {
        let sql = "with made as (
                     insert into identity.users (id, display_name, email, created_at)
                     select gen_random_uuid(), name, gen_random_uuid() || '@example.org', $3 from unnest($2::text[]) name
                     returning id)
                   insert into tenant.memberships (tenant_id, user_id, role) select $1, id, 'creator' from made";
        let new = sqlx::query(sql).bind(place.organization).bind(names).bind(self.clock.now());
        new.execute(&mut self.database.owner().await).await.unwrap();
    }

    /// A member of a place whose account the organization manages.
    pub(crate) async fn new_managed(&self, place: Place, role: &str) -> Uuid {
        let id = Uuid::now_v7();
        let mut owner = self.database.owner().await;
        let user = "insert into identity.users (id, display_name, email, email_verified, created_at, managed_by)
                    values ($1, 'Manfred Managed', $1 || '@acme.test', true, $2, $3)";
        let user = sqlx::query(user).bind(id).bind(self.clock.now()).bind(place.organization);
        user.execute(&mut owner).await.unwrap();
        let join = "insert into tenant.memberships (tenant_id, user_id, role) values ($1, $2, $3)";
        sqlx::query(join).bind(place.organization).bind(id).bind(role).execute(&mut owner).await.unwrap();
        id
    }

    /// Has the provider of a place speak for its viewer.
    pub(crate) async fn manage_viewer(&self, place: Place) {
        let manage = "update identity.users set managed_by = $1
                       where id in (select user_id from tenant.memberships where tenant_id = $1 and role = 'viewer')";
        sqlx::query(manage).bind(place.organization).execute(&mut self.database.owner().await).await.unwrap();
    }
}

fn members(role: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("oneself", member("Member::\"me\"", role, "a")),
        ("an owner", member("Member::\"owner\"", "owner", "a")),
        ("an admin", member("Member::\"admin\"", "admin", "a")),
        ("a viewer", member("Member::\"viewer\"", "viewer", "a")),
        ("foreign", member("Member::\"foreign\"", "viewer", "b")),
    ]
}
