//! Hooks: what features do when something happens in another part of the product.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;

use authn::Authn;
use authz::Viewer;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tenancy::{Read, Tx, UserId, WorkspaceId, Write};
use uuid::Uuid;
use web::{Banner, Result};

use super::{Location, Workspace};

/// The return type of an asynchronous function pointer.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Returns a sentence with a link, for the top of every page of an organization.
pub(crate) type ShowBanner = fn(Viewer<'_>, &Location) -> Option<Banner>;

/// Returns a feature's summary of each of these workspaces, if the viewer may see it.
pub(crate) type SummarizeWorkspaces =
    for<'a> fn(Viewer<'a>, &'a mut Tx<Read>, &'a [Workspace]) -> BoxFuture<'a, Result<HashMap<WorkspaceId, String>>>;

/// A member's sign-out from the organization: who is signed out, by which member, and when.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "a product without some of the features may read only a part of it")]
pub(crate) struct MemberSignOut {
    pub(crate) member: UserId,
    pub(crate) by: UserId,
    pub(crate) at: DateTime<Utc>,
}

/// Runs in the transaction that signs a member out of the organization.
pub(crate) type OnMemberSignedOut = for<'a> fn(&'a mut Tx<Write>, MemberSignOut) -> BoxFuture<'a, Result<()>>;

/// What was deleted with an organization: a word for the event, and the count.
pub(crate) type DeletionCount = Option<(&'static str, u64)>;

/// Runs in the transaction that deletes the organization.
pub(crate) type OnOrganizationDeleted =
    for<'a> fn(&'a mut Tx<Write>, &'a Authn) -> BoxFuture<'a, Result<DeletionCount>>;

/// Returns the name of the actor with this id, if it is not a person.
pub(crate) type NameActor = for<'a> fn(&'a mut Tx<Read>, Uuid) -> BoxFuture<'a, Result<Option<String>>>;

/// Returns the given name keys that belong to objects of the organization, other than people.
pub(crate) type FindNames = for<'a> fn(&'a mut Tx<Read>, &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Vec<u8>>>>;

/// The hooks of all features, in the order of the features.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    pub(super) banners: Vec<ShowBanner>,
    pub(super) actor_names: Vec<NameActor>,
    pub(super) names_in_use: Vec<FindNames>,
    pub(super) workspace_summaries: Vec<SummarizeWorkspaces>,
    pub(super) member_signed_out: Vec<OnMemberSignedOut>,
    pub(super) organization_deleted: Vec<OnOrganizationDeleted>,
}

impl Hooks {
    pub(super) fn extend(&mut self, other: &Self) {
        self.banners.extend(&other.banners);
        self.actor_names.extend(&other.actor_names);
        self.names_in_use.extend(&other.names_in_use);
        self.workspace_summaries.extend(&other.workspace_summaries);
        self.member_signed_out.extend(&other.member_signed_out);
        self.organization_deleted.extend(&other.organization_deleted);
    }

    /// Returns the banners of a page.
    pub(crate) fn banners(&self, viewer: Viewer<'_>, location: &Location) -> Vec<Banner> {
        self.banners.iter().filter_map(|show| show(viewer, location)).collect()
    }

    /// Returns the name of the actor with this id, if it is not a person.
    pub(crate) async fn name_actor(&self, tx: &mut Tx<Read>, id: Uuid) -> Result<Option<String>> {
        for name in &self.actor_names {
            if let Some(found) = name(tx, id).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the given name keys that belong to objects of the organization, other than people.
    pub(crate) async fn names_in_use(&self, tx: &mut Tx<Read>, keys: &[Vec<u8>]) -> Result<HashSet<Vec<u8>>> {
        let mut in_use = HashSet::new();
        for find in &self.names_in_use {
            in_use.extend(find(tx, keys).await?);
        }
        Ok(in_use)
    }

    /// Lets each feature delete its data of a deleted organization. Returns the counts for the event.
    pub(crate) async fn delete_with_organization(
        &self,
        tx: &mut Tx<Write>,
        authn: &Authn,
    ) -> Result<Map<String, Value>> {
        let mut deleted = Map::new();
        for delete in &self.organization_deleted {
            deleted.extend(delete(tx, authn).await?.map(|(what, count)| (what.to_owned(), count.into())));
        }
        Ok(deleted)
    }

    /// Lets each feature end what a signed-out member has in progress in the organization.
    pub(crate) async fn sign_out_member(&self, tx: &mut Tx<Write>, signed_out: MemberSignOut) -> Result<()> {
        for end in &self.member_signed_out {
            end(tx, signed_out).await?;
        }
        Ok(())
    }

    /// Returns the features' summaries of each of these workspaces, if the viewer may see them.
    pub(crate) async fn summarize_workspaces(
        &self,
        viewer: Viewer<'_>,
        tx: &mut Tx<Read>,
        workspaces: &[Workspace],
    ) -> Result<HashMap<WorkspaceId, String>> {
        let mut summaries: HashMap<WorkspaceId, String> = HashMap::new();
        for summarize in &self.workspace_summaries {
            for (workspace, text) in summarize(viewer, tx, workspaces).await? {
                let summary = summaries.entry(workspace).or_default();
                if !summary.is_empty() {
                    summary.push_str(", ");
                }
                summary.push_str(&text);
            }
        }
        Ok(summaries)
    }
}
