//! Contacts to test with.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{Change, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::policies::{entities, entity, reference};

sample!("contact", new_contact);
entities!("Contact", contacts);

changes!(
    Turn::Usual,
    [
        Change::new(
            "/o/{organization}/w/{workspace}/contacts",
            &[("name", "Somebody New"), ("email", "new@example.com")],
            &["contact.created"]
        )
        .creates("/o/{organization}/w/{workspace}/contacts/new"),
        Change::new(
            "/o/{organization}/w/{workspace}/contacts/{contact}",
            &[("name", "Changed"), ("tax_id", "XX1"), ("bank_account", "XX2"), ("version", "1")],
            &["contact.changed"]
        )
        .ends_or_changes(),
        Change::new("/o/{organization}/w/{workspace}/contacts/{contact}/delete", &[], &["contact.deleted"])
            .ends_or_changes(),
    ]
);

async fn new_contact(world: &World, place: Place) -> Uuid {
    let id = Uuid::now_v7();
    let sql = "insert into tenant.contacts (tenant_id, id, workspace_id, name, created_by)
               select $1, $2, $3, 'Somebody', user_id from identity.accounts where subject = $4";
    let new = sqlx::query(sql).bind(place.organization).bind(id).bind(place.workspace).bind(world.owner_of(place));
    assert_eq!(new.execute(&mut world.database.owner().await).await.unwrap().rows_affected(), 1);
    id
}

fn contacts(_: &str) -> Vec<(&'static str, Entity)> {
    let contact = |id: &str, workspace, creator| {
        entity(&format!("Contact::\"{id}\""), &[workspace], &[("created_by", reference(creator))])
    };
    vec![
        ("made by oneself", contact("mine", "Workspace::\"a\"", "Member::\"me\"")),
        ("made by another", contact("theirs", "Workspace::\"a\"", "Member::\"other\"")),
        ("foreign", contact("foreign", "Workspace::\"b\"", "Member::\"me\"")),
    ]
}
