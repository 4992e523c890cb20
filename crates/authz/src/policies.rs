use std::collections::{BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint, Schema, SchemaFragment, ValidationMode, Validator,
};
use sha2::{Digest, Sha256};

use crate::action::ActionDeclaration;
use crate::context::{self, ContextFragment, LoadedFragment, RoleGroups};
use crate::distinctions::Distinctions;
use crate::policy_error::PolicyError;

/// The policies of one feature, as written in `policies/`, and the actions that its code declares.
#[derive(Clone, Copy, Debug)]
pub struct PolicySource {
    /// The name of the feature. The ids of its policies begin with it.
    pub name: &'static str,
    /// `policies/<name>.cedarschema`.
    pub schema: &'static str,
    /// `policies/<name>.cedar`.
    pub policies: &'static str,
    /// The `ACTIONS` of the feature.
    pub actions: &'static [ActionDeclaration],
    /// What the feature adds to the context of every request.
    pub context: Option<ContextFragment>,
}

/// Policies that were checked against the schema and the code.
#[derive(Debug)]
pub struct Policies {
    pub(crate) schema: Schema,
    /// The schema of the entity types, without actions. When Cedar checks entities, it adds every action of the schema
    /// to them. That took longer than the decision itself.
    pub(crate) entity_types: Schema,
    pub(crate) hash: [u8; 32],
    pub(crate) by_action: HashMap<String, LoadedAction>,
    pub(crate) types: HashMap<String, EntityTypeName>,
    pub(crate) fragments: Vec<LoadedFragment>,
    /// The groups that contain each role.
    pub(crate) role_groups: RoleGroups,
    pub(crate) distinctions: Distinctions,
}

/// An action, and the policies whose scope matches it. Cedar looks at every policy that it gets, so it gets only these.
/// A policy whose scope does not match neither decides nor causes errors.
#[derive(Debug)]
pub(crate) struct LoadedAction {
    pub(crate) action: cedar_policy::Entity,
    pub(crate) policies: PolicySet,
    /// Whether it is in the group [`GIVES_ACCESS`] and may therefore change memberships.
    pub(crate) gives_access: bool,
}

/// The group of actions that give or remove access.
const GIVES_ACCESS: &str = r#"Action::"GivesAccess""#;

impl Policies {
    /// Loads the policies and checks them against the schema and the code.
    ///
    /// # Errors
    ///
    /// The policies are not valid. The error says why.
    pub fn load(sources: &[PolicySource]) -> Result<Self, PolicyError> {
        let fragments = context::load(fragments(sources))?;
        let (schema, json) = schema(sources)?;
        let role_groups = context::role_groups(self::fragments(sources), &json)?;
        let policies = policies(sources)?;
        let distinctions = Distinctions::of(&policies, &json)?;
        let entity_types = without_actions(json)?;
        let report = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if !report.validation_passed_without_warnings() {
            return Err(PolicyError::Validation(report.to_string()));
        }
        let actions = schema.action_entities().map_err(unsound)?;
        // A group of actions applies to nothing, so nobody can request it.
        let asked = |uid: &EntityUid| schema.principals_for_action(uid).is_some_and(|mut types| types.next().is_some());
        let known: Vec<cedar_policy::Entity> = actions.iter().filter(|action| asked(&action.uid())).cloned().collect();
        same_actions(sources, &known)?;
        check_fresh_passkey_required(sources, &schema, &actions)?;
        let by_action =
            known.into_iter().map(|action| LoadedAction::of(action, &policies, &actions)).collect::<Result<_, _>>()?;
        let types = schema.entity_types().map(|name| (name.to_string(), name.clone())).collect();
        let hash = hash(sources);
        Ok(Self { schema, entity_types, hash, by_action, types, fragments, role_groups, distinctions })
    }
}

impl LoadedAction {
    /// Returns the name of the action with its policies.
    fn of(
        action: cedar_policy::Entity,
        policies: &PolicySet,
        actions: &Entities,
    ) -> Result<(String, Self), PolicyError> {
        let uid = action.uid();
        if uid.type_name().to_string() != "Action" {
            return Err(PolicyError::Schema(format!("{uid}: declare actions outside of namespaces")));
        }
        let policies = policies.policies().filter(|policy| scope_matches(policy, &uid, actions)).cloned();
        let policies = PolicySet::from_policies(policies).map_err(unsound)?;
        let gives_access = actions.is_ancestor_of(&GIVES_ACCESS.parse().map_err(unsound)?, &uid);
        Ok((uid.id().unescaped().to_owned(), Self { action, policies, gives_access }))
    }
}

/// Returns what each feature adds to the context.
fn fragments(sources: &[PolicySource]) -> impl Iterator<Item = (&'static str, ContextFragment)> {
    sources.iter().filter_map(|source| Some((source.name, source.context?)))
}

