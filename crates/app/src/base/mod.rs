//! The base of every feature: the organization and its workspaces, roles, accounts, and the registration of features.
//! Nothing here knows a particular feature.

mod account;
mod actor;
mod addresses;
mod api;
mod event;
mod feature;
mod form_page;
mod hooks;
mod justification;
mod layout;
mod location;
mod operation;
mod organization;
mod paging;
mod parts;
mod pending_action;
mod readiness;
mod registry;
mod role;
mod sentence;
mod state;
mod workspace;

use authz::{Contribution, PolicySource, RefusedBecause};
use tenancy::RequestAccess;
use web::Result;

pub(crate) use account::Account;
pub(crate) use actor::DisplayActor;
pub(crate) use api::Api;
pub(crate) use event::{AnnouncementContext, Audience, DeclaredEvent, EmailedEventKind, EventKind, events, unlinked};
pub(crate) use feature::{Feature, policies};
pub(crate) use form_page::FormPage;
pub(crate) use hooks::{BoxFuture, DeletionCount, Hooks, MemberSignOut};
pub(crate) use justification::{Justification, with_reason};
pub(crate) use layout::{Layout, on_errors, personal};
pub(crate) use location::Location;
pub(crate) use operation::{
    Header, Operation, Schema, Scope, members, request_schema, requiring, response_schema, without,
};
pub(crate) use organization::{Organization, lock_tenant_quota};
pub(crate) use paging::{ListQuery, truncate};
pub(crate) use parts::{ActingLabel, FrameLink, PageLink, Panel, PanelRequest, ScheduledJob, Tab};
pub(crate) use pending_action::{Execution, PendingAction, PendingActionKind, STATE_CHANGED_ERROR, StoredAction};
pub(crate) use role::Role;
pub(crate) use sentence::{SentencePart, value_text};
pub(crate) use workspace::Workspace;

pub use addresses::ADDRESSES;
pub use readiness::{Readiness, SecurityContact, origin_of_requests};
pub use registry::{EventAudience, FeaturePages, Registry, RegistryError};
pub use state::State;

authz::actions! {
    /// See the person's own account: its identity provider, the current session and the organizations.
    ViewAccount: Read on Account;
    /// See the overview of an organization.
    ViewOrganization: Read on Organization;
    /// Know that a workspace exists. Features decide who sees its contents.
    ViewWorkspace: Read on Workspace;
}

/// The policies that the policies of every feature build on.
pub(crate) fn policies_of_all() -> PolicySource {
    policies!("base", ACTIONS, context: acceptance, role_groups: Role::GROUPS)
}

/// Whether the organization accepts the session or the client, and if not, why. `authz` itself adds the other attributes
/// of the base.
#[expect(clippy::unnecessary_wraps, reason = "features parse what they read")]
fn acceptance(access: &RequestAccess) -> Result<Contribution> {
    let unaccepted = access.membership.as_ref().and_then(|membership| membership.unaccepted.as_deref());
    let Some(reason) = unaccepted else { return Ok(Contribution::default()) };
    // There is one reason for clients, because nobody has checked whether their member could still sign in.
    let text_for_clients = "This client acts as a member, and the organization requires its own identity provider of its \
                            members. Use a service account.";
    Ok(Contribution::default()
        .flag("unaccepted")
        .refused_because(RefusedBecause { reason: reason.to_owned(), text_for_clients }))
}
