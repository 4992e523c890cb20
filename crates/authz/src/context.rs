use std::collections::{BTreeSet, HashMap};

use cedar_policy::SchemaFragment;
use tenancy::RequestAccess;

use crate::entity::{Attribute, Uid};
use crate::policy_error::PolicyError;

/// The attributes that a feature adds to the context of every decision (`RequestContext` in the schema).
#[derive(Clone, Copy, Debug)]
pub struct ContextFragment {
    /// `policies/<name>.context.cedarschema`. It declares attributes.
    pub schema: &'static str,
    /// The groups of roles that the policies of the feature use.
    pub role_groups: &'static [RoleGroup],
    /// Reads the feature's contribution from the `RequestAccess` of the request.
    pub read: fn(&RequestAccess) -> web::Result<Contribution>,
}

/// A group of roles. In policies it is `RoleGroup::"<name>"`. An entity in one of the roles is also in the group.
#[derive(Clone, Copy, Debug)]
pub struct RoleGroup {
    /// The name of the group.
    pub name: &'static str,
    /// The roles in the group.
    pub roles: &'static [&'static str],
}

/// The contribution of a feature to one request.
///
/// ```
/// // A member has temporary access as an editor.
/// let added = authz::Contribution::default().role("editor").flag("elevated");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Contribution {
    pub(crate) roles: Vec<String>,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
    pub(crate) refused_because: Option<RefusedBecause>,
}

/// Why an organization refuses a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBecause {
    /// The value of the parameter `unaccepted` of the sign-in page.
    pub reason: String,
    /// The message for an API client.
    pub text_for_clients: &'static str,
}

impl Contribution {
    /// Adds a role to the member's own role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.push(role.into());
        self
    }

    /// Adds a context attribute that is true.
    #[must_use]
    pub fn flag(mut self, name: &'static str) -> Self {
        self.attributes.push((name, Attribute::Flag));
        self
    }

    /// Adds a text as a context attribute.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, Attribute::Text(value.into())));
        self
    }

    /// Sets the reason, for a contribution that makes the policies refuse everything.
    #[must_use]
    pub fn refused_because(mut self, why: RefusedBecause) -> Self {
        self.refused_because = Some(why);
        self
    }
}

/// The context fragment of a feature.
#[derive(Debug)]
pub(crate) struct LoadedFragment {
    pub(crate) feature: &'static str,
    /// The attributes that it declares. It cannot add others.
    pub(crate) attributes: BTreeSet<String>,
    pub(crate) read: fn(&RequestAccess) -> web::Result<Contribution>,
}

/// The groups of each role.
pub(crate) type RoleGroups = HashMap<&'static str, Vec<Uid>>;

/// Builds the type of the context from declarations of attributes.
pub(crate) fn context_type(attributes: &str) -> String {
    format!("type RequestContext = {{\n{attributes}\n}};")
}

