//! The combined registrations of all features, for code that must know all of them.

use std::collections::HashSet;

use authn::Authn;
use authz::{PolicySource, Route};
use jobs::{Failure, Worker};
use tenancy::{Db, RetentionRule};
use web::Frame;

use super::hooks::Hooks;
use super::parts::{AccountLink, AccountTab, ActingLabel, FrameLink, PageLink, Panel, Parts, RegisteredJob, Tab};
use super::sentence::keys;
use super::{DeclaredEvent, EventKind, Operation, PendingActionKind, Scope};

/// What the features registered. It is built once, at startup. Startup fails if the registrations contradict each
/// other.
#[derive(Debug, Default)]
pub struct Registry {
    table: Vec<Route>,
    pages: Vec<FeaturePages>,
    policies: Vec<PolicySource>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) operations: Vec<(Route, Operation)>,
    pub(crate) events: Vec<EventKind>,
    audiences: Vec<EventAudience>,
    retention: Vec<RetentionRule>,
    pending_actions: Vec<PendingActionKind>,
    jobs: Vec<RegisteredJob>,
    pub(super) tabs: Vec<Tab>,
    pub(super) account_tabs: Vec<AccountTab>,
    pub(super) account_links: Vec<AccountLink>,
    frame: Frame,
    pub(super) links: Vec<PageLink>,
    pub(super) panels: Vec<Panel>,
    pub(crate) acting_labels: Vec<ActingLabel>,
    pub(crate) hooks: Hooks,
}

/// An error in the registrations of the features.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegistryError {
    /// A name that must be unique is used twice.
    #[error("{what} `{name}` is registered twice: rename or remove one of them")]
    Twice {
        /// What kind of thing has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A feature registered a link to a page, or something on a page, that nobody registered.
    #[error("the feature `{feature}` names the page `{page}`, and no feature has a route of this path")]
    NoPage {
        /// The feature.
        feature: &'static str,
        /// The path.
        page: &'static str,
    },
    /// A scope of a feature is not an action.
    #[error("the feature `{feature}` offers the scope `{scope}`, which is no action of its `actions!`")]
    NoAction {
        /// The feature.
        feature: &'static str,
        /// The name of the action.
        scope: &'static str,
    },
    /// An event has no sentence that people can read.
    #[error(
        "the event `{0}` has no sentence that names its object, such as \"created the invoice {{number}}\": see its `events!`"
    )]
    NoSentence(&'static str),
    /// The feature and its policies have different names.
    #[error("the feature `{feature}` has the policies `{policies}`: both have the name of its folder")]
    PoliciesOfAnother {
        /// The feature.
        feature: &'static str,
        /// The name of the policies.
        policies: &'static str,
    },
}

/// A kind of event, its sentence, and who gets an email about it.
#[derive(Clone, Debug)]
pub struct EventAudience {
    /// The kind of the event.
    pub kind: &'static str,
    /// The sentence, with details in braces.
    pub sentence: &'static str,
    /// The subject of the email.
    pub subject: &'static str,
    /// The recipients: owners, admins, the affected member. Empty if nobody gets an email.
    pub audience: Vec<&'static str>,
}

impl EventAudience {
    fn of(event: &DeclaredEvent) -> Self {
        let (subject, audience) = event.email.unwrap_or_default();
        let audience = audience.iter().map(|audience| audience.name()).collect();
        Self { kind: event.kind.name, sentence: event.kind.sentence, subject, audience }
    }
}

/// The paths of a feature, and the paths of other features that it registered a link to, or something on.
#[derive(Clone, Debug)]
pub struct FeaturePages {
    /// The name of the feature.
    pub feature: &'static str,
    /// The paths of its routes.
    pub own: Vec<String>,
    /// The paths that are checked at startup.
    pub registered: Vec<&'static str>,
}

impl FeaturePages {
    fn of(feature: &Parts) -> Self {
        let own = feature.table.iter().map(|route| route.path.clone()).collect();
        Self { feature: feature.name, own, registered: feature.pages().map(|(_, page)| page).collect() }
    }
}

impl Registry {
    /// Combines the features with the base policies.
    ///
    /// # Errors
    ///
    /// A feature's registrations do not fit the rest. The message says what to change.
    pub(crate) fn new(base: PolicySource, features: &[Parts]) -> Result<Self, RegistryError> {
        let mut registry = Self { policies: vec![base], ..Self::default() };
        for feature in features {
            registry.add(feature);
        }
        registry.frame.footer.sort_by_key(|link| link.label);
        registry.check_names(features)?;
        features.iter().try_for_each(|feature| registry.check(feature))?;
        Ok(registry)
    }

