//! The layout around every page: who is signed in, where they are, and where they can go.

use std::sync::Arc;

use authn::{RequestPerson, SignedIn};
use authz::{Action, Authorized, Decision, RequestViewer, Viewer};
use axum::extract::{FromRequestParts, MatchedPath, Request, State as FromState};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use tenancy::{Read, Tx};
use web::{DisplayEmail, Error, Link, OrganizationShell, Person, Result, Shell};

use super::parts::PanelRequest;
use super::registry::Registry;
use super::{Location, Role, State, ViewOrganization};

/// The layout of the requested page. It knows the current page and what the features registered.
#[derive(Clone)]
pub(crate) struct Layout {
    registry: Arc<Registry>,
    /// The path of the route.
    page: String,
    /// The path of the request.
    path: String,
}

impl web::ReadsFields for Layout {}

impl FromRequestParts<State> for Layout {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let page = parts.extensions.get::<MatchedPath>().map(|page| page.as_str().to_owned());
        Ok(Self {
            registry: state.registry(),
            page: page.ok_or_else(|| Error::internal("a page has a route"))?,
            path: parts.uri.path().to_owned(),
        })
    }
}

/// Returns the layout of a page outside any organization.
pub(crate) fn personal(who: &SignedIn) -> Shell {
    let person = Person { name: who.name.clone(), email: DisplayEmail::of_person(&who.email, who.email_verified) };
    let mut shell = who.context().shell();
    shell.person = Some(person);
    shell
}

impl Layout {
    /// Returns the layout of a page about the person's own account.
    pub(crate) fn account(&self, who: &SignedIn) -> Shell {
        let entries = self.registry.account_tabs.iter().map(|tab| Link::new(tab.label, tab.page.to_owned()));
        let mut shell = personal(who);
        shell.tabs = self.entries(entries.collect());
        shell
    }

    /// Returns the layout of a page of an organization.
    pub(crate) fn organization<A: Action>(&self, ok: &Authorized<A>) -> Shell {
        self.around(personal(ok.who()), ok.viewer())
    }

    /// Returns the layout of an error page. It depends on how far the request got: whether `viewer` is known. The header of
    /// the organization is only for those who may see the organization, because the error may come before a decision.
    fn error(&self, person: &SignedIn, viewer: Option<Viewer<'_>>) -> Shell {
        match viewer {
            Some(viewer) if sees_organization(viewer) => self.around(personal(person), viewer),
            _ => self.account(person),
        }
    }

    fn around(&self, mut shell: Shell, viewer: Viewer<'_>) -> Shell {
        let Some(member) = viewer.member() else { return shell };
        let location = Location::of(&member.membership, member.workspace.as_ref());
        let offered = |tab: &super::Tab| {
            let url = location.url(tab.page).filter(|_| (tab.offered)(viewer, &location))?;
            let waiting = tab.counts.map_or(0, |feature| viewer.waiting(feature));
            Some(Link { waiting, ..Link::new(tab.label, url) })
        };
        shell.tabs = self.entries(self.registry.tabs.iter().filter_map(offered).collect());
        let banners = self.registry.hooks.banners(viewer, &location);
        shell.organization = Some(OrganizationShell {
            banners,
            url: location.organization.url(),
            name: location.organization.name,
            role: Role::label_of(&member.membership.role).to_owned(),
            workspace_name: location.workspace.map(|workspace| workspace.name),
        });
        shell
    }

    /// Returns the links that features add to this page and that the viewer may follow.
    pub(crate) fn links<A: Action>(&self, ok: &Authorized<A>) -> Vec<Link> {
        let Some(location) = location(ok) else { return Vec::new() };
        let offered = |link: &&super::PageLink| link.on == self.page && (link.offered)(ok.viewer(), &location);
        let links = self.registry.links.iter().filter(offered);
        links.filter_map(|link| Some(Link::new(link.label, location.url(link.page)?))).collect()
    }

    /// Returns the links that features add to a page outside any organization.
    pub(crate) fn account_links(&self, page: &str) -> Vec<Link> {
        let here = self.registry.account_links.iter().filter(|link| link.on == page);
        here.map(|link| Link::new(link.label, link.page.to_owned())).collect()
    }

    /// Renders the panels that features add to this page, as HTML.
    pub(crate) async fn panels<A: Action>(&self, ok: &Authorized<A>, tx: &mut Tx<Read>) -> Result<Vec<String>> {
        let (Some(location), mut rendered) = (location(ok), Vec::new()) else { return Ok(Vec::new()) };
        for panel in self.registry.panels.iter().filter(|panel| panel.on == self.page) {
            let (viewer, location, events) = (ok.viewer(), &location, &*self.registry.events);
            rendered.extend((panel.render)(PanelRequest { viewer, tx, location, events }).await?);
        }
        Ok(rendered)
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Marks the current entry of a navigation. It is the entry of the page, or of the nearest page above it.
    fn entries(&self, mut entries: Vec<Link>) -> Vec<Link> {
        let is_above =
            |url: &str| self.path.strip_prefix(url).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let nearest = entries.iter_mut().filter(|entry| is_above(&entry.href)).max_by_key(|entry| entry.href.len());
        if let Some(entry) = nearest {
            entry.current = true;
        }
        entries
    }
}

/// Whether the viewer may see the organization of the path without another factor.
fn sees_organization(viewer: Viewer<'_>) -> bool {
    viewer.member().is_some_and(|member| {
        let location = Location::of(&member.membership, member.workspace.as_ref());
        viewer.decision::<ViewOrganization>(&location.organization) == Decision::Allow
    })
}

/// Middleware that keeps the header and the navigation on error pages, for signed-in people.
pub(crate) async fn on_errors(
    FromState(registry): FromState<Arc<Registry>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (person, viewer) = (RequestPerson::default(), RequestViewer::default());
    request.extensions_mut().insert(person.clone());
    request.extensions_mut().insert(viewer.clone());
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if let Some(person) = person.get().filter(|_| failed) {
        let layout = Layout { registry, page: String::new(), path };
        response.extensions_mut().insert(layout.error(person, viewer.get()));
    }
    response
}

/// Returns the location of a page of an organization.
fn location<A: Action>(ok: &Authorized<A>) -> Option<Location> {
    let member = ok.member().ok()?;
    Some(Location::of(&member.membership, member.workspace.as_ref()))
}
