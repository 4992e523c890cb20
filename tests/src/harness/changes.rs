//! A request for every route that changes something: the tests of each feature register those of its routes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use super::{Answer, Client, Samples, World, browser_routes, passkey};

/// The form of a route that is posted to, with values that it takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// As in the table of routes.
    pub(crate) path: &'static str,
    /// Its fields. See [`Change::credential`] for one more.
    pub(crate) form: &'static [(&'static str, &'static str)],
    /// None if the walk does not send it.
    events: Option<&'static [&'static str]>,
    pub(crate) credential: Credential,
    pub(crate) own_sample: bool,
    pub(crate) again: Again,
}

/// What a passkey adds to a form, in the field `credential`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    None,
    /// A new one, on a new device.
    Made,
    /// The first one of the owner, proved.
    Proved,
}

/// What the same form does if it is sent a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Nobody has said it. Those who are signed in must be sure of it.
    Unsaid,
    /// It creates something, and so takes a one-time key.
    Creates {
        /// The page with the form.
        page: &'static str,
        /// A second one still finds everything as the first one did.
        repeats: bool,
    },
    /// It finds what it is about gone, changed or decided already, or changes it to the same.
    EndsOrChanges,
    /// It puts a new one in the place of what is there: one for each person, organization or client. The second one shows
    /// the secret that holds.
    Replaces,
    /// It takes a code, a challenge or a kept form, which works once.
    WorksOnce,
    /// It begins something that ends by itself.
    Expires,
    /// It only reads, and is recorded each time.
    Reads,
}

/// A placeholder for the issuer of the provider.
pub(crate) const ISSUER: &str = "{issuer}";
/// A placeholder for the name of the organization.
pub(crate) const NAME: &str = "{name}";

impl Change {
    /// A form that the walk sends, in the session of the owner of an organization, and the events it leaves.
    pub(crate) const fn new(
        path: &'static str,
        form: &'static [(&'static str, &'static str)],
        events: &'static [&'static str],
    ) -> Self {
        let (credential, own_sample, again) = (Credential::None, false, Again::Unsaid);
        Self { path, form, events: Some(events), credential, own_sample, again }
    }

    /// A form that the walk cannot send, because it needs something else before it. Say where it is tested.
    pub(crate) const fn not_walked(path: &'static str, form: &'static [(&'static str, &'static str)]) -> Self {
        Self { events: None, ..Self::new(path, form, &[]) }
    }

    /// The events it leaves.
    pub(crate) fn events(&self) -> &'static [&'static str] {
        self.events.unwrap_or_default()
    }

    /// It takes the field `credential` as well.
    pub(crate) const fn credential(self, credential: Credential) -> Self {
        Self { credential, ..self }
    }

    /// It acts on a sample of its own, as another change uses up the one that all share.
    pub(crate) const fn own_sample(self) -> Self {
        Self { own_sample: true, ..self }
    }

    /// It creates something each time, as [`Again::Creates`] says.
    pub(crate) const fn creates(self, page: &'static str) -> Self {
        Self { again: Again::Creates { page, repeats: true }, ..self }
    }

    /// The same, and the first one changes what a second one would find.
    pub(crate) const fn creates_once(self, page: &'static str) -> Self {
        Self { again: Again::Creates { page, repeats: false }, ..self }
    }

    /// See [`Again::EndsOrChanges`].
    pub(crate) const fn ends_or_changes(self) -> Self {
        Self { again: Again::EndsOrChanges, ..self }
    }

    /// See [`Again::Replaces`].
    pub(crate) const fn replaces(self) -> Self {
        Self { again: Again::Replaces, ..self }
    }

    /// See [`Again::WorksOnce`].
    pub(crate) const fn works_once(self) -> Self {
        Self { again: Again::WorksOnce, ..self }
    }

    /// See [`Again::Expires`].
    pub(crate) const fn expires(self) -> Self {
        Self { again: Again::Expires, ..self }
    }

    /// See [`Again::Reads`].
    pub(crate) const fn reads(self) -> Self {
        Self { again: Again::Reads, ..self }
    }
}

/// When the changes of a feature are made: some take away what others need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    Usual,
    /// They change how somebody proves who they are.
    Factors,
    /// It ends the session.
    SignOut,
}

/// The changes of a feature, in an order in which they can follow each other. Registered with [`changes!`].
pub(crate) struct Changes {
    pub(crate) turn: Turn,
    pub(crate) all: &'static [Change],
}