    fn add(&mut self, feature: &Parts) {
        self.table.extend(feature.table.iter().cloned());
        self.pages.push(FeaturePages::of(feature));
        self.policies.extend(feature.policies);
        self.scopes.extend(&feature.scopes);
        self.operations.extend(feature.operations.iter().cloned());
        self.events.extend(feature.events.iter().map(|event| event.kind));
        self.audiences.extend(feature.events.iter().map(EventAudience::of));
        self.retention.extend(&feature.retention);
        self.pending_actions.extend(&feature.pending_actions);
        self.jobs.extend(&feature.jobs);
        self.tabs.extend(&feature.tabs);
        self.account_tabs.extend(&feature.account_tabs);
        self.account_links.extend(&feature.account_links);
        feature.frame_links.iter().for_each(|link| link.add_to(&mut self.frame));
        self.links.extend(&feature.links);
        self.panels.extend(&feature.panels);
        self.acting_labels.extend(&feature.acting_labels);
        self.hooks.extend(&feature.hooks);
    }

    fn check_names(&self, features: &[Parts]) -> Result<(), RegistryError> {
        unique("the feature", features.iter().map(|feature| feature.name))?;
        unique("the event", self.events.iter().map(|kind| kind.name))?;
        unique("the scope", self.scopes.iter().map(|scope| scope.action))?;
        unique("the pending action", self.pending_actions.iter().map(|kind| kind.name))?;
        let frame_links = features.iter().flat_map(|feature| &feature.frame_links);
        unique("the link of the header or footer", frame_links.map(FrameLink::place))?;
        unique("the label of events with", self.acting_labels.iter().map(|label| label.fact))?;
        unique("the job", self.jobs.iter().map(|job| job.name))?;
        unique("the limit", features.iter().flat_map(|feature| &feature.limits).map(|limit| limit.name))?;
        unique("the rule of retention for", self.retention.iter().map(|rule| rule.table))?;
        unique("the route", self.table.iter().map(|route| format!("{} {}", route.method, route.path)))
    }

    fn check(&self, feature: &Parts) -> Result<(), RegistryError> {
        let name = feature.name;
        if let Some(policies) = feature.policies.filter(|policies| policies.name != name) {
            return Err(RegistryError::PoliciesOfAnother { feature: name, policies: policies.name });
        }
        let actions: HashSet<_> =
            self.policies.iter().flat_map(|source| source.actions).map(|action| action.name).collect();
        if let Some(scope) = feature.scopes.iter().find(|scope| !actions.contains(scope.action)) {
            return Err(RegistryError::NoAction { feature: name, scope: scope.action });
        }
        if let Some((_, page)) = feature.pages().find(|(method, page)| !self.has_route(method, page)) {
            return Err(RegistryError::NoPage { feature: name, page });
        }
        let incomplete = |kind: &&EventKind| kind.label.trim().is_empty() || !names_its_object(kind);
        match self.events.iter().find(incomplete) {
            Some(kind) => Err(RegistryError::NoSentence(kind.name)),
            None => Ok(()),
        }
    }

    /// Returns the links of the header and the footer of every page.
    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    fn has_route(&self, method: &str, path: &str) -> bool {
        self.table.iter().any(|route| route.method == method && route.path == path)
    }

    /// Returns every route of the product: method, path, guard.
    #[must_use]
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// Returns the paths of each feature.
    #[must_use]
    pub fn pages(&self) -> &[FeaturePages] {
        &self.pages
    }

    /// Returns every policy of the product. The policies of the base come first.
    #[must_use]
    pub fn policies(&self) -> &[PolicySource] {
        &self.policies
    }

    /// Returns the actions that API clients can get as scopes.
    #[must_use]
    pub fn scopes(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.action).collect()
    }

    /// Returns how long the rows of the features' tables are kept.
    #[must_use]
    pub fn retention(&self) -> &[RetentionRule] {
        &self.retention
    }

    /// Returns every kind of event, and who gets an email about it.
    #[must_use]
    pub fn event_audiences(&self) -> &[EventAudience] {
        &self.audiences
    }

    /// Starts the background jobs of the features.
    pub async fn start_jobs(&self, worker: &Worker, db: &Db, authn: &Authn) {
        for job in &self.jobs {
            (job.start)(worker, db.clone(), authn.clone()).await;
        }
    }

    /// Runs the scheduled job with this name once, in addition to its schedule. Returns `None` if no feature registered
    /// it.
    pub async fn run_job(&self, name: &str, db: &Db, authn: &Authn) -> Option<Result<(), Failure>> {
        let job = self.jobs.iter().find(|job| job.name == name)?;
        Some((job.run)(db.clone(), authn.clone()).await)
    }

    /// Returns the page that a link to a workspace opens. It is the first entry in the workspace's navigation.
    pub(crate) fn workspace_page(&self) -> Option<&'static str> {
        self.tabs.iter().map(|tab| tab.page).find(|page| page.contains("{workspace}"))
    }

    /// Returns the kinds of pending actions of all features.
    pub fn pending_action_kinds(&self) -> impl Iterator<Item = &'static str> {
        self.pending_actions.iter().map(|kind| kind.name)
    }

    /// Returns the kind of pending action with this name.
    pub(crate) fn pending_action(&self, name: &str) -> Option<&PendingActionKind> {
        self.pending_actions.iter().find(|kind| kind.name == name)
    }
}

