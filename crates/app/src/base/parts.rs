//! What a feature registers besides its routes.

use authn::{Authn, RateLimit};
use authz::{Action, PolicySource, Route, Viewer};
use jobs::{Failure, Job, JobHandler, Worker};
use tenancy::{Db, Read, RetentionRule, Tx};
use uuid::Uuid;
use web::{Frame, Link, Result};

use super::hooks::{BoxFuture, Hooks};
use super::location::InLocation;
use super::{DeclaredEvent, EventKind, Location, Operation, PendingActionKind, Scope};

/// What one feature registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(super) name: &'static str,
    /// Its pages and its part of the API.
    pub(super) table: Vec<Route>,
    /// What its part of the API says of itself.
    pub(super) operations: Vec<(Route, Operation)>,
    pub(super) policies: Option<PolicySource>,
    pub(super) scopes: Vec<Scope>,
    pub(super) events: Vec<DeclaredEvent>,
    pub(super) limits: Vec<RateLimit>,
    pub(super) retention: Vec<RetentionRule>,
    pub(super) pending_actions: Vec<PendingActionKind>,
    pub(super) jobs: Vec<RegisteredJob>,
    pub(super) tabs: Vec<Tab>,
    pub(super) account_tabs: Vec<AccountTab>,
    pub(super) account_links: Vec<AccountLink>,
    pub(super) frame_links: Vec<FrameLink>,
    pub(super) links: Vec<PageLink>,
    pub(super) panels: Vec<Panel>,
    pub(super) acting_labels: Vec<ActingLabel>,
    pub(super) hooks: Hooks,
}

impl Parts {
    /// The pages that it leads to or puts something on: method and path of their routes.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let tabs = self.tabs.iter().map(|tab| tab.page).chain(self.account_tabs.iter().map(|tab| tab.page));
        let links = self.links.iter().flat_map(|link| [link.on, link.page]);
        let links = links.chain(self.account_links.iter().flat_map(|link| [link.on, link.page]));
        let pages = tabs.chain(links).chain(self.panels.iter().map(|panel| panel.on));
        pages.map(|page| ("GET", page)).chain(self.frame_links.iter().map(FrameLink::route))
    }
}

/// Whether the navigation offers something to somebody at a location.
type Offered = fn(Viewer<'_>, &Location) -> bool;

fn can<A: Action<On: InLocation>>(viewer: Viewer<'_>, location: &Location) -> bool {
    A::On::at(location).is_some_and(|on| viewer.can::<A>(on))
}

/// An entry of the organization's navigation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tab {
    pub(super) label: &'static str,
    /// The path of its route.
    pub(super) page: &'static str,
    pub(super) offered: Offered,
    /// The feature whose waiting things it counts.
    pub(super) counts: Option<&'static str>,
}

impl Tab {
    /// An entry for everybody: a page that every role may see, for which no policy is asked. A test opens it as each role.
    pub(crate) fn for_every_member(label: &'static str, page: &'static str) -> Self {
        Self { label, page, offered: |_, _| true, counts: None }
    }

    /// An entry for people who may do `A`, the action of its page.
    pub(crate) fn to<A: Action<On: InLocation>>(label: &'static str, page: &'static str) -> Self {
        Self { label, page, offered: can::<A>, counts: None }
    }

    /// The same, with the number of things that wait there for the member. The migration of `feature` adds it to the look-up of
    /// requests, `about => 'waiting'`.
    pub(crate) fn counting(self, feature: &'static str) -> Self {
        Self { counts: Some(feature), ..self }
    }
}

/// An entry of the account's navigation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountTab {
    pub(super) label: &'static str,
    /// The path of its route.
    pub(super) page: &'static str,
}

/// A link that a feature puts on a page outside any organization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountLink {
    /// The path of the route on whose page it is.
    pub(super) on: &'static str,
    pub(super) label: &'static str,
    /// The path of the route it leads to.
    pub(super) page: &'static str,
}