/// Returns the schema of all sources, also in Cedar's JSON form.
fn schema(sources: &[PolicySource]) -> Result<(Schema, serde_json::Value), PolicyError> {
    let schemas = sources.iter().map(|source| source.schema);
    let context = fragments(sources).map(|(_, fragment)| fragment.schema);
    let context = context::context_type(&context.collect::<Vec<_>>().join("\n"));
    let text: String = schemas.chain([context.as_str()]).collect::<Vec<_>>().join("\n");
    let (fragment, warnings) = SchemaFragment::from_cedarschema_str(&text).map_err(unsound)?;
    if let Some(warning) = warnings.into_iter().next() {
        return Err(PolicyError::Schema(warning.to_string()));
    }
    let schema = Schema::from_schema_fragments([fragment.clone()]).map_err(unsound)?;
    Ok((schema, fragment.to_json_value().map_err(unsound)?))
}

/// Returns the policies of all sources, each with its id.
fn policies(sources: &[PolicySource]) -> Result<PolicySet, PolicyError> {
    let mut all = PolicySet::new();
    for source in sources {
        let parsed: PolicySet = source
            .policies
            .parse()
            .map_err(|error: cedar_policy::ParseErrors| PolicyError::Syntax(source.name, error.to_string()))?;
        for policy in parsed.policies() {
            let policy = named(source.name, policy)?;
            if policy.effect() == Effect::Permit && is_wildcard(&policy) {
                return Err(PolicyError::Wildcard(policy.id().to_string()));
            }
            let id = policy.id().to_string();
            all.add(policy).map_err(|_| PolicyError::Id(source.name, id))?;
        }
    }
    Ok(all)
}

/// Returns the hash that identifies the policies in the records of their decisions.
fn hash(sources: &[PolicySource]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for source in sources {
        let context = source.context.map_or("", |fragment| fragment.schema);
        for part in [source.name, source.schema, context, source.policies] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for group in source.context.into_iter().flat_map(|fragment| fragment.role_groups) {
            for part in [&[group.name], group.roles].concat() {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
    }
    hash.finalize().into()
}

fn without_actions(mut json: serde_json::Value) -> Result<Schema, PolicyError> {
    for namespace in json.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        namespace["actions"] = serde_json::json!({});
    }
    Schema::from_json_value(json).map_err(unsound)
}

fn unsound(error: impl std::fmt::Display) -> PolicyError {
    PolicyError::Schema(error.to_string())
}

/// Whether the scope of the policy matches the action or a group of it.
fn scope_matches(policy: &Policy, action: &EntityUid, actions: &Entities) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(one) => one == *action,
        ActionConstraint::In(some) => some.iter().any(|one| one == action || actions.is_ancestor_of(one, action)),
    }
}

/// Names the policy by its `@id`, which the audit trail cites. The ids from parsing are only positions.
fn named(feature: &'static str, policy: &Policy) -> Result<Policy, PolicyError> {
    let id = policy.annotation("id").unwrap_or_default();
    let good = id.strip_prefix(feature).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'))
    });
    if good { Ok(policy.new_id(PolicyId::new(id))) } else { Err(PolicyError::Id(feature, id.to_owned())) }
}

/// Whether a permit is too broad. A permit must name a principal, an action, a resource, and a role or condition. A
/// condition without a variable, such as `when { true }`, does not count.
fn is_wildcard(policy: &Policy) -> bool {
    let unconditional = !policy.to_json().is_ok_and(|json| names_a_variable(&json["conditions"]));
    match policy.principal_constraint() {
        PrincipalConstraint::Any => return true,
        PrincipalConstraint::Is(_) if unconditional => return true,
        _ => {}
    }
    matches!(policy.action_constraint(), ActionConstraint::Any)
        || matches!(policy.resource_constraint(), ResourceConstraint::Any)
}

/// Whether an expression in Cedar's JSON form uses a variable of the request, such as `{"Var": "principal"}`.
fn names_a_variable(expression: &serde_json::Value) -> bool {
    match expression {
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(name, value)| (name == "Var" && value.is_string()) || names_a_variable(value))
        }
        serde_json::Value::Array(items) => items.iter().any(names_a_variable),
        _ => false,
    }
}

fn same_actions(sources: &[PolicySource], actions: &[cedar_policy::Entity]) -> Result<(), PolicyError> {
    let code: BTreeSet<String> =
        sources.iter().flat_map(|source| source.actions).map(|action| action.name.to_owned()).collect();
    let known: BTreeSet<String> = actions.iter().map(|action| action.uid().id().unescaped().to_owned()).collect();
    if code == known {
        return Ok(());
    }
    Err(PolicyError::Actions {
        code: code.difference(&known).cloned().collect(),
        schema: known.difference(&code).cloned().collect(),
    })
}

