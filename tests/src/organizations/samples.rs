//! The organizations and workspaces of the seed.

use cedar_policy::Entity;
use uuid::Uuid;

use crate::harness::changes::{Change, NAME, Turn, changes};
use crate::harness::{Place, World, sample};
use crate::lists::TruncatedList;
use crate::policies::{entities, entity};

inventory::submit! {
    TruncatedList {
        page: |world| world.acme.url(),
        sentence: "Only the first 200 are shown, by name.",
        most: 200,
        table: "tenant.workspaces",
        counted: "select count(*) from tenant.workspaces join tenant.organizations o using (tenant_id) where o.name = 'Acme'",
        make: |world| Box::pin(async { world.acme.workspace }),
        others: ", 'name', gen_random_uuid()",
    }
}

sample!("organization", organization);
sample!("workspace", workspace);
entities!("Organization", organizations);
entities!("Workspace", workspaces);

changes!(
    Turn::Usual,
    [
        Change::new("/organizations", &[("name", "Initech")], &["organization.created", "workspace.created"])
            .creates("/organizations/new"),
        Change::new("/o/{organization}/workspaces", &[("name", "Partners")], &["workspace.created"])
            .creates("/o/{organization}/workspaces/new"),
        Change::new(
            "/o/{organization}/delete",
            &[("name", NAME), ("reason", "It is not needed any more")],
            &["approval.requested"]
        )
        .creates("/o/{organization}/delete"),
    ]
);

async fn organization(_: &World, place: Place) -> Uuid {
    place.organization
}

async fn workspace(_: &World, place: Place) -> Uuid {
    place.workspace
}

fn organizations(_: &str) -> Vec<(&'static str, Entity)> {
    vec![("own", entity("Organization::\"a\"", &[], &[])), ("foreign", entity("Organization::\"b\"", &[], &[]))]
}

fn workspaces(_: &str) -> Vec<(&'static str, Entity)> {
    vec![
        ("own", entity("Workspace::\"a\"", &["Organization::\"a\""], &[])),
        ("foreign", entity("Workspace::\"b\"", &["Organization::\"b\""], &[])),
    ]
}
