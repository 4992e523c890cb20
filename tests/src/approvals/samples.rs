//! Requests that wait for a second person, to test with.

use cedar_policy::{Entity, RestrictedExpression};
use uuid::Uuid;

use crate::harness::changes::{CausedByTests, Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, entity, reference, text};

inventory::submit! {
    TruncatedList {
        page: |world| format!("{}/approvals", world.acme.url()),
        sentence: "Only the newest 500 of this organization are shown.",
        most: 500,
        table: "tenant.approvals",
        counted: "select count(*) from tenant.approvals",
        make: |world| Box::pin(world.new_approval(world.acme)),
        others: ", 'target', gen_random_uuid()",
    }
}

// It takes a second person.
inventory::submit! { CausedByTests(&["organization.deleted"]) }

sample!("approval", World::new_approval);
entities!("Approval", approvals);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/approvals/{approval}/approve",
            &[],
            &["approval.approved", "member.factors_reset"]
        )
        .ends_or_changes(),
        Change::new("/o/{organization}/approvals/{approval}/decline", &[], &["approval.declined"])
            .own_sample()
            .ends_or_changes(),
    ]
);

impl World {
    /// What a new admin of a place asks for: to reset the factors of a new member.
    pub(crate) async fn new_approval(&self, place: Place) -> Uuid {
        let (id, admin) = (Uuid::now_v7(), self.new_managed(place, "admin").await);
        let member = self.new_managed(place, "creator").await;
        let ask = "insert into tenant.approvals
                     (tenant_id, id, kind, target, parameters, reason, requested_by, requester_role, requested_at, expires_at)
                   select $1::uuid, $2::uuid, 'reset_factors', $3, jsonb_build_object('member', $3, 'role', 'creator'), 'A test of it',
                          $5, 'admin', $4, $4 + interval '24 hours'";
        let ask = sqlx::query(ask).bind(place.organization).bind(id).bind(member).bind(self.clock.now()).bind(admin);
        assert_eq!(ask.execute(&mut self.database.owner().await).await.unwrap().rows_affected(), 1);
        id
    }
}

fn approvals(_: &str) -> Vec<(&'static str, Entity)> {
    let (me, owner, admin, viewer) = ("Member::\"me\"", "Member::\"owner\"", "Member::\"admin\"", "Member::\"viewer\"");
    let deletion = |id, by, role| entity_of(id, "delete_organization", (by, role), None);
    let reset = |id, by, role, target| entity_of(id, "reset_factors", (by, role), Some(target));
    vec![
        ("own deletion", deletion("mine", me, "owner")),
        ("deletion", deletion("deletion", owner, "owner")),
        ("deletion by admin", deletion("by an admin", owner, "admin")),
        ("relaxed by admin", entity_of("relax by an admin", "stop_requiring_sso", (owner, "admin"), None)),
        ("admin, by admin", reset("reset", admin, "admin", "admin")),
        ("owner, by admin", reset("reset of an owner", admin, "admin", "owner")),
        ("deletion, not named", named("by another of today", "delete_organization", owner, admin)),
        ("viewer, by viewer", reset("by a viewer", viewer, "viewer", "viewer")),
        ("of an owner, named", named("named", "remove_owner", me, me)),
        ("of an owner, not named", named("not named", "remove_owner", me, owner)),
        ("foreign", reset("foreign", me, "owner", "viewer")),
    ]
}

/// A request with the role of its requester, and the role of the member that it affects.
fn entity_of(id: &str, kind: &str, (by, role): (&str, &str), target_role: Option<&str>) -> Entity {
    let approvers = ["me", "owner", "admin"].map(|id| reference(&format!("Member::\"{id}\"")));
    let mut attributes = vec![
        ("requested_by", reference(by)),
        ("requester_role", text(role)),
        ("approvers", RestrictedExpression::new_set(approvers)),
    ];
    if kind == "reset_factors" && target_role != Some("owner") {
        attributes.push(("open_to_admins", RestrictedExpression::new_bool(true)));
    }
    let organization = if id == "foreign" { "Organization::\"b\"" } else { "Organization::\"a\"" };
    entity(&format!("Approval::\"{id}\""), &[organization], &attributes)
}

/// What an owner asks for, and that `approver` alone can approve.
fn named(id: &str, kind: &str, requested_by: &str, approver: &str) -> Entity {
    let (uid, mut attributes, parents) = entity_of(id, kind, (requested_by, "owner"), None).into_inner();
    attributes.insert("approvers".to_owned(), RestrictedExpression::new_set([reference(approver)]));
    if kind == "remove_owner" {
        attributes.insert("affects_owner".to_owned(), RestrictedExpression::new_bool(true));
    }
    Entity::new(uid, attributes, parents).unwrap()
}
