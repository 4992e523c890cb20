//! A question to the policies, as data: who asks, how, and about what. Nothing here asks them.

use std::sync::Arc;

use authn::{EnrolledFactors, SignedIn};
use chrono::{DateTime, Utc};
use tenancy::{Membership, RequestAccess, TenantId, UserId, Waiting, WorkspaceFacts};
use tokens::{ApiClient, Scopes};
use uuid::Uuid;
use web::{Error, Result};

use crate::context::{Contribution, LoadedFragment, RefusedBecause};
use crate::entity::{Attribute, Entity, Sensitivity, Uid};
use crate::policies::Policies;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// A person with a session.
    Person(&'a SignedIn),
    /// A client of the API with a token or a signature.
    Client(&'a ApiClient),
}

impl<'a> Caller<'a> {
    /// Their request.
    pub(crate) fn context(self) -> &'a web::Context {
        match self {
            Self::Person(person) => person.context(),
            Self::Client(client) => client.context(),
        }
    }

    /// The person, or the person that a client acts as. A service account acts as nobody.
    pub(crate) fn user(self) -> Option<UserId> {
        match self {
            Self::Person(person) => Some(person.user),
            Self::Client(client) => client.user,
        }
    }

    /// The id of a client.
    pub(crate) fn client(self) -> Option<Uuid> {
        match self {
            Self::Person(_) => None,
            Self::Client(client) => Some(client.client),
        }
    }

    /// Whether a decision about the one is a decision about the other.
    pub(crate) fn is_equivalent_to(self, other: Caller<'_>) -> bool {
        match (self, other) {
            (Self::Person(one), Caller::Person(other)) => one.is_equivalent_to(other),
            (Self::Client(one), Caller::Client(other)) => one.is_equivalent_to(other),
            (Self::Person(_) | Self::Client(_), _) => false,
        }
    }

    /// The principal outside of any organization.
    pub(crate) fn as_user(self) -> Entity {
        let user = Entity::new("User", self.id());
        match self {
            Self::Person(person) if person.email_verified => {
                user.text("verified_email", person.email.to_ascii_lowercase())
            }
            Self::Person(_) | Self::Client(_) => user,
        }
    }

    /// The principal inside an organization: with their role, and with those that features add.
    fn as_member(self, membership: &Membership, added: &[String]) -> Entity {
        let organization = Entity::new("Organization", membership.tenant);
        let member = Entity::new("Member", self.id())
            .reference("organization", &organization)
            .text("role", &membership.role)
            .inside(organization);
        let roles = std::iter::once(&membership.role).chain(added);
        roles.fold(member, |member, role| member.inside(Entity::new("Role", &**role)))
    }

    /// A service account is a member of its own.
    fn id(self) -> Uuid {
        match self {
            Self::Person(person) => person.user.uuid(),
            Self::Client(client) => client.user.map_or(client.client, UserId::uuid),
        }
    }
}

/// A caller's membership in the organization of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberContext {
    /// Organization and role.
    pub membership: Membership,
    /// The workspace of the path.
    pub workspace: Option<WorkspaceFacts>,
}

/// A question to the policies. Cheap to clone: what the questions of one request share is made once.
#[derive(Clone, Debug)]
pub(crate) struct AuthzRequest {
    pub(crate) principal: Arc<Principal>,
    pub(crate) resource: Entity,
    pub(crate) sensitivity: Sensitivity,
}

/// Who asks, and how: the same in every question of one request.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) entity: Entity,
    pub(crate) context: RequestContext,
    pub(crate) tenant: Option<TenantId>,
    /// How they act, for records.
    pub(crate) audit_context: serde_json::Map<String, serde_json::Value>,
    pub(crate) request: Uuid,
    pub(crate) client: Option<Uuid>,
    /// Why they see nothing of the organization.
    pub(crate) refused_because: Option<RefusedBecause>,
    pub(crate) waiting: Waiting,
}

impl AuthzRequest {
    /// The question of `caller` about `resource`.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if a feature cannot say what it adds to the question.
    pub(crate) fn new(
        policies: &Policies,
        caller: Caller<'_>,
        access: &RequestAccess,
        now: DateTime<Utc>,
        resource: Entity,
        sensitivity: Sensitivity,
    ) -> Result<Self> {
        let membership = access.membership.as_ref();
        let Contribution { roles, attributes, refused_because } = contributions(policies, access)?;
        let principal = Principal {
            entity: membership.map_or_else(|| caller.as_user(), |membership| caller.as_member(membership, &roles)),
            context: RequestContext::new(caller, attributes, now),
            tenant: membership.map(|membership| membership.tenant),
            audit_context: access.audit_context(),
            request: caller.context().request,
            client: caller.client(),
            refused_because,
            waiting: access.waiting.clone(),
        };
        Ok(Self::of(Arc::new(principal), resource, sensitivity))
    }

    /// The question of the same caller about another resource.
    pub(crate) fn about(&self, resource: Entity, sensitivity: Sensitivity) -> Self {
        Self::of(Arc::clone(&self.principal), resource, sensitivity)
    }

    fn of(principal: Arc<Principal>, resource: Entity, sensitivity: Sensitivity) -> Self {
        // Somebody who acts on themselves is one entity, with the roles they act in.
        let resource = if resource.uid == principal.entity.uid { principal.entity.clone() } else { resource };
        Self { principal, resource, sensitivity }
    }
}

