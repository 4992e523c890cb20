//! All features put together, for whatever must know all of them.

use std::collections::{HashMap, HashSet};

use authn::Authn;
use authz::{PolicySource, Route, Routes, Viewer};
use jobs::Worker;
use serde_json::{Map, Value};
use tenancy::{Db, Read, Rule, Tx, WorkspaceId, Write};
use web::Result;

use super::feature::{Hooks, JobParts, PageLink, Panel, SignedOut, Tab};
use super::{Announced, EventKind, Feature, Job, Operation, PendingActionKind, Scope};

/// What the features registered. Made once, at the start, which refuses what does not fit together.
#[derive(Debug)]
pub struct Registry {
    table: Vec<Route>,
    pub(crate) policies: Vec<PolicySource>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) operations: Vec<(Route, Operation)>,
    pub(crate) events: Vec<EventKind>,
    announced: Vec<Announced>,
    retention: Vec<Rule>,
    pending_actions: Vec<PendingActionKind>,
    jobs: Vec<Job>,
    pub(super) tabs: Vec<Tab>,
    pub(super) account_tabs: Vec<(&'static str, &'static str)>,
    pub(super) links: Vec<PageLink>,
    pub(super) panels: Vec<Panel>,
    pub(super) hooks: Vec<Hooks>,
}

