//! One request for every route that changes something.

use super::{Answer, Client, Place, World, passkey};
use uuid::Uuid;

/// A request that succeeds for the owner of an organization, and the events it leaves.
pub(crate) struct Change {
    /// As in the table of routes.
    pub(crate) path: &'static str,
    pub(crate) form: &'static [(&'static str, &'static str)],
    /// The field `credential`, if it takes one.
    pub(crate) credential: Credential,
    pub(crate) events: &'static [&'static str],
}

/// What a passkey adds to a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    None,
    /// A new one, on a new device.
    Made,
    /// The first one of the owner, proved.
    Proved,
}

/// Stands for the issuer of the provider there is.
const ISSUER: &str = "{issuer}";
/// Stands for the name of the organization.
const NAME: &str = "{name}";

/// In an order in which they can follow each other, signing out last.
pub(crate) const CHANGES: &[Change] = &[
    Change {
        path: "/organizations",
        form: &[("name", "Initech")],
        credential: Credential::None,
        events: &["organization.created", "workspace.created"],
    },
    Change {
        path: "/o/{organization}/workspaces",
        form: &[("name", "Partners")],
        credential: Credential::None,
        events: &["workspace.created"],
    },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts",
        form: &[("name", "Somebody New"), ("email", "new@example.com")],
        credential: Credential::None,
        events: &["contact.created"],
    },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts/{contact}",
        form: &[("name", "Changed"), ("tax_id", "XX1"), ("bank_account", "XX2"), ("version", "1")],
        credential: Credential::None,
        events: &["contact.changed"],
    },
    Change {
        path: "/o/{organization}/w/{workspace}/contacts/{contact}/delete",
        form: &[],
        credential: Credential::None,
        events: &["contact.deleted"],
    },
    Change {
        path: "/o/{organization}/approvals/{approval}/approve",
        form: &[],
        credential: Credential::None,
        events: &["approval.approved", "member.factors_reset"],
    },
    Change {
        path: "/o/{organization}/activity/export",
        form: &[("format", "csv")],
        credential: Credential::None,
        events: &["activity.exported"],
    },
    Change {
        path: "/o/{organization}/failed-jobs/{job}/retry",
        form: &[],
        credential: Credential::None,
        events: &["job.retried"],
    },
    Change {
        path: "/o/{organization}/approvals/{approval}/decline",
        form: &[],
        credential: Credential::None,
        events: &["approval.declined"],
    },
    Change {
        path: "/o/{organization}/delete",
        form: &[("name", NAME), ("reason", "It is not needed any more")],
        credential: Credential::None,
        events: &["approval.requested"],
    },
    Change {
        path: "/o/{organization}/elevations",
        form: &[
            ("role", "editor"),
            ("minutes", "15"),
            ("reason", "To see it as they do"),
            ("ticket", "https://tickets.example/1"),
        ],
        credential: Credential::None,
        events: &["elevation.requested"],
    },
    Change {
        path: "/o/{organization}/elevations/{elevation}/approve",
        form: &[],
        credential: Credential::None,
        events: &["elevation.approved"],
    },
    Change {
        path: "/o/{organization}/elevations/{elevation}/end",
        form: &[],
        credential: Credential::None,
        events: &["elevation.ended"],
    },
    Change {
        path: "/o/{organization}/settings/sign-in",
        form: &[
            ("allows_magic_links", "yes"),
            ("reason", "Not everybody has a provider at hand"),
            ("ticket", "https://tickets.example/8"),
        ],
        credential: Credential::None,
        events: &["organization.sign_in_changed"],
    },
    Change {
        path: "/o/{organization}/settings/domains",
        form: &[("name", "new.example.org"), ("reason", "People have addresses in it")],
        credential: Credential::None,
        events: &["domain.added"],
    },
    Change {
        path: "/o/{organization}/settings/domains/{domain}/prove",
        form: &[],
        credential: Credential::None,
        events: &["domain.proved"],
    },
    Change {
        path: "/o/{organization}/settings/provider",
        form: &[
            ("issuer", ISSUER),
            ("client_id", "holdfast"),
            ("client_secret", "a secret"),
            ("reason", "Everybody has an account there"),
        ],
        credential: Credential::None,
        events: &["organization.provider_changed"],
    },
    Change {
        path: "/o/{organization}/settings/provider/remove",
        form: &[("reason", "Another one comes")],
        credential: Credential::None,
        events: &["organization.provider_removed"],
    },
    Change {
        path: "/o/{organization}/settings/domains/{domain}/remove",
        form: &[("reason", "Nobody has an address in it")],
        credential: Credential::None,
        events: &["domain.removed"],
    },
    Change {
        path: "/o/{organization}/clients",
        form: &[
            ("name", "Newsletter"),
            ("acts_as", "viewer"),
            ("scope", "ListContacts"),
            ("scope", "ViewContact"),
            ("kind", "tokens"),
            ("reason", "It sends the newsletter"),
        ],
        credential: Credential::None,
        events: &["service_account.made"],
    },
    Change {
        path: "/o/{organization}/clients/{client}/secret",
        form: &[("reason", "The last one is old")],
        credential: Credential::None,
        events: &["service_account.secret_renewed"],
    },
    Change {
        path: "/o/{organization}/clients/{client}/revoke",
        form: &[("reason", "Not needed any more")],
        credential: Credential::None,
        events: &["api_client.revoked"],
    },
    Change {
        path: "/o/{organization}/members/{member}/role",
        form: &[("role", "editor"), ("reason", "They edit now"), ("ticket", "https://tickets.example/7")],
        credential: Credential::None,
        events: &["member.role_changed"],
    },
    Change {
        path: "/o/{organization}/members/{member}/end-sessions",
        form: &[("reason", "Lost a telephone")],
        credential: Credential::None,
        events: &["member.sessions_ended"],
    },
    Change {
        path: "/o/{organization}/members/{member}/reset-factors",
        form: &[("reason", "Lost a telephone")],
        credential: Credential::None,
        events: &["member.factors_reset"],
    },
    Change {
        path: "/o/{organization}/members/{member}/remove",
        form: &[("reason", "They have left")],
        credential: Credential::None,
        events: &["member.removed"],
    },
    Change {
        path: "/o/{organization}/invitations",
        form: &[("email", "New@Example.org"), ("role", "editor"), ("reason", "Helps with the move")],
        credential: Credential::None,
        events: &["invitation.made"],
    },
    Change {
        path: "/o/{organization}/invitations/{invitation}/revoke",
        form: &[("reason", "Not needed any more")],
        credential: Credential::None,
        events: &["invitation.revoked"],
    },
    Change {
        path: "/invitations/{own_invitation}/accept",
        form: &[],
        credential: Credential::None,
        events: &["member.joined"],
    },
    Change { path: "/account/passkeys/options", form: &[], credential: Credential::None, events: &[] },
    Change {
        path: "/account/passkeys",
        form: &[("name", "Another device")],
        credential: Credential::Made,
        events: &["passkey.enrolled"],
    },
    Change {
        path: "/account/passkeys/{passkey}/rename",
        form: &[("name", "Old telephone")],
        credential: Credential::None,
        events: &["passkey.renamed"],
    },
    Change {
        path: "/step-up",
        form: &[("return_to", "/account")],
        credential: Credential::Proved,
        events: &["session.stepped_up"],
    },
    Change {
        path: "/account/recovery/codes",
        form: &[],
        credential: Credential::None,
        events: &["recovery.codes_made"],
    },
    Change { path: "/account/authenticator", form: &[], credential: Credential::None, events: &[] },
    Change {
        path: "/account/sessions/{session}/end",
        form: &[],
        credential: Credential::None,
        events: &["session.ended"],
    },
    Change {
        path: "/account/sessions/end-others",
        form: &[],
        credential: Credential::None,
        events: &["session.others_ended"],
    },
    Change {
        path: "/account/passkeys/{passkey}/remove",
        form: &[],
        credential: Credential::None,
        events: &["passkey.removed"],
    },
    Change { path: "/sign-out", form: &[], credential: Credential::None, events: &["session.signed_out"] },
];

