//! How a feature registers its parts. `registry` combines the parts of all features.

use authn::RateLimit;
use authz::{PolicySource, Routes};
use tenancy::RetentionRule;

use super::hooks::{FindNames, NameActor, OnMemberSignedOut, OnOrganizationDeleted, ShowBanner, SummarizeWorkspaces};
use super::parts::{AccountLink, AccountTab, ActingLabel, Parts, RegisteredJob, ScheduledJob};
use super::{Api, DeclaredEvent, FrameLink, PageLink, Panel, PendingActionKind, Scope, State, StoredAction, Tab};

/// A feature of the product. It is one folder, and registers all that the rest of the product needs to know about it.
pub(crate) struct Feature {
    routes: Routes<State>,
    api: Api,
    parts: Parts,
}

#[allow(dead_code, reason = "a product without some of the features may use fewer of these")]
impl Feature {
    /// Creates a feature with the name of its folder. Its policies have the same name.
    pub(crate) fn new(name: &'static str) -> Self {
        let parts = Parts { name, ..Parts::default() };
        Self { routes: Routes::new(), api: Api::default(), parts }
    }

    /// Adds its pages.
    pub(crate) fn routes(self, routes: Routes<State>) -> Self {
        Self { routes, ..self }
    }

    /// Adds its part of the API.
    pub(crate) fn api(self, api: Api) -> Self {
        Self { api, ..self }
    }

    /// Adds its actions and rules. See [`policies!`].
    pub(crate) fn policies(mut self, policies: PolicySource) -> Self {
        self.parts.policies = Some(policies);
        self
    }

    /// Adds the actions that an API client can get as scopes.
    pub(crate) fn scopes(mut self, scopes: &[Scope]) -> Self {
        self.parts.scopes.extend_from_slice(scopes);
        self
    }

    /// Adds the events that it records: the `EVENTS` of its [`events!`](super::events).
    pub(crate) fn events(mut self, events: &[DeclaredEvent]) -> Self {
        self.parts.events.extend_from_slice(events);
        self
    }

    /// Adds its rate limits.
    pub(crate) fn limits(mut self, limits: &[RateLimit]) -> Self {
        self.parts.limits.extend_from_slice(limits);
        self
    }

    /// Adds how long the rows of its tables are kept.
    pub(crate) fn retention(mut self, retention: &[RetentionRule]) -> Self {
        self.parts.retention.extend_from_slice(retention);
        self
    }

    /// Adds an action that needs a second person.
    pub(crate) fn pending_action<A: StoredAction>(mut self) -> Self {
        self.parts.pending_actions.push(PendingActionKind::of::<A>());
        self
    }

    /// Adds a background job that runs on a schedule.
    pub(crate) fn job<J: ScheduledJob>(mut self) -> Self {
        self.parts.jobs.push(RegisteredJob::of::<J>());
        self
    }

    /// Adds an entry to the organization's navigation.
    pub(crate) fn tab(mut self, tab: Tab) -> Self {
        self.parts.tabs.push(tab);
        self
    }

    /// Adds an entry to the account's navigation.
    pub(crate) fn account_tab(mut self, label: &'static str, page: &'static str) -> Self {
        self.parts.account_tabs.push(AccountTab { label, page });
        self
    }

    /// Adds a link to a page outside any organization.
    pub(crate) fn account_link(mut self, on: &'static str, label: &'static str, page: &'static str) -> Self {
        self.parts.account_links.push(AccountLink { on, label, page });
        self
    }

    /// Adds a link to the header or the footer of every page.
    pub(crate) fn frame_link(mut self, link: FrameLink) -> Self {
        self.parts.frame_links.push(link);
        self
    }

    /// Adds a link to a page of an organization. The page may belong to another feature.
    pub(crate) fn link(mut self, link: PageLink) -> Self {
        self.parts.links.push(link);
        self
    }

    /// Adds a panel to a page of another feature.
    pub(crate) fn panel(mut self, panel: Panel) -> Self {
        self.parts.panels.push(panel);
        self
    }

    /// Adds a label for events of people who did not act in their own role. `fact` is its name in the context of events.
    pub(crate) fn acting_label(mut self, fact: &'static str, label: &'static str) -> Self {
        self.parts.acting_labels.push(ActingLabel { fact, label });
        self
    }

    /// Adds a banner above every page of an organization.
    pub(crate) fn banner(mut self, show: ShowBanner) -> Self {
        self.parts.hooks.banners.push(show);
        self
    }

    /// Adds a lookup for the names of actors that are not people.
    pub(crate) fn name_actor(mut self, name: NameActor) -> Self {
        self.parts.hooks.actor_names.push(name);
        self
    }

    /// Adds a lookup for names of its objects that people could mistake for names of members.
    pub(crate) fn names_in_use(mut self, find: FindNames) -> Self {
        self.parts.hooks.names_in_use.push(find);
        self
    }

    /// Adds a summary of each workspace for the overview of the organization.
    pub(crate) fn summarize_workspaces(mut self, summarize: SummarizeWorkspaces) -> Self {
        self.parts.hooks.workspace_summaries.push(summarize);
        self
    }

    /// Adds a hook for the transaction that signs a member out of the organization.
    pub(crate) fn on_member_signed_out(mut self, hook: OnMemberSignedOut) -> Self {
        self.parts.hooks.member_signed_out.push(hook);
        self
    }

    /// Adds a hook for the transaction that deletes the organization.
    pub(crate) fn on_organization_deleted(mut self, hook: OnOrganizationDeleted) -> Self {
        self.parts.hooks.organization_deleted.push(hook);
        self
    }

    /// Returns the routes of its pages and of its part of the API.
    pub(crate) fn into_routes(self) -> Routes<State> {
        self.routes.and(self.api.routes)
    }

    /// Returns the registered parts.
    pub(crate) fn into_parts(self) -> Parts {
        let table = [&self.routes, &self.api.routes].into_iter().flat_map(Routes::table).collect();
        Parts { table, operations: self.api.operations().collect(), ..self.parts }
    }
}

/// The policies of a feature: `policies/<name>.cedarschema`, `policies/<name>.cedar`, and its declared actions. With
/// `context`, also `policies/<name>.context.cedarschema`, which declares the attributes that `context` adds to every
/// request.
macro_rules! policies {
    ($name:literal, $actions:expr) => {
        $crate::base::policies!($name, $actions, None)
    };
    ($name:literal, $actions:expr, context: $read:expr) => {
        $crate::base::policies!($name, $actions, context: $read, role_groups: &[])
    };
    ($name:literal, $actions:expr, context: $read:expr, role_groups: $groups:expr) => {
        $crate::base::policies!(
            $name,
            $actions,
            Some(::authz::ContextFragment {
                schema: include_str!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../policies/",
                    $name,
                    ".context.cedarschema"
                )),
                role_groups: $groups,
                read: $read,
            })
        )
    };
    ($name:literal, $actions:expr, $context:expr) => {
        ::authz::PolicySource {
            name: $name,
            schema: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/", $name, ".cedarschema")),
            policies: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/", $name, ".cedar")),
            actions: $actions,
            context: $context,
        }
    };
}
pub(crate) use policies;