/// Loads the context fragments of all features, with the attributes that each one declares.
///
/// # Errors
///
/// A fragment declares something other than attributes, or an attribute that another fragment declares.
pub(crate) fn load(
    fragments: impl IntoIterator<Item = (&'static str, ContextFragment)>,
) -> Result<Vec<LoadedFragment>, PolicyError> {
    let mut all: Vec<LoadedFragment> = Vec::new();
    for (feature, fragment) in fragments {
        let attributes = declared_attributes(feature, fragment.schema)?;
        for known in &all {
            if let Some(attribute) = attributes.intersection(&known.attributes).next() {
                let (attribute, first, second) = (attribute.clone(), known.feature, feature);
                return Err(PolicyError::ContextAttribute { attribute, first, second });
            }
        }
        all.push(LoadedFragment { feature, attributes, read: fragment.read });
    }
    Ok(all)
}

fn declared_attributes(feature: &'static str, schema: &str) -> Result<BTreeSet<String>, PolicyError> {
    let wrong = |error: &dyn std::fmt::Display| PolicyError::ContextFragment(feature, error.to_string());
    let (fragment, _) = SchemaFragment::from_cedarschema_str(&context_type(schema)).map_err(|error| wrong(&error))?;
    let json = fragment.to_json_value().map_err(|error| wrong(&error))?;
    let attributes = json[""]["commonTypes"]["RequestContext"]["attributes"].as_object();
    let names = attributes.ok_or_else(|| wrong(&json))?.keys().cloned().collect();
    let is_alone = json[""]["commonTypes"].as_object().is_some_and(|types| types.len() == 1)
        && ["entityTypes", "actions"]
            .iter()
            .all(|part| json[""][part].as_object().is_none_or(serde_json::Map::is_empty))
        && json.as_object().is_some_and(|namespaces| namespaces.len() == 1);
    if is_alone { Ok(names) } else { Err(wrong(&json)) }
}

/// Returns the groups of each role. An enumerated entity in Cedar has no parents, so an entity in a role is also put
/// into the groups of that role.
///
/// # Errors
///
/// The schema does not know a group or a role.
pub(crate) fn role_groups(
    fragments: impl IntoIterator<Item = (&'static str, ContextFragment)>,
    schema: &serde_json::Value,
) -> Result<RoleGroups, PolicyError> {
    let mut groups = RoleGroups::new();
    let of_all = fragments
        .into_iter()
        .flat_map(|(feature, fragment)| fragment.role_groups.iter().map(move |group| (feature, group)));
    for (feature, group) in of_all {
        let is_known = |kind: &str, name: &str| {
            let names = schema[""]["entityTypes"][kind]["enum"].as_array();
            names.is_some_and(|names| names.iter().any(|known| known == name))
        };
        let uid = Uid { kind: "RoleGroup", id: group.name.to_owned() };
        if !is_known("RoleGroup", group.name) {
            return Err(PolicyError::RoleGroup { feature, entity: uid.to_string() });
        }
        for role in group.roles {
            if !is_known("Role", role) {
                return Err(PolicyError::RoleGroup { feature, entity: format!("Role::{role:?}") });
            }
            groups.entry(role).or_default().push(uid.clone());
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(schema: &'static str) -> ContextFragment {
        ContextFragment { schema, role_groups: &[], read: |_| Ok(Contribution::default()) }
    }

    // control: POL-01
    #[test]
    fn a_fragment_declares_attributes_of_its_own_and_nothing_else() {
        let loaded = load([
            ("base", fragment("age: Long, // of the session\n place?: Organization")),
            ("later", fragment("elevated?: Bool,")),
            ("none", fragment("")),
        ]);
        let attributes: Vec<_> = loaded.unwrap().into_iter().map(|fragment| fragment.attributes).collect();
        assert_eq!(
            attributes,
            [BTreeSet::from(["age".into(), "place".into()]), BTreeSet::from(["elevated".into()]), BTreeSet::new()]
        );
        let twice = load([("base", fragment("age: Long")), ("later", fragment("elevated?: Bool, age?: Long"))]);
        let message = twice.unwrap_err().to_string();
        assert!(message.contains("`age` is declared by `base` and by `later`"), "{message}");
        for wrong in [
            "age",
            "age: Long }; entity Evil; type Other = { a: Long",
            "age: Long }; action Read appliesTo { principal: [User], resource: [User] }; type Other = {",
            "age: Long }; namespace N { entity Evil; } type Other = {",
        ] {
            let refused = load([("later", fragment(wrong))]);
            assert!(matches!(refused, Err(PolicyError::ContextFragment("later", _))), "{wrong}: {refused:?}");
        }
    }

    // control: IDN-09
    #[test]
    fn a_group_is_of_roles_that_the_schema_knows() {
        let (schema, _) = SchemaFragment::from_cedarschema_str(
            "entity Role enum [\"owner\", \"viewer\"]; entity RoleGroup enum [\"privileged\"];",
        )
        .unwrap();
        let schema = schema.to_json_value().unwrap();
        let groups = |groups| role_groups([("base", ContextFragment { role_groups: groups, ..fragment("") })], &schema);
        let loaded = groups(&[RoleGroup { name: "privileged", roles: &["owner"] }]).unwrap();
        assert_eq!(loaded["owner"].iter().map(ToString::to_string).collect::<Vec<_>>(), ["RoleGroup::\"privileged\""]);
        assert!(!loaded.contains_key("viewer"));
        for (wrong, entity) in [
            (&[RoleGroup { name: "privileged", roles: &["ownr"] }], "Role::\"ownr\""),
            (&[RoleGroup { name: "privilegd", roles: &["owner"] }], "RoleGroup::\"privilegd\""),
        ] {
            let message = groups(wrong).unwrap_err().to_string();
            assert!(message.contains(entity), "{message}");
        }
    }
}