impl Change {
    /// Sends it, as the owner of a place.
    pub(crate) async fn make(&self, world: &World, client: &mut Client, filled: &Filled) -> Answer {
        let form = self.form(world, client, filled).await;
        self.send(client, filled, &form).await
    }

    /// The form, with a credential where it takes one.
    pub(crate) async fn form(&self, world: &World, client: &mut Client, filled: &Filled) -> Vec<(&str, String)> {
        let name = "select name from tenant.organizations where tenant_id = $1";
        let name = sqlx::query_scalar(name).bind(filled.organization);
        let name: Option<String> = name.fetch_optional(&mut world.database.owner().await).await.unwrap();
        let said = |value: &str| match value {
            ISSUER => world.idp.issuer(),
            NAME => name.clone().unwrap_or_default(),
            value => value.to_owned(),
        };
        let mut form: Vec<_> = self.form.iter().map(|(name, value)| (*name, said(value))).collect();
        match self.credential {
            Credential::None => {}
            Credential::Made => {
                let options = passkey::options(client, "/account/passkeys/options").await;
                form.push(("credential", passkey::Authenticator::new(world).create(&options).to_string()));
            }
            Credential::Proved => {
                let options = passkey::options(client, "/step-up/options").await;
                form.push(("credential", world.device_answers(filled.owner, &options).await.to_string()));
            }
        }
        form
    }