/// A link that every page has, in its header or its footer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FrameLink {
    /// The page where people choose an organization. They also go there when they cannot open one any more.
    Organizations(&'static str),
    /// The page about the own account.
    Account(&'static str),
    /// The form that signs out, which is posted to this path.
    SignOut(&'static str),
    /// A link of the footer: its label and its page.
    Footer(&'static str, &'static str),
}

impl FrameLink {
    /// The method and the path of the route it leads to.
    pub(super) fn route(&self) -> (&'static str, &'static str) {
        match self {
            Self::Organizations(page) | Self::Account(page) | Self::Footer(_, page) => ("GET", page),
            Self::SignOut(path) => ("POST", path),
        }
    }

    /// What only one feature can register. A footer has many links.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Self::Organizations(_) => "organizations",
            Self::Account(_) => "account",
            Self::SignOut(_) => "sign-out",
            Self::Footer(label, _) => label,
        }
    }

    pub(super) fn add_to(self, frame: &mut Frame) {
        match self {
            Self::Organizations(page) => frame.organizations = Some(page),
            Self::Account(page) => frame.account = Some(page),
            Self::SignOut(path) => frame.sign_out = Some(path),
            Self::Footer(label, page) => {
                frame.footer.push(Link::new(label, page.to_owned()));
            }
        }
    }
}

/// A link that a feature puts on a page of an organization.
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
    /// A link for people who may do `A`, the action of the page it leads to.
    pub(crate) fn to<A: Action<On: InLocation>>(on: &'static str, label: &'static str, page: &'static str) -> Self {
        Self { on, label, page, offered: can::<A> }
    }

    /// A link for everybody who sees the page it is on, to one that every role may see.
    pub(crate) fn for_every_member(on: &'static str, label: &'static str, page: &'static str) -> Self {
        Self { on, label, page, offered: |_, _| true }
    }
}

/// How people act, if not in their own role. The list of events shows the label at what they did so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActingLabel {
    /// The name of the fact in the context of events, with the id of what allowed it.
    pub(crate) fact: &'static str,
    pub(crate) label: &'static str,
}

/// Who looks at a page to which a panel is added, and where.
pub(crate) struct PanelRequest<'a> {
    pub(crate) viewer: Viewer<'a>,
    pub(crate) tx: &'a mut Tx<Read>,
    pub(crate) location: &'a Location,
    /// Every kind of event that features record.
    pub(crate) events: &'a [EventKind],
}

/// A part of another feature's page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    /// The path of the route on whose page it is.
    pub(crate) on: &'static str,
    /// Renders it as HTML. `None` where there is nothing to show to the viewer.
    pub(crate) render: for<'a> fn(PanelRequest<'a>) -> BoxFuture<'a, Result<Option<String>>>,
}

/// Work of a feature that is scheduled by itself.
pub(crate) trait ScheduledJob: JobHandler<Payload = ()> {
    /// The job in this database.
    fn new(db: Db, authn: Authn) -> Self;
}

/// A scheduled job, as its feature registers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegisteredJob {
    pub(super) name: &'static str,
    pub(super) start: for<'a> fn(&'a Worker, Db, Authn) -> BoxFuture<'a, ()>,
    pub(super) run: fn(Db, Authn) -> BoxFuture<'static, Result<(), Failure>>,
}

impl RegisteredJob {
    pub(super) fn of<J: ScheduledJob>() -> Self {
        Self {
            name: J::KIND.name,
            start: |worker, db, authn| Box::pin(worker.start(J::new(db, authn))),
            run: |db, authn| {
                Box::pin(async move {
                    let (id, request, about) = (Uuid::now_v7(), Uuid::now_v7(), String::new());
                    let job = Job { id, tenant: None, payloads: vec![()], omitted: 0, about, request, first: true };
                    J::new(db, authn).run(&job).await
                })
            },
        }
    }
}