inventory::collect!(Changes);

/// Kinds of events that no form of an owner causes. Other tests of the feature that registers them do.
pub(crate) struct CausedByTests(pub(crate) &'static [&'static str]);

inventory::collect!(CausedByTests);

/// Registers the forms of a feature's routes, in the tests of the feature:
///
/// ```ignore
/// changes!(Turn::Usual, [
///     Change::new("/invoices", &[("amount", "12")], &["invoice.created"]).creates("/invoices/new"),
///     Change::new("/invoices/{invoice}/delete", &[], &["invoice.deleted"]).ends_or_changes(),
/// ]);
/// ```
macro_rules! changes {
    ($turn:expr, [$($change:expr),* $(,)?]) => {
        inventory::submit! { $crate::harness::changes::Changes { turn: $turn, all: &[$($change),*] } }
    };
}
pub(crate) use changes;

/// Every form of a browser, in an order in which they can follow each other: within a turn by the path that a feature's
/// first one has.
pub(crate) fn forms() -> &'static [Change] {
    static ALL: LazyLock<Vec<Change>> = LazyLock::new(|| {
        let mut features: Vec<_> = inventory::iter::<Changes>().collect();
        features.sort_by_key(|changes| (changes.turn, changes.all.first().map(|change| change.path)));
        features.into_iter().flat_map(|changes| changes.all).copied().collect()
    });
    &ALL
}

/// Those that the walks send.
pub(crate) fn all_changes() -> impl Iterator<Item = &'static Change> {
    forms().iter().filter(|change| change.events.is_some())
}

/// The form of a route.
pub(crate) fn change(path: &str) -> &'static Change {
    forms().iter().find(|change| change.path == path).unwrap_or_else(|| {
        panic!(
            "which form does {path} take? Say changes!(..., [Change::new(\"{path}\", ...)]) in the tests of its feature"
        )
    })
}

/// A form that the route accepts from a person with its credential.
pub(crate) fn form_for(path: &str) -> Vec<(&'static str, &'static str)> {
    let change = change(path);
    let said = |value| match value {
        ISSUER => "https://smuggled.example.org",
        NAME => "Acme",
        value => value,
    };
    let credential = (change.credential != Credential::None).then_some(("credential", "{}"));
    change.form.iter().map(|(name, value)| (*name, said(*value))).chain(credential).collect()
}

#[test]
fn a_form_has_no_field_that_its_handler_does_not_read() {
    for row in browser_routes().iter().filter(|row| row.method == "POST") {
        // A handler that reads pairs names no fields.
        if row.fields.iter().all(|name| *name == "one_time_key") {
            continue;
        }
        for (name, _) in form_for(&row.path) {
            assert!(row.fields.contains(&name), "the form of {} has the field {name}, and its handler not", row.path);
        }
    }
}

// control: OBS-02
#[test]
fn every_route_that_changes_something_has_a_form() {
    let posted: BTreeSet<String> =
        browser_routes().into_iter().filter(|row| row.method == "POST").map(|row| row.path).collect();
    for path in &posted {
        change(path);
    }
    for (index, change) in forms().iter().enumerate() {
        assert!(posted.contains(change.path), "no route is posted to at {}: remove its form", change.path);
        let once = forms()[..index].iter().all(|other| other.path != change.path);
        assert!(once, "two forms are registered for {}: remove one", change.path);
    }
}

impl Change {
    /// Sends it, as the owner of a place.
    pub(crate) async fn make(&self, world: &World, client: &mut Client, samples: &Samples) -> Answer {
        let form = self.form(world, client, samples).await;
        self.send(client, samples, &form).await
    }

    /// The form, with a credential where it takes one.
    pub(crate) async fn form(&self, world: &World, client: &mut Client, samples: &Samples) -> Vec<(&str, String)> {
        let name = "select name from tenant.organizations where tenant_id = $1";
        let name = sqlx::query_scalar(name).bind(samples.place.organization);
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
                form.push((
                    "credential",
                    world.device_answers(world.owner_of(samples.place), &options).await.to_string(),
                ));
            }
        }
        form
    }

    pub(crate) async fn send(&self, client: &mut Client, samples: &Samples, form: &[(&str, String)]) -> Answer {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
        client.post(&samples.path(self.path), &form).await
    }
}