/// Whether the sentence contains a detail. Token events need none, because their objects have no name.
fn names_its_object(kind: &EventKind) -> bool {
    let sentence = kind.sentence.trim();
    !sentence.is_empty() && (kind.is_about_tokens() || keys(sentence).next().is_some())
}

fn unique<T: AsRef<str>>(what: &'static str, names: impl Iterator<Item = T>) -> Result<(), RegistryError> {
    let mut seen = HashSet::new();
    for name in names {
        let name = name.as_ref().to_owned();
        if !seen.insert(name.clone()) {
            return Err(RegistryError::Twice { what, name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Location, policies_of_all};

    fn refused(features: &[Parts]) -> RegistryError {
        Registry::new(policies_of_all(), features).unwrap_err()
    }

    fn named(name: &'static str) -> Parts {
        Parts { name, ..Parts::default() }
    }

    #[test]
    fn a_feature_is_registered_once() {
        let error = refused(&[named("contacts"), named("contacts")]);
        assert_eq!(error, RegistryError::Twice { what: "the feature", name: "contacts".to_owned() });
        assert_eq!(error.to_string(), "the feature `contacts` is registered twice: rename or remove one of them");
    }

    #[test]
    fn a_name_that_selects_one_thing_is_registered_once() {
        let created = EventKind::new("invoice.created", "Created an invoice", "created the invoice {number}");
        let one = Parts { events: vec![created.declared()], ..named("invoices") };
        let announced = created.announced("An invoice was created", &[]);
        let other = Parts { events: vec![announced.declared()], ..named("reports") };
        let error = refused(&[one, other]);
        assert_eq!(error, RegistryError::Twice { what: "the event", name: "invoice.created".to_owned() });
    }

    #[test]
    fn an_entry_leads_to_a_page_that_is_there() {
        fn always(_: authz::Viewer<'_>, _: &Location) -> bool {
            true
        }
        let page = "/o/{organization}/invoices";
        let feature =
            Parts { tabs: vec![Tab { label: "Invoices", page, offered: always, counts: None }], ..named("invoices") };
        assert_eq!(refused(&[feature]), RegistryError::NoPage { feature: "invoices", page });
    }

    #[test]
    fn a_link_of_the_header_leads_to_a_page_and_has_its_place_alone() {
        let feature = |name| Parts { frame_links: vec![FrameLink::Account("/me")], ..named(name) };
        assert_eq!(refused(&[feature("account")]), RegistryError::NoPage { feature: "account", page: "/me" });
        let twice = RegistryError::Twice { what: "the link of the header or footer", name: "account".to_owned() };
        assert_eq!(refused(&[feature("account"), feature("profile")]), twice);
    }

    #[test]
    fn an_event_has_a_sentence() {
        for sentence in [" ", "created an invoice"] {
            let kind = EventKind::new("invoice.created", "Created an invoice", sentence);
            let feature = Parts { events: vec![kind.declared()], ..named("invoices") };
            assert_eq!(refused(&[feature]), RegistryError::NoSentence("invoice.created"));
        }
    }

    #[test]
    fn a_scope_is_an_action() {
        let scope = Scope { action: "ListInvoices", label: "List invoices" };
        let feature = Parts { scopes: vec![scope], ..named("invoices") };
        assert_eq!(refused(&[feature]), RegistryError::NoAction { feature: "invoices", scope: "ListInvoices" });
    }

    #[test]
    fn the_policies_of_a_feature_have_its_name() {
        let feature =
            Parts { policies: Some(PolicySource { name: "bills", ..policies_of_all() }), ..named("invoices") };
        assert_eq!(refused(&[feature]), RegistryError::PoliciesOfAnother { feature: "invoices", policies: "bills" });
    }

    #[test]
    fn the_features_of_the_product_fit_together() {
        crate::registry().unwrap();
    }
}
