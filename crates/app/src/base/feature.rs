//! What a feature brings to the product. `registry` puts all of them together.

use std::collections::HashMap;
use std::pin::Pin;

use authn::{Authn, Limit};
use authz::{Action, PolicySource, Routes, Viewer};
use chrono::{DateTime, Utc};
use tenancy::{Db, Read, Rule, Tx, UserId, WorkspaceId, Write};
use web::Result;

use super::location::Located;
use super::{Announced, Api, EventKind, Location, PendingActionKind, Registry, Scope, State, StoredAction};

/// What an asynchronous function behind a pointer returns.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One folder of the product, and all that the rest of the product has to know of it.
pub(crate) struct Feature {
    pub(super) name: &'static str,
    pub(super) routes: Routes<State>,
    pub(super) api: Api,
    pub(super) policies: Option<PolicySource>,
    pub(super) scopes: &'static [Scope],
    pub(super) events: Vec<EventKind>,
    pub(super) announced: Vec<Announced>,
    pub(super) limits: &'static [Limit],
    pub(super) retention: &'static [Rule],
    pub(super) pending_actions: Vec<PendingActionKind>,
    pub(super) jobs: Vec<Job>,
    pub(super) tabs: Vec<Tab>,
    pub(super) account_tabs: Vec<(&'static str, &'static str)>,
    pub(super) links: Vec<PageLink>,
    pub(super) panels: Vec<Panel>,
    pub(super) hooks: Hooks,
}

/// What a feature does when something happens elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hooks {
    pub(super) banner: Option<ShowBanner>,
    pub(super) summarize_workspaces: Option<SummarizeWorkspaces>,
    pub(super) on_member_signed_out: Option<OnMemberSignedOut>,
    pub(super) on_organization_deleted: Option<OnOrganizationDeleted>,
}

impl Feature {
    /// A feature of this name, which is that of its folder, and which its policies, and nothing else, begin with.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            routes: Routes::new(),
            api: Api::default(),
            policies: None,
            scopes: &[],
            events: Vec::new(),
            announced: Vec::new(),
            limits: &[],
            retention: &[],
            pending_actions: Vec::new(),
            jobs: Vec::new(),
            tabs: Vec::new(),
            account_tabs: Vec::new(),
            links: Vec::new(),
            panels: Vec::new(),
            hooks: Hooks::default(),
        }
    }

    /// Its pages.
    pub(crate) fn routes(self, routes: Routes<State>) -> Self {
        Self { routes, ..self }
    }

    /// Its pages and its part of the API.
    pub(crate) fn all_routes(self) -> Routes<State> {
        self.routes.and(self.api.routes)
    }

    /// Its part of the API.
    pub(crate) fn api(self, api: Api) -> Self {
        Self { api, ..self }
    }

    /// Its actions and rules: see [`policies!`].
    pub(crate) fn policies(self, policies: PolicySource) -> Self {
        Self { policies: Some(policies), ..self }
    }

    /// Its actions that an API client can be given.
    pub(crate) fn scopes(self, scopes: &'static [Scope]) -> Self {
        Self { scopes, ..self }
    }

    /// The events it records and nobody is notified of.
    pub(crate) fn events(mut self, events: &[EventKind]) -> Self {
        self.events.extend_from_slice(events);
        self
    }

    /// The events it records and people are notified of by email.
    pub(crate) fn announced(mut self, announced: &[Announced]) -> Self {
        self.announced.extend_from_slice(announced);
        self
    }

    /// How often people may do what it limits.
    pub(crate) fn limits(self, limits: &'static [Limit]) -> Self {
        Self { limits, ..self }
    }

    /// How long the rows of its tables are kept.
    pub(crate) fn retention(self, retention: &'static [Rule]) -> Self {
        Self { retention, ..self }
    }

    /// An action of its own that takes a second person.
    pub(crate) fn pending_action<A: StoredAction>(mut self) -> Self {
        self.pending_actions.push(PendingActionKind::of::<A>());
        self
    }

    /// Work that it has done in the background.
    pub(crate) fn job(mut self, job: Job) -> Self {
        self.jobs.push(job);
        self
    }

    /// An entry of the organization's navigation.
    pub(crate) fn tab(mut self, tab: Tab) -> Self {
        self.tabs.push(tab);
        self
    }

    /// An entry of the account's navigation: its label and its page.
    pub(crate) fn account_tab(mut self, label: &'static str, page: &'static str) -> Self {
        self.account_tabs.push((label, page));
        self
    }

    /// A link that it puts on a page, of its own or of another feature.
    pub(crate) fn link(mut self, link: PageLink) -> Self {
        self.links.push(link);
        self
    }

    /// A part that it adds to a page of another feature.
    pub(crate) fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// A sentence that it puts above every page of an organization.
    pub(crate) fn banner(mut self, show: ShowBanner) -> Self {
        self.hooks.banner = Some(show);
        self
    }

    /// What it says of each workspace in the overview of the organization.
    pub(crate) fn summarize_workspaces(mut self, summarize: SummarizeWorkspaces) -> Self {
        self.hooks.summarize_workspaces = Some(summarize);
        self
    }

    /// What it does in the transaction that signs a member out of the organization.
    pub(crate) fn on_member_signed_out(mut self, hook: OnMemberSignedOut) -> Self {
        self.hooks.on_member_signed_out = Some(hook);
        self
    }

    /// What it does in the transaction that deletes the organization.
    pub(crate) fn on_organization_deleted(mut self, hook: OnOrganizationDeleted) -> Self {
        self.hooks.on_organization_deleted = Some(hook);
        self
    }
}

