//! A question to the policies, as data: who asks, how, and about what. Nothing here asks them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use authn::{EnrolledFactors, SignedIn};
use cedar_policy::{Context, Entities, EntityId, EntityUid, RestrictedExpression};
use chrono::{DateTime, Utc};
use tenancy::{Membership, RequestAccess, TenantId, UserId, WorkspaceFacts};
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
    resource: Entity,
    pub(crate) resource_uid: EntityUid,
    /// Principal and resource with all their ancestors. Making them costs more than an answer.
    pub(crate) entities: Arc<Entities>,
    pub(crate) sensitivity: Sensitivity,
    /// Of an action that is in the scopes of the caller.
    pub(crate) context: Context,
}

/// Who asks, and how: the same in every question of one request.
#[derive(Debug)]
pub(crate) struct Principal {
    entity: Entity,
    pub(crate) uid: EntityUid,
    pub(crate) context: RequestContext,
    pub(crate) tenant: Option<TenantId>,
    /// How they act, for records.
    pub(crate) audit_context: serde_json::Map<String, serde_json::Value>,
    pub(crate) request: Uuid,
    pub(crate) client: Option<Uuid>,
    /// Why they see nothing of the organization.
    pub(crate) refused_because: Option<RefusedBecause>,
}

impl AuthzRequest {
    /// The question of `caller` about `resource`.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if an entity does not fit the schema, or two descriptions of one entity differ.
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
        let entity = membership.map_or_else(|| caller.as_user(), |membership| caller.as_member(membership, &roles));
        let principal = Principal {
            uid: uid(policies, &entity.uid)?,
            entity,
            context: RequestContext::new(policies, caller, &attributes, now)?,
            tenant: membership.map(|membership| membership.tenant),
            audit_context: access.audit_context(),
            request: caller.context().request,
            client: caller.client(),
            refused_because,
        };
        Self::of(policies, Arc::new(principal), resource, sensitivity)
    }

    /// The question of the same caller about another resource.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn about(&self, policies: &Policies, resource: Entity, sensitivity: Sensitivity) -> Result<Self> {
        let principal = Arc::clone(&self.principal);
        let resource_uid = uid(policies, &resource.uid)?;
        let is_known =
            resource == self.resource || (resource.is_name_only() && self.entities.get(&resource_uid).is_some());
        if !is_known {
            return Self::of(policies, principal, resource, sensitivity);
        }
        let context = if sensitivity == self.sensitivity {
            self.context.clone()
        } else {
            principal.context.to_cedar(sensitivity, true)?
        };
        Ok(Self { principal, resource, resource_uid, entities: Arc::clone(&self.entities), sensitivity, context })
    }

    /// Whether both are the same question, for the same action.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entities, &other.entities)
            && self.resource_uid == other.resource_uid
            && self.sensitivity == other.sensitivity
    }

    fn of(policies: &Policies, principal: Arc<Principal>, resource: Entity, sensitivity: Sensitivity) -> Result<Self> {
        // Somebody who acts on themselves is one entity, with the roles they act in.
        let resource = if resource.uid == principal.entity.uid { principal.entity.clone() } else { resource };
        let mut all = BTreeMap::new();
        for entity in [&principal.entity, &resource] {
            entity.collect(&mut all).map_err(|entity| Error::internal(format!("two descriptions of {entity}")))?;
        }
        let entities = Arc::new(entities(policies, all.into_values())?);
        let context = principal.context.to_cedar(sensitivity, true)?;
        Ok(Self { resource_uid: uid(policies, &resource.uid)?, principal, resource, entities, sensitivity, context })
    }
}

/// How a caller comes to ask: `RequestContext` of the schema.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    auth_age: i64,
    passkey_age: Option<i64>,
    recovery_age: Option<i64>,
    totp_age: Option<i64>,
    pub(crate) enrolled: EnrolledFactors,
    by_link: bool,
    sso_organization: Option<EntityUid>,
    risk_score: i64,
    /// What features add.
    added: Vec<(&'static str, RestrictedExpression)>,
    /// The actions that a client of the API was given. People have no such limits.
    pub(crate) scopes: Option<Scopes>,
}