/// Checks that actions that delete, or that change restricted data, require a fresh passkey. Features cannot forget it.
/// In their own account, a person without a passkey can use a code instead.
fn check_fresh_passkey_required(
    sources: &[PolicySource],
    schema: &Schema,
    actions: &Entities,
) -> Result<(), PolicyError> {
    for action in sources.iter().flat_map(|source| source.actions).filter(|action| action.writes) {
        let deletes = ["Delete", "Remove"].iter().any(|verb| action.name.starts_with(verb));
        let restricted = action.data == Some("restricted");
        let Some(uid) = actions.iter().map(cedar_policy::Entity::uid).find(|uid| uid.id().unescaped() == action.name)
        else {
            continue;
        };
        let is_in = |group: &str| {
            actions.ancestors(&uid).is_some_and(|mut groups| groups.any(|uid| uid.id().unescaped() == group))
        };
        let own =
            schema.principals_for_action(&uid).is_some_and(|mut types| types.all(|name| name.to_string() == "User"));
        let fresh = is_in("NeedsFreshPasskey") || own && !restricted && is_in("NeedsFreshFactor");
        if (deletes || restricted) && !fresh {
            return Err(PolicyError::NoFreshPasskey(action.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn read(name: &'static str) -> ActionDeclaration {
        ActionDeclaration { name, writes: false, data: None }
    }

    const BASE: PolicySource = PolicySource {
        name: "base",
        schema: "entity User; entity File { owner: User };\
                 action Read appliesTo { principal: [User], resource: [File], context: { age: Long, place?: String } };",
        policies: "",
        actions: &[read("Read")],
        context: None,
    };

    fn load(policies: &'static str) -> Result<Policies, PolicyError> {
        Policies::load(&[PolicySource { policies, ..BASE }])
    }

    /// Returns the ids of the policies that are evaluated for an action.
    fn ids(policies: &Policies, action: &str) -> Vec<String> {
        let mut ids: Vec<String> = policies.by_action[action].policies.policies().map(|p| p.id().to_string()).collect();
        ids.sort();
        ids
    }

    // control: POL-01
    #[test]
    fn an_action_is_asked_of_every_policy_that_takes_it() {
        let loaded = Policies::load(&[PolicySource {
            schema: "entity User; entity File { owner: User };\
                     action Any;\
                     action Read, Write appliesTo { principal: [User], resource: [File] };\
                     action Print in [Read, Any] appliesTo { principal: [User], resource: [File] };",
            policies: r#"
                @id("base.any") forbid (principal, action, resource) unless { resource.owner == principal };
                @id("base.in_any") forbid (principal, action in Action::"Any", resource) unless { resource.owner == principal };
                @id("base.eq") permit (principal is User, action == Action::"Read", resource is File)
                  when { resource.owner == principal };
                @id("base.in_group") permit (principal is User, action in Action::"Read", resource is File)
                  when { resource.owner == principal };
                @id("base.in_list") permit (principal is User, action in [Action::"Write", Action::"Print"], resource is File)
                  when { resource.owner == principal };"#,
            actions: const { &[read("Read"), read("Write"), read("Print")] },
            ..BASE
        }])
        .unwrap();
        assert_eq!(ids(&loaded, "Read"), ["base.any", "base.eq", "base.in_group"]);
        assert_eq!(ids(&loaded, "Write"), ["base.any", "base.in_list"]);
        assert_eq!(ids(&loaded, "Print"), ["base.any", "base.in_any", "base.in_group", "base.in_list"]);
        assert!(!loaded.by_action.contains_key("Any"), "a group is no action");
    }

    #[test]
    fn a_sound_policy_is_loaded_under_its_id() {
        let loaded = load(
            r#"@id("base.own") permit (principal is User, action == Action::"Read", resource is File) when { resource.owner == principal };"#,
        )
        .unwrap();
        assert_eq!(ids(&loaded, "Read"), ["base.own"]);
    }

    // control: POL-14
    #[test]
    fn wildcard_permits_are_refused() {
        for permit in [
            r#"@id("base.x") permit (principal, action == Action::"Read", resource is File) when { resource.owner == principal };"#,
            r#"@id("base.x") permit (principal is User, action, resource is File) when { resource.owner == principal };"#,
            r#"@id("base.x") permit (principal is User, action == Action::"Read", resource) when { resource.owner == principal };"#,
            r#"@id("base.x") permit (principal is User, action == Action::"Read", resource is File);"#,
            r#"@id("base.x") permit (principal is User, action == Action::"Read", resource is File) when { true };"#,
            r#"@id("base.x") permit (principal is User, action == Action::"Read", resource is File) when { [1].contains(1) };"#,
        ] {
            assert!(matches!(load(permit), Err(PolicyError::Wildcard(_))), "{permit}");
        }
        // A forbid may be as broad as it likes.
        assert!(load(r#"@id("base.x") forbid (principal, action, resource) when { context.age > 9 };"#).is_ok());
    }

    // control: POL-01
    #[test]
    fn policies_that_do_not_fit_stop_the_start() {
        let read = r#"permit (principal is User, action == Action::"Read", resource is File) when { resource.owner == principal };"#;
        let leak = |text: String| -> &'static str { text.leak() };
        assert!(matches!(load(leak(read.to_owned())), Err(PolicyError::Id(..))), "no id");
        assert!(
            matches!(load(leak(format!("@id(\"other.x\") {read}"))), Err(PolicyError::Id(..))),
            "another feature's id"
        );
        assert!(
            matches!(load(leak(format!("@id(\"base.x\") {read} @id(\"base.x\") {read}"))), Err(PolicyError::Id(..))),
            "twice"
        );
        assert!(matches!(load("permit"), Err(PolicyError::Syntax(..))));
        for wrong in [
            "when { resource.onwer == principal };",
            r#"when { context.place == "x" };"#, // optional: would err, and Cedar would skip the policy
            r#"when { resource.owner == "x" };"#,
        ] {
            let text = format!(
                "@id(\"base.x\") permit (principal is User, action == Action::\"Read\", resource is File) {wrong}"
            );
            assert!(matches!(load(leak(text)), Err(PolicyError::Validation(_))), "{wrong}");
        }
        let typo = r#"@id("base.x") permit (principal is User, action == Action::"Raed", resource is File) when { resource.owner == principal };"#;
        assert!(matches!(load(typo), Err(PolicyError::Validation(_))));
    }

    // control: IDN-10
    #[test]
    fn what_deletes_or_changes_restricted_data_takes_a_fresh_passkey_or_stops_the_start() {
        const SCHEMA: &str = "entity User; entity Member; entity File { owner: User }; action NeedsFreshPasskey; action NeedsFreshFactor;\
             action Act appliesTo { principal: [Member], resource: [File] };\
             action DeleteFile, RemoveFile appliesTo { principal: [Member], resource: [File] };\
             action DeleteSafely, ActSafely in [NeedsFreshPasskey] appliesTo { principal: [Member], resource: [File] };\
             action RemoveByCode in [NeedsFreshFactor] appliesTo { principal: [Member], resource: [File] };\
             action RemoveOwn in [NeedsFreshFactor] appliesTo { principal: [User], resource: [File] };";
        let loaded = |name: &'static str, writes, data| {
            let all = ["Act", "DeleteFile", "RemoveFile", "DeleteSafely", "ActSafely", "RemoveByCode", "RemoveOwn"];
            let one = |other| if other == name { ActionDeclaration { name, writes, data } } else { read(other) };
            let actions: Vec<_> = all.into_iter().map(one).collect();
            Policies::load(&[PolicySource { schema: SCHEMA, actions: actions.leak(), ..BASE }])
        };
        let restricted = Some("restricted");
        for (name, data) in [
            ("DeleteFile", None),
            ("RemoveFile", None),
            ("RemoveByCode", None),
            ("RemoveOwn", restricted),
            ("Act", restricted),
        ] {
            let refused = loaded(name, true, data);
            assert!(matches!(refused, Err(PolicyError::NoFreshPasskey(who)) if who == name), "{name}: {refused:?}");
            assert!(loaded(name, false, data).is_ok(), "{name}: who only looks changes nothing");
        }
        for (name, data) in
            [("DeleteSafely", None), ("RemoveOwn", None), ("ActSafely", restricted), ("Act", Some("internal"))]
        {
            assert!(loaded(name, true, data).is_ok(), "{name} {data:?}");
        }
    }

    // control: POL-01
    #[test]
    fn code_and_schema_know_the_same_actions() {
        let more_code = PolicySource { actions: const { &[read("Read"), read("Write")] }, ..BASE };
        assert!(matches!(Policies::load(&[more_code]), Err(PolicyError::Actions { code, .. }) if code == ["Write"]));
        let namespaced = PolicySource {
            schema: "entity User; entity File { owner: User };\
                     namespace X { action Read appliesTo { principal: [User], resource: [File] }; }",
            ..BASE
        };
        assert!(matches!(Policies::load(&[namespaced]), Err(PolicyError::Schema(_))), "names of actions are unique");
        let less_code = PolicySource { actions: &[], ..BASE };
        assert!(matches!(Policies::load(&[less_code]), Err(PolicyError::Actions { schema, .. }) if schema == ["Read"]));
    }
}