/// Whether the navigation offers something to somebody at a location.
type Offered = fn(Viewer<'_>, &Location) -> bool;

fn can<A: Action<On: Located>>(viewer: Viewer<'_>, location: &Location) -> bool {
    A::On::at(location).is_some_and(|on| viewer.can::<A>(on))
}

/// An entry of the organization's navigation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tab {
    pub(super) label: &'static str,
    /// The path of its route.
    pub(super) page: &'static str,
    pub(super) offered: Offered,
}

impl Tab {
    /// An entry for whoever may do `A`, the action of its page.
    pub(crate) fn to<A: Action<On: Located>>(label: &'static str, page: &'static str) -> Self {
        Self { label, page, offered: can::<A> }
    }
}

/// A link that a feature puts on a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLink {
    /// The path of the route on whose page it is.
    pub(super) on: &'static str,
    pub(super) label: &'static str,
    /// The path of the route it leads to.
    pub(super) page: &'static str,
    pub(super) offered: Offered,
}

impl PageLink {
    /// A link for whoever may do `A`, the action of the page it leads to.
    pub(crate) fn to<A: Action<On: Located>>(on: &'static str, label: &'static str, page: &'static str) -> Self {
        Self { on, label, page, offered: can::<A> }
    }
}

/// Renders a part of a page as HTML. `None` where there is nothing to show to the viewer.
pub(crate) type RenderPanel =
    for<'a> fn(Viewer<'a>, &'a mut Tx<Read>, &'a Location, &'a Registry) -> BoxFuture<'a, Result<Option<String>>>;

/// A part of another feature's page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// The path of the route on whose page it is.
    pub(crate) on: &'static str,
    pub(crate) render: RenderPanel,
}

/// A sentence above every page of an organization, with a link.
pub(crate) type ShowBanner = fn(Viewer<'_>, &Location) -> Option<web::Banner>;

/// What is said of each workspace, for those that the viewer may look into.
pub(crate) type SummarizeWorkspaces =
    for<'a> fn(Viewer<'a>, &'a mut Tx<Read>) -> BoxFuture<'a, Result<HashMap<WorkspaceId, String>>>;

/// A member who is signed out of the organization: who, by whom, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedOut {
    pub(crate) member: UserId,
    pub(crate) by: UserId,
    pub(crate) at: DateTime<Utc>,
}

pub(crate) type OnMemberSignedOut = for<'a> fn(&'a mut Tx<Write>, SignedOut) -> BoxFuture<'a, Result<()>>;

/// What was deleted with an organization: a word for the event, and how many.
pub(crate) type Deleted = Option<(&'static str, u64)>;

pub(crate) type OnOrganizationDeleted = for<'a> fn(&'a mut Tx<Write>, &'a Authn) -> BoxFuture<'a, Result<Deleted>>;

/// What a job is started with.
#[derive(Clone, Copy)]
pub(crate) struct JobParts<'a> {
    pub(crate) worker: &'a jobs::Worker,
    pub(crate) db: &'a Db,
    pub(crate) authn: &'a Authn,
}

/// Starts background work.
pub(crate) type Job = for<'a> fn(JobParts<'a>) -> BoxFuture<'a, ()>;

/// The policies of a feature: `policies/<name>.cedarschema`, `policies/<name>.cedar`, and its declared actions.
macro_rules! policies {
    ($name:literal, $actions:expr) => {
        ::authz::PolicySource {
            name: $name,
            schema: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/", $name, ".cedarschema")),
            policies: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/", $name, ".cedar")),
            actions: $actions,
        }
    };
}
pub(crate) use policies;