impl RequestContext {
    fn new(
        policies: &Policies,
        caller: Caller<'_>,
        added: &[(&'static str, Attribute)],
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let age = |since: DateTime<Utc>| (now - since).num_seconds().max(0);
        let added = added.iter().map(|(name, value)| Ok((*name, expression(policies, value)?)));
        let added = added.collect::<Result<Vec<_>>>()?;
        Ok(match caller {
            Caller::Person(person) => Self {
                auth_age: age(person.auth_time),
                passkey_age: person.passkey_at.map(age),
                recovery_age: person.recovered_at.map(age),
                totp_age: person.totp_at.map(age),
                enrolled: person.enrolled(),
                by_link: person.is_by_link(),
                sso_organization: person
                    .sso_tenant
                    .map(|tenant| uid(policies, &Entity::new("Organization", tenant).uid))
                    .transpose()?,
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
        })
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

    /// The context of a question. `in_scope` is false if a client of the API asks for an action that it was not given.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if Cedar does not accept the attributes.
    pub(crate) fn to_cedar(&self, sensitivity: Sensitivity, in_scope: bool) -> Result<Context> {
        let numbers = [
            ("auth_age", Some(self.auth_age)),
            ("risk_score", Some(self.risk_score)),
            ("passkey_age", self.passkey_age),
            ("totp_age", self.totp_age),
            ("recovery_age", self.recovery_age),
            ("amount", sensitivity.amount),
        ];
        let flags = [("by_link", self.by_link), ("out_of_scope", !in_scope)];
        let mut attributes = vec![
            ("passkey_enrolled", RestrictedExpression::new_bool(self.enrolled.passkey)),
            ("totp_enrolled", RestrictedExpression::new_bool(self.enrolled.totp)),
        ];
        attributes.extend(
            numbers.into_iter().filter_map(|(name, number)| Some((name, RestrictedExpression::new_long(number?)))),
        );
        attributes.extend(
            flags.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name, RestrictedExpression::new_bool(true))),
        );
        let organization = self.sso_organization.clone().map(RestrictedExpression::new_entity_uid);
        attributes.extend(organization.map(|organization| ("sso_organization", organization)));
        let class = sensitivity.data_classification.map(|class| RestrictedExpression::new_string(class.to_owned()));
        attributes.extend(class.map(|class| ("data_classification", class)));
        attributes.extend(self.added.iter().cloned());
        Ok(Context::from_pairs(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)))?)
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

fn uid(policies: &Policies, uid: &Uid) -> Result<EntityUid> {
    let name = policies.types.get(uid.kind).ok_or_else(|| Error::internal(format!("{uid}: no such type of entity")))?;
    Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(&uid.id)))
}

/// Entities of ours as Cedar's, checked against the schema.
fn entities<'a>(policies: &Policies, all: impl IntoIterator<Item = &'a Entity>) -> Result<Entities> {
    let all = all.into_iter().map(|one| entity(policies, one)).collect::<Result<Vec<_>>>()?;
    Ok(Entities::from_entities(all, Some(&policies.entity_types))?)
}

fn entity(policies: &Policies, entity: &Entity) -> Result<cedar_policy::Entity> {
    let mut attributes = HashMap::with_capacity(entity.attributes.len());
    for (name, value) in &entity.attributes {
        attributes.insert((*name).to_owned(), expression(policies, value)?);
    }
    let mut parents = HashSet::with_capacity(entity.parents.len());
    for parent in &entity.parents {
        parents.insert(uid(policies, &parent.uid)?);
        let groups = policies.role_groups.get(&*parent.uid.id).filter(|_| parent.uid.kind == "Role");
        for group in groups.into_iter().flatten() {
            parents.insert(uid(policies, group)?);
        }
    }
    Ok(cedar_policy::Entity::new(uid(policies, &entity.uid)?, attributes, parents)?)
}

fn expression(policies: &Policies, value: &Attribute) -> Result<RestrictedExpression> {
    let reference = |to: &Uid| Ok::<_, Error>(RestrictedExpression::new_entity_uid(uid(policies, to)?));
    Ok(match value {
        Attribute::Text(text) => RestrictedExpression::new_string(text.clone()),
        Attribute::Flag => RestrictedExpression::new_bool(true),
        Attribute::Reference(to) => reference(to)?,
        Attribute::References(all) => {
            RestrictedExpression::new_set(all.iter().map(reference).collect::<Result<Vec<_>>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use tenancy::{Facts, TenantId};

    use super::*;
    use crate::action::ActionDeclaration;
    use crate::context::{ContextFragment, RoleGroup};
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
        RequestAccess { user: None, membership: Some(membership), workspace: None }
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

    // control: IDN-09
    #[test]
    fn what_is_inside_a_role_is_inside_the_groups_of_the_role() {
        let groups = const { &[RoleGroup { name: "privileged", roles: &["owner"] }] };
        let context = ContextFragment { schema: "", role_groups: groups, read: |_| Ok(Contribution::default()) };
        let policies = policies(
            "entity Role enum [\"owner\", \"viewer\"]; entity RoleGroup enum [\"privileged\"];\
             entity Member in [Role, RoleGroup];\
             action Read appliesTo { principal: [Member], resource: [Member] };",
            Some(context),
        );
        let privileged = uid(&policies, &Entity::new("RoleGroup", "privileged").uid).unwrap();
        for (roles, expected) in
            [(&["owner"][..], true), (&["viewer"], false), (&["viewer", "owner"], true), (&[], false)]
        {
            let member =
                roles.iter().fold(Entity::new("Member", 1), |member, role| member.inside(Entity::new("Role", *role)));
            let all = entities(&policies, [&member]).unwrap();
            let member = uid(&policies, &member.uid).unwrap();
            assert_eq!(all.is_ancestor_of(&privileged, &member), expected, "{roles:?}");
        }
    }

    // control: POL-01
    #[test]
    fn entities_that_do_not_fit_the_schema_are_refused() {
        let policies = policies(
            "entity User; entity File { owner: User };\
             action Read appliesTo { principal: [User], resource: [File] };",
            None,
        );
        let user = Entity::new("User", 1);
        let file = || Entity::new("File", 1);
        assert!(entities(&policies, [&file().reference("owner", &user), &user]).is_ok());
        for wrong in [
            file(),
            file().text("owner", "1"),
            file().reference("owner", &file()),
            file().reference("owner", &user).flag("shared", true),
            file().reference("owner", &user).inside(user.clone()),
            Entity::new("Folder", 1),
        ] {
            assert!(entities(&policies, [&wrong]).is_err(), "{wrong:?}");
        }
    }
}