    pub(crate) async fn send(&self, client: &mut Client, filled: &Filled, form: &[(&str, String)]) -> Answer {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
        client.post(&filled.path(self.path), &form).await
    }
}

/// What the parameters of paths stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// Subject of the owner of the place, whose passkey it is.
    pub(crate) owner: &'static str,
    pub(crate) organization: Uuid,
    pub(crate) workspace: Uuid,
    pub(crate) contact: Uuid,
    pub(crate) member: Uuid,
    pub(crate) passkey: Uuid,
    pub(crate) session: Uuid,
    pub(crate) invitation: Uuid,
    pub(crate) domain: Uuid,
    pub(crate) own_invitation: Uuid,
    pub(crate) client: Uuid,
    pub(crate) elevation: Uuid,
    pub(crate) approval: Uuid,
    pub(crate) job: Uuid,
    /// Another one, to be declined.
    pub(crate) declined: Uuid,
}

/// The parameters of paths that are ids.
pub(crate) const IDS: [&str; 13] = [
    "{organization}",
    "{workspace}",
    "{contact}",
    "{member}",
    "{passkey}",
    "{session}",
    "{invitation}",
    "{domain}",
    "{own_invitation}",
    "{client}",
    "{elevation}",
    "{approval}",
    "{job}",
];

impl Filled {
    /// With what a place has; its member is somebody who only views; the passkey is its owner's first, the session one that no browser has.
    pub(crate) async fn of(world: &World, place: Place) -> Self {
        world.new_provider(place).await;
        world.manage_viewer(place).await;
        let viewer = "select user_id from tenant.memberships where tenant_id = $1 and role = 'viewer'";
        let member =
            sqlx::query_scalar(viewer).bind(place.organization).fetch_one(&mut world.database.owner().await).await;
        let owner: &str = if place.organization == world.acme.organization { "olivia" } else { "gus" };
        Self {
            owner,
            organization: place.organization,
            workspace: place.workspace,
            contact: world.contact(place).await,
            member: member.unwrap(),
            passkey: world.passkey(owner).await,
            session: world.new_session(owner).await,
            invitation: world.new_invitation(place).await,
            domain: world.new_domain(place).await,
            own_invitation: world.new_invitation_to(owner).await,
            client: world.new_client(place).await,
            elevation: world.new_elevation(place).await,
            approval: world.new_approval(place).await,
            job: world.new_failed_job(place).await,
            declined: world.new_approval(place).await,
        }
    }

    pub(crate) fn get(&self, parameter: &str) -> Uuid {
        match parameter {
            "{organization}" => self.organization,
            "{workspace}" => self.workspace,
            "{contact}" => self.contact,
            "{member}" => self.member,
            "{passkey}" => self.passkey,
            "{session}" => self.session,
            "{invitation}" => self.invitation,
            "{domain}" => self.domain,
            "{own_invitation}" => self.own_invitation,
            "{client}" => self.client,
            "{elevation}" => self.elevation,
            "{approval}" => self.approval,
            "{job}" => self.job,
            other => panic!("say here what {other} stands for"),
        }
    }

    pub(crate) fn path(&self, pattern: &str) -> String {
        let pattern = pattern.replace("{approval}/decline", &format!("{}/decline", self.declined));
        let path = IDS.iter().fold(pattern.clone(), |path, id| path.replace(id, &self.get(id).to_string()));
        let path = path.replace("{provider}", "dev");
        assert!(!path.contains('{'), "say in harness/changes.rs what the parameters of {pattern} stand for");
        path
    }
}