/// How a caller comes to ask: `RequestContext` of the schema.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) auth_age: i64,
    pub(crate) passkey_age: Option<i64>,
    pub(crate) recovery_age: Option<i64>,
    pub(crate) totp_age: Option<i64>,
    pub(crate) enrolled: EnrolledFactors,
    pub(crate) by_link: bool,
    /// The organization whose provider began the session.
    pub(crate) sso_organization: Option<Uid>,
    pub(crate) risk_score: i64,
    /// What features add.
    pub(crate) added: Vec<(&'static str, Attribute)>,
    /// The actions that a client of the API was given. People have no such limits.
    pub(crate) scopes: Option<Scopes>,
}

impl RequestContext {
    fn new(caller: Caller<'_>, added: Vec<(&'static str, Attribute)>, now: DateTime<Utc>) -> Self {
        let age = |since: DateTime<Utc>| (now - since).num_seconds().max(0);
        match caller {
            Caller::Person(person) => Self {
                auth_age: age(person.auth_time),
                passkey_age: person.passkey_at.map(age),
                recovery_age: person.recovered_at.map(age),
                totp_age: person.totp_at.map(age),
                enrolled: person.enrolled(),
                by_link: person.is_by_link(),
                sso_organization: person.sso_tenant.map(|tenant| Entity::new("Organization", tenant).uid),
                risk_score: person.risk_score(),
                added,
                scopes: None,
            },
            // It has no factor and can prove none.
            Caller::Client(client) => Self {
                auth_age: age(client.since()),
                passkey_age: None,
                recovery_age: None,
                totp_age: None,
                enrolled: EnrolledFactors::default(),
                by_link: false,
                sso_organization: None,
                risk_score: 0,
                added,
                scopes: Some(client.scopes().clone()),
            },
        }
    }

    /// The same, if they proved a passkey now. The proof also settles what was unusual before it. That does not hold for
    /// somebody without a passkey: they would only create one, which proves nothing of the kind.
    pub(crate) fn with_fresh_passkey(&self) -> Self {
        let risk_score = if self.enrolled.passkey { 0 } else { self.risk_score };
        Self { passkey_age: Some(0), risk_score, ..self.clone() }
    }

    /// The same, if they proved a code now. What is unusual stays unusual: a code can be phished.
    pub(crate) fn with_fresh_code(&self) -> Self {
        Self { totp_age: Some(0), ..self.clone() }
    }

    /// The numbers that the policies compare, by the names of the schema. What is not there has none.
    pub(crate) fn numbers(&self, sensitivity: Sensitivity) -> [(&'static str, Option<i64>); 6] {
        [
            ("auth_age", Some(self.auth_age)),
            ("risk_score", Some(self.risk_score)),
            ("passkey_age", self.passkey_age),
            ("totp_age", self.totp_age),
            ("recovery_age", self.recovery_age),
            ("amount", sensitivity.amount),
        ]
    }
}

/// What the features add to this request, together.
///
/// # Errors
///
/// [`Error::Internal`] if a feature cannot read it, or adds an attribute that it does not declare: it could be one that
/// another feature's rules trust.
fn contributions(policies: &Policies, access: &RequestAccess) -> Result<Contribution> {
    let mut all = Contribution::default();
    for LoadedFragment { feature, attributes, read } in &policies.fragments {
        let added = read(access)?;
        if let Some((name, _)) = added.attributes.iter().find(|(name, _)| !attributes.contains(*name)) {
            let context = format!("policies/{feature}.context.cedarschema");
            return Err(Error::internal(format!("{feature} adds `{name}` to the context, which {context} lacks")));
        }
        all.roles.extend(added.roles);
        all.attributes.extend(added.attributes);
        all.refused_because = all.refused_because.or(added.refused_because);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use tenancy::{Facts, TenantId};

    use super::*;
    use crate::action::ActionDeclaration;
    use crate::context::ContextFragment;
    use crate::policies::PolicySource;

    fn policies(schema: &'static str, context: Option<ContextFragment>) -> Policies {
        let actions = const { &[ActionDeclaration { name: "Read", writes: false, data: None }] };
        Policies::load(&[PolicySource { name: "base", schema, policies: "", actions, context }]).unwrap()
    }

    /// A member of an organization whose role is the word.
    fn access(role: &str) -> RequestAccess {
        let (tenant, organization) = (TenantId::new(), "Acme".to_owned());
        let membership =
            Membership { tenant, organization, role: role.to_owned(), unaccepted: None, facts: Facts::default() };
        RequestAccess { user: None, membership: Some(membership), workspace: None, waiting: Waiting::default() }
    }

    // control: POL-06
    #[test]
    fn a_feature_adds_the_attributes_that_it_declares_and_no_others() {
        let read = |access: &RequestAccess| {
            let role = access.membership.as_ref().map_or("", |membership| &membership.role);
            let added = Contribution::default().role("editor").flag("elevated");
            Ok(if role == "viewer" { added } else { added.flag("out_of_scope") })
        };
        let context = ContextFragment { schema: "elevated?: Bool", role_groups: &[], read };
        let policies = policies(
            "entity User; action Read appliesTo { principal: [User], resource: [User], context: RequestContext };",
            Some(context),
        );
        let added = contributions(&policies, &access("viewer")).unwrap();
        assert_eq!((added.roles, added.attributes), (vec!["editor".to_owned()], vec![("elevated", Attribute::Flag)]));
        let refused = contributions(&policies, &access("owner")).unwrap_err();
        assert!(format!("{refused:?}").contains("`out_of_scope`"), "{refused:?}");
    }
}
