//! One request for every route that changes something.

use super::{Answer, Client, Place, World};
use uuid::Uuid;

/// A request that succeeds for the owner of an organization, and the events it leaves.
pub(crate) struct Change {
    /// As in the table of routes.
    pub(crate) path: &'static str,
    pub(crate) form: &'static [(&'static str, &'static str)],
    pub(crate) events: &'static [&'static str],
}

/// In an order in which they can follow each other, signing out last.
pub(crate) const CHANGES: &[Change] = &[
    Change {
        path: "/organizations",
        form: &[("name", "Initech")],
        events: &["organization.created", "workspace.created"],
    },
    Change { path: "/o/{organization}/workspaces", form: &[("name", "Partners")], events: &["workspace.created"] },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts",
        form: &[("name", "Somebody New"), ("email", "new@example.com")],
        events: &["contact.created"],
    },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts/{contact}",
        form: &[("name", "Changed"), ("tax_id", "XX1"), ("bank_account", "XX2"), ("version", "1")],
        events: &["contact.changed"],
    },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts/{contact}/delete",
        form: &[],
        events: &["contact.deleted"],
    },
    Change {
        path: "/o/{organization}/members/{member}/role",
        form: &[("role", "editor"), ("reason", "They edit now"), ("ticket", "https://tickets.example/7")],
        events: &["member.role_changed"],
    },
    Change {
        path: "/o/{organization}/members/{member}/remove",
        form: &[("reason", "They have left")],
        events: &["member.removed"],
    },
    Change { path: "/sign-out", form: &[], events: &["session.signed_out"] },
];

impl Change {
    /// Sends it.
    pub(crate) async fn make(&self, client: &mut Client, filled: &Filled) -> Answer {
        client.post(&filled.path(self.path), self.form).await
    }
}

/// What the parameters of paths stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    pub(crate) organization: Uuid,
    pub(crate) workspace: Uuid,
    pub(crate) contact: Uuid,
    pub(crate) member: Uuid,
}

/// The parameters of paths that are ids.
pub(crate) const IDS: [&str; 4] = ["{organization}", "{workspace}", "{contact}", "{member}"];

impl Filled {
    /// With what a place has; its member is somebody who only views.
    pub(crate) async fn of(world: &World, place: Place) -> Self {
        let viewer = "select user_id from tenant.memberships where tenant_id = $1 and role = 'viewer'";
        let member =
            sqlx::query_scalar(viewer).bind(place.organization).fetch_one(&mut world.database.owner().await).await;
        Self {
            organization: place.organization,
            workspace: place.workspace,
            contact: world.contact(place).await,
            member: member.unwrap(),
        }
    }

    pub(crate) fn get(&self, parameter: &str) -> Uuid {
        match parameter {
            "{organization}" => self.organization,
            "{workspace}" => self.workspace,
            "{contact}" => self.contact,
            "{member}" => self.member,
            other => panic!("say here what {other} stands for"),
        }
    }

    pub(crate) fn path(&self, pattern: &str) -> String {
        let path = IDS.iter().fold(pattern.to_owned(), |path, id| path.replace(id, &self.get(id).to_string()));
        let path = path.replace("{provider}", "dev");
        assert!(!path.contains('{'), "say in harness/changes.rs what the parameters of {pattern} stand for");
        path
    }
}
