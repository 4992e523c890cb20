//! Conversion of an authorization request into a Cedar request.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::{Context, Entities, EntityId, EntityUid, Request, RestrictedExpression};
use web::{Error, Result};

use crate::entity::{Attribute, Entity, Sensitivity, Uid};
use crate::policies::{LoadedAction, Policies};
use crate::request::{AuthzRequest, RequestContext};

/// A request about an action that can be evaluated in different contexts.
pub(crate) struct CedarQuestion<'a> {
    policies: &'a Policies,
    action: &'a LoadedAction,
    principal: EntityUid,
    resource: EntityUid,
    sensitivity: Sensitivity,
    in_scope: bool,
    /// The principal and the resource with all their ancestors, and the action with its groups.
    pub(crate) entities: Entities,
}

impl<'a> CedarQuestion<'a> {
    /// Creates a question. `in_scope` is false if an API client does not have the scope for the action.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if an entity does not fit the schema, or if two descriptions of one entity differ.
    pub(crate) fn new(
        policies: &'a Policies,
        request: &AuthzRequest,
        action: &'a LoadedAction,
        in_scope: bool,
    ) -> Result<Self> {
        let (principal, resource) = (&request.principal.entity, &request.resource);
        let mut all = BTreeMap::new();
        for entity in [principal, resource] {
            entity.collect(&mut all).map_err(|entity| Error::internal(format!("two descriptions of {entity}")))?;
        }
        let entities = entities(policies, all.into_values())?.add_entities([action.action.clone()], None)?;
        let (principal, resource) = (uid(policies, &principal.uid)?, uid(policies, &resource.uid)?);
        Ok(Self { policies, action, principal, resource, sensitivity: request.sensitivity, in_scope, entities })
    }

    /// Returns the Cedar request in a context, checked against the schema.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if Cedar rejects the attributes.
    pub(crate) fn in_context(&self, context: &RequestContext) -> Result<Request> {
        let (principal, resource) = (self.principal.clone(), self.resource.clone());
        let context = self.context(context)?;
        Ok(Request::new(principal, self.action.action.uid(), resource, context, Some(&self.policies.schema))?)
    }

    fn context(&self, context: &RequestContext) -> Result<Context> {
        let numbers = context.numbers(self.sensitivity).into_iter();
        let numbers = numbers.filter_map(|(name, number)| Some((name, RestrictedExpression::new_long(number?))));
        let mut attributes: Vec<_> = numbers.collect();
        attributes.push(("passkey_enrolled", RestrictedExpression::new_bool(context.enrolled.passkey)));
        attributes.push(("totp_enrolled", RestrictedExpression::new_bool(context.enrolled.totp)));
        let flags = [("by_link", context.by_link), ("out_of_scope", !self.in_scope)].into_iter();
        attributes.extend(flags.filter_map(|(name, is)| is.then_some((name, RestrictedExpression::new_bool(true)))));
        if let Some(organization) = &context.sso_organization {
            let organization = RestrictedExpression::new_entity_uid(uid(self.policies, organization)?);
            attributes.push(("sso_organization", organization));
        }
        if let Some(class) = self.sensitivity.data_classification {
            attributes.push(("data_classification", RestrictedExpression::new_string(class.to_owned())));
        }
        for (name, value) in &context.added {
            attributes.push((name, expression(self.policies, value)?));
        }
        Ok(Context::from_pairs(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)))?)
    }
}

fn uid(policies: &Policies, uid: &Uid) -> Result<EntityUid> {
    let name = policies.types.get(uid.kind).ok_or_else(|| Error::internal(format!("{uid}: no such type of entity")))?;
    Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(&uid.id)))
}

/// Converts our entities into Cedar entities, and checks them against the schema.
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
    use super::*;
    use crate::action::ActionDeclaration;
    use crate::context::{ContextFragment, Contribution, RoleGroup};
    use crate::policies::PolicySource;

    fn policies(schema: &'static str, context: Option<ContextFragment>) -> Policies {
        let actions = const { &[ActionDeclaration { name: "Read", writes: false, data: None }] };
        Policies::load(&[PolicySource { name: "base", schema, policies: "", actions, context }]).unwrap()
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