/// Something that a feature registered does not fit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegistryError {
    /// A name that must be unique is not.
    #[error("{what} `{name}` is registered twice: rename or remove one of them")]
    Twice {
        /// What kind of thing has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something is shown on a page, or leads to one, that nobody registered.
    #[error("the feature `{feature}` names the page `{page}`, and no feature has a GET route of this path")]
    NoPage {
        /// The feature.
        feature: &'static str,
        /// The path.
        page: &'static str,
    },
    /// A client could be given what is no action.
    #[error("the feature `{feature}` offers the scope `{scope}`, which is no action of its `actions!`")]
    NoAction {
        /// The feature.
        feature: &'static str,
        /// The name of the action.
        scope: &'static str,
    },
    /// An event has nothing that people could read.
    #[error("the event `{0}` has no sentence: give it one where its `EventKind` is declared")]
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

/// An event, and who is notified of it by email.
#[derive(Debug)]
pub struct Told {
    /// The kind of the event.
    pub kind: &'static str,
    /// Subject of the mail.
    pub subject: &'static str,
    /// Who gets it: owners, admins, the member whom it is about. Nobody, where the event is not announced.
    pub audience: Vec<&'static str>,
}

impl Registry {
    /// Puts the features together, with the policies that all of them build on.
    ///
    /// # Errors
    ///
    /// What a feature registered does not fit the rest; the message says what to change.
    pub(crate) fn new(base: PolicySource, features: &[Feature]) -> Result<Self, RegistryError> {
        let policies = features.iter().filter_map(|feature| feature.policies);
        let registry = Self {
            table: features
                .iter()
                .flat_map(|feature| [&feature.routes, &feature.api.routes])
                .flat_map(Routes::table)
                .collect(),
            policies: std::iter::once(base).chain(policies).collect(),
            scopes: collect(features, |feature| feature.scopes),
            operations: features.iter().flat_map(|feature| feature.api.operations()).collect(),
            events: features
                .iter()
                .flat_map(|feature| {
                    feature.events.iter().copied().chain(feature.announced.iter().map(|kind| kind.event))
                })
                .collect(),
            announced: collect(features, |feature| &feature.announced),
            retention: collect(features, |feature| feature.retention),
            pending_actions: collect(features, |feature| &feature.pending_actions),
            jobs: collect(features, |feature| &feature.jobs),
            tabs: collect(features, |feature| &feature.tabs),
            account_tabs: collect(features, |feature| &feature.account_tabs),
            links: collect(features, |feature| &feature.links),
            panels: collect(features, |feature| &feature.panels),
            hooks: features.iter().map(|feature| feature.hooks).collect(),
        };
        registry.check_names(features)?;
        features.iter().try_for_each(|feature| registry.check(feature))?;
        Ok(registry)
    }

    fn check_names(&self, features: &[Feature]) -> Result<(), RegistryError> {
        unique("the feature", features.iter().map(|feature| feature.name))?;
        unique("the event", self.events.iter().map(|kind| kind.name))?;
        unique("the scope", self.scopes.iter().map(|scope| scope.action))?;
        unique("the pending action", self.pending_actions.iter().map(|kind| kind.name))?;
        unique("the limit", features.iter().flat_map(|feature| feature.limits).map(|limit| limit.name))?;
        unique("the rule of retention for", self.retention.iter().map(|rule| rule.table))?;
        unique("the route", self.table.iter().map(|row| format!("{} {}", row.method, row.path)))
    }

    fn check(&self, feature: &Feature) -> Result<(), RegistryError> {
        let Feature { name, policies, .. } = *feature;
        if let Some(policies) = policies.filter(|policies| policies.name != name) {
            return Err(RegistryError::PoliciesOfAnother { feature: name, policies: policies.name });
        }
        let actions: HashSet<_> =
            self.policies.iter().flat_map(|source| source.actions).map(|action| action.name).collect();
        if let Some(scope) = feature.scopes.iter().find(|scope| !actions.contains(scope.action)) {
            return Err(RegistryError::NoAction { feature: name, scope: scope.action });
        }
        let pages = feature.tabs.iter().map(|tab| tab.page);
        let pages = pages.chain(feature.account_tabs.iter().map(|(_, page)| *page));
        let pages = pages.chain(feature.links.iter().flat_map(|link| [link.on, link.page]));
        let mut pages = pages.chain(feature.panels.iter().map(|panel| panel.on));
        let is_there = |page: &str| self.table.iter().any(|row| row.method == "GET" && row.path == page);
        if let Some(page) = pages.find(|page| !is_there(page)) {
            return Err(RegistryError::NoPage { feature: name, page });
        }
        match self.events.iter().find(|kind| kind.summary.trim().is_empty()) {
            Some(kind) => Err(RegistryError::NoSentence(kind.name)),
            None => Ok(()),
        }
    }

    /// Every route of the product: method, path, guard.
    #[must_use]
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// Every policy of the product, those of the base first.
    #[must_use]
    pub fn policies(&self) -> &[PolicySource] {
        &self.policies
    }

    /// The actions that API clients can be given.
    #[must_use]
    pub fn scopes(&self) -> Vec<&'static str> {
        self.scopes.iter().map(|scope| scope.action).collect()
    }

    /// How long the rows of the features' tables are kept.
    #[must_use]
    pub fn retention(&self) -> &[Rule] {
        &self.retention
    }

    /// Every kind of event, and who is notified of it.
    #[must_use]
    pub fn told(&self) -> Vec<Told> {
        let told = |kind: &EventKind| match self.announced.iter().find(|announced| announced.event.name == kind.name) {
            Some(announced) => Told {
                kind: kind.name,
                subject: announced.subject,
                audience: announced.audience.iter().map(|audience| audience.name()).collect(),
            },
            None => Told { kind: kind.name, subject: "", audience: Vec::new() },
        };
        self.events.iter().map(told).collect()
    }

    /// Starts what the features have done in the background.
    pub async fn start_jobs(&self, worker: &Worker, db: &Db, authn: &Authn) {
        for start in &self.jobs {
            start(JobParts { worker, db, authn }).await;
        }
    }

    /// Has each feature delete what it keeps for an organization that is deleted. Returns how many of what, for the event.
    pub(crate) async fn delete_with_organization(
        &self,
        tx: &mut Tx<Write>,
        authn: &Authn,
    ) -> Result<Map<String, Value>> {
        let mut deleted = Map::new();
        for delete in self.hooks.iter().filter_map(|hooks| hooks.on_organization_deleted) {
            deleted.extend(delete(tx, authn).await?.map(|(what, count)| (what.to_owned(), count.into())));
        }
        Ok(deleted)
    }

    /// Has each feature end what a member who is signed out of the organization has under way in it.
    pub(crate) async fn sign_out_member(&self, tx: &mut Tx<Write>, signed_out: SignedOut) -> Result<()> {
        for end in self.hooks.iter().filter_map(|hooks| hooks.on_member_signed_out) {
            end(tx, signed_out).await?;
        }
        Ok(())
    }

    /// What the features say of each workspace that the viewer may look into.
    pub(crate) async fn summarize_workspaces(
        &self,
        viewer: Viewer<'_>,
        tx: &mut Tx<Read>,
    ) -> Result<HashMap<WorkspaceId, String>> {
        let mut summaries: HashMap<WorkspaceId, String> = HashMap::new();
        for summarize in self.hooks.iter().filter_map(|hooks| hooks.summarize_workspaces) {
            for (workspace, text) in summarize(viewer, tx).await? {
                let summary = summaries.entry(workspace).or_default();
                if !summary.is_empty() {
                    summary.push_str(", ");
                }
                summary.push_str(&text);
            }
        }
        Ok(summaries)
    }

    /// The page that a workspace leads to: the first entry of its navigation.
    pub(crate) fn workspace_page(&self) -> Option<&'static str> {
        self.tabs.iter().map(|tab| tab.page).find(|page| page.contains("{workspace}"))
    }

    /// What a person reads for a kind of event.
    pub(crate) fn summary(&self, kind: &str) -> &'static str {
        self.events.iter().find(|known| known.name == kind).map_or("Something else", |known| known.summary)
    }

    /// The kind of pending action of this name.
    pub(crate) fn pending_action(&self, name: &str) -> Option<&PendingActionKind> {
        self.pending_actions.iter().find(|kind| kind.name == name)
    }
}

fn collect<'a, T: Copy + 'a>(features: &'a [Feature], part: impl Fn(&'a Feature) -> &'a [T]) -> Vec<T> {
    features.iter().flat_map(part).copied().collect()
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
