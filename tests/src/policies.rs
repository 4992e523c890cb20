//! The whole permission table, asked of the policies themselves and kept as a reviewed file.

mod situations;

use crate::harness::{registry, reviewed};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::sync::LazyLock;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression, Schema,
};

pub(crate) const ROLES: [&str; 7] = ["owner", "admin", "billing_admin", "finance", "creator", "editor", "viewer"];

/// An engine of our own, so that the table does not depend on the one it judges.
pub(crate) struct Table {
    schema: Schema,
    policies: PolicySet,
}

impl Table {
    pub(crate) fn load() -> Self {
        let registry = registry();
        let sources = registry.policies().to_vec();
        let schema = sources.iter().map(|source| source.schema).collect::<Vec<_>>().join("\n");
        let context = sources.iter().filter_map(|source| source.context).map(|fragment| fragment.schema);
        let schema = format!("{schema}\ntype RequestContext = {{ {} }};", context.collect::<Vec<_>>().join("\n"));
        let policies = sources.iter().map(|source| source.policies).collect::<Vec<_>>().join("\n");
        Self { schema: schema.parse().unwrap(), policies: policies.parse().unwrap() }
    }

    pub(crate) fn allows(&self, principal: &str, action: &str, resource: &str, entities: &Entities, how: How) -> bool {
        let long = RestrictedExpression::new_long;
        let mut context = vec![
            ("auth_age".to_owned(), long(how.auth_age)),
            ("passkey_enrolled".to_owned(), RestrictedExpression::new_bool(how.enrolled)),
            ("totp_enrolled".to_owned(), RestrictedExpression::new_bool(how.totp_enrolled)),
            ("risk_score".to_owned(), long(how.risk)),
        ];
        context.extend(how.passkey_age.map(|age| ("passkey_age".to_owned(), long(age))));
        context.extend(how.totp_age.map(|age| ("totp_age".to_owned(), long(age))));
        context.extend(how.flags.iter().map(|name| ((*name).to_owned(), RestrictedExpression::new_bool(true))));
        context.extend(
            how.sso_organization
                .map(|id| ("sso_organization".to_owned(), RestrictedExpression::new_entity_uid(uid(id)))),
        );
        context.extend(how.recovery_age.map(|age| ("recovery_age".to_owned(), long(age))));
        let context = Context::from_pairs(context).unwrap();
        let action = format!("Action::\"{action}\"").parse().unwrap();
        let (principal, resource) = (principal.parse().unwrap(), resource.parse().unwrap());
        let request = Request::new(principal, action, resource, context, Some(&self.schema)).unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, entities);
        assert_eq!(response.diagnostics().errors().count(), 0, "{request}");
        response.decision() == Decision::Allow
    }

    /// Type of the resource an action is done to.
    pub(crate) fn resource_type(&self, action: &EntityUid) -> String {
        self.schema.resources_for_action(action).unwrap().next().unwrap().to_string()
    }

    /// Whether it is for people outside any organization.
    pub(crate) fn takes_users(&self, action: &EntityUid) -> bool {
        self.schema.principals_for_action(action).unwrap().any(|kind| kind.to_string() == "User")
    }

    /// The actions that can be requested, without groups.
    pub(crate) fn actions(&self) -> BTreeSet<EntityUid> {
        let asked = |action: &&EntityUid| self.schema.resources_for_action(action).unwrap().next().is_some();
        self.schema.actions().filter(asked).cloned().collect()
    }

    /// Names of the actions in a group.
    pub(crate) fn group(&self, name: &str) -> BTreeSet<String> {
        let (actions, group) = (self.schema.action_entities().unwrap(), uid(&format!("Action::\"{name}\"")));
        let inside = |action: &&EntityUid| actions.ancestors(action).is_some_and(|mut of| of.any(|one| *one == group));
        self.schema.actions().filter(inside).map(|action| action.id().unescaped().to_owned()).collect()
    }
}

/// The context of a request.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) auth_age: i64,
    pub(crate) enrolled: bool,
    pub(crate) passkey_age: Option<i64>,
    pub(crate) recovery_age: Option<i64>,
    pub(crate) totp_enrolled: bool,
    pub(crate) totp_age: Option<i64>,
    /// The attributes that are there only if they are true.
    pub(crate) flags: &'static [&'static str],
    /// The organization whose own provider began the session.
    pub(crate) sso_organization: Option<&'static str>,
    pub(crate) risk: i64,
}

/// A passkey was just verified, and nothing is unusual.
pub(crate) const PROVED: How = How {
    auth_age: 60,
    enrolled: true,
    passkey_age: Some(10),
    recovery_age: None,
    totp_enrolled: false,
    totp_age: None,
    flags: &[],
    sso_organization: None,
    risk: 0,
};
/// The same, an hour ago.
const AN_HOUR_AGO: How = How { auth_age: 7_200, passkey_age: Some(3_600), ..PROVED };
/// A session with only a provider, of a person without a passkey.
const NO_PASSKEY: How = How { enrolled: false, passkey_age: None, ..PROVED };
/// A session with only a provider, of a person with a passkey.
const NOT_PROVED: How = How { passkey_age: None, ..PROVED };

pub(crate) fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

pub(crate) fn entity(name: &str, parents: &[&str], attributes: &[(&str, RestrictedExpression)]) -> Entity {
    let attributes: HashMap<_, _> = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let parents: HashSet<_> = parents.iter().map(|parent| uid(parent)).collect();
    Entity::new(uid(name), attributes, parents).unwrap()
}

pub(crate) fn member(name: &str, role: &str, organization: &str) -> Entity {
    let (role_uid, organization_uid) = (format!("Role::\"{role}\""), format!("Organization::\"{organization}\""));
    let attributes = [("organization", reference(&organization_uid)), ("role", text(role))];
    entity(name, &[&[&*role_uid, &organization_uid], groups(role)].concat(), &attributes)
}

/// The groups of a role.
pub(crate) fn groups(role: &str) -> &'static [&'static str] {
    let any = ["RoleGroup::\"any\""].as_slice();
    if PRIVILEGED.contains(&role) { &["RoleGroup::\"any\"", "RoleGroup::\"privileged\""] } else { any }
}

/// What belongs to a person.
pub(crate) fn owned(name: &str, owner: &str) -> Entity {
    entity(name, &[], &[("owner", reference(owner))])
}

pub(crate) fn reference(name: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(name))
}

pub(crate) fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// A way to act that a feature adds. It is one column of the reviewed table.
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) how: How,
}

inventory::collect!(Situation);

/// The entities of a type that a policy could tell apart. Registered with [`entities!`].
pub(crate) struct Distinct {
    /// The type, as the schema calls it.
    pub(crate) kind: &'static str,
    /// Each of them, with what tells it apart. Those of another organization are `foreign`. Takes the role of `me`.
    pub(crate) make: fn(&str) -> Vec<(&'static str, Entity)>,
}

inventory::collect!(Distinct);

/// Registers the function that makes the entities of a type, in the tests of its feature:
///
/// ```ignore
/// entities!("Domain", domains);
/// fn domains(_: &str) -> Vec<(&'static str, Entity)> {
///     vec![("own", entity("Domain::\"a\"", ...)), ("foreign", entity("Domain::\"b\"", ...))]
/// }
/// ```
macro_rules! entities {
    ($kind:literal, $make:path) => {
        inventory::submit! { $crate::policies::Distinct { kind: $kind, make: $make } }
    };
}
pub(crate) use entities;

/// `me` with the role, in organization `a`; everything there is in `a` and, to be refused, in `b`.
fn entities_of(role: &str) -> Vec<Entity> {
    let everybody = ROLES.map(|other| member(&format!("Member::\"{other}\""), other, "a"));
    let me = entity("User::\"me\"", &[], &[("verified_email", text("me@a"))]);
    let distinct = inventory::iter::<Distinct>().flat_map(|distinct| (distinct.make)(role));
    let all = everybody.into_iter().chain([me]).chain(distinct.map(|(_, entity)| entity));
    all.map(|entity| (entity.uid(), entity)).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The same, checked against the schema once for each role.
pub(crate) fn world(role: &str) -> &'static Entities {
    static ALL: LazyLock<BTreeMap<&str, Entities>> = LazyLock::new(|| {
        let schema = Table::load().schema;
        ROLES.map(|role| (role, Entities::from_entities(entities_of(role), Some(&schema)).unwrap())).into()
    });
    &ALL[role]
}

/// The resources that a policy could tell apart, by type.
pub(crate) fn resources(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    static ALL: LazyLock<BTreeMap<&str, Vec<(&str, String)>>> = LazyLock::new(|| {
        let mut all = BTreeMap::new();
        for Distinct { kind, make } in inventory::iter::<Distinct>() {
            let named = make("viewer").into_iter().map(|(which, entity)| (which, entity.uid().to_string()));
            assert!(all.insert(*kind, named.collect()).is_none(), "the entities of {kind} are registered twice");
        }
        all
    });
    let all = ALL.get(kind).unwrap_or_else(|| {
        panic!("which {kind} could a policy tell apart? Say entities!(\"{kind}\", ...) in the tests of its feature")
    });
    all.iter().map(|(which, uid)| (*which, &**uid))
}

// control: POL-02
// control: POL-04
#[test]
fn who_may_do_what_is_the_reviewed_table() {
    let table = Table::load();
    let mut text = format!("{:22} {:26}", "", "");
    for role in ROLES {
        write!(text, " {role:13}").unwrap();
    }
    text.push('\n');
    for action in table.actions() {
        let name = action.id().unescaped().to_owned();
        let kind = table.resource_type(&action);
        let principal = if table.takes_users(&action) { "User::\"me\"" } else { "Member::\"me\"" };
        for (which, resource) in resources(&kind) {
            write!(text, "{name:22} {:26}", format!("{kind}: {which}")).unwrap();
            for role in ROLES {
                let allows = |how| table.allows(principal, &name, resource, world(role), how);
                let answer = match (allows(PROVED), allows(AN_HOUR_AGO)) {
                    (true, true) => "yes",
                    (true, false) => "fresh passkey",
                    (false, false) => "-",
                    (false, true) => panic!("{name}: a fresh passkey takes a permission away"),
                };
                write!(text, " {answer:13}").unwrap();
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
    }
    reviewed::assert("docs/permissions.txt", &text);
}

// control: POL-03
#[test]
fn nobody_reaches_another_organization_even_if_other_policies_permit_it() {
    let mut table = Table::load();
    // Even with a policy that forgets the organization: the forbid in base.cedar stands above it.
    let careless = r#"permit (principal is Member, action, resource) when { principal in Role::"owner" };"#;
    table
        .policies
        .add(cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new("careless")), careless).unwrap())
        .unwrap();
    for action in table.actions().into_iter().filter(|action| !table.takes_users(action)) {
        let kind = table.resource_type(&action);
        let foreign: Vec<_> = resources(&kind).filter(|(which, _)| *which == "foreign").collect();
        assert!(!foreign.is_empty(), "none of the entities of {kind} is foreign: add one");
        for (_, resource) in foreign {
            let allowed = table.allows("Member::\"me\"", action.id().unescaped(), resource, world("owner"), PROVED);
            assert!(!allowed, "{action}");
        }
    }
}

#[test]
fn every_type_with_entities_is_one_that_an_action_is_done_to() {
    let table = Table::load();
    let asked: BTreeSet<String> = table.actions().iter().map(|action| table.resource_type(action)).collect();
    for Distinct { kind, .. } in inventory::iter::<Distinct>() {
        assert!(asked.contains(*kind), "no action is done to {kind}: remove its entities");
    }
}

// control: POL-05
#[test]
fn an_unusual_session_does_not_see_or_change_restricted_fields() {
    let table = Table::load();
    for action in ["ViewRestrictedFields", "EditRestrictedFields"] {
        for (risk, expected) in [(0, true), (30, true), (31, false), (100, false)] {
            let how = How { risk, ..PROVED };
            let allowed = table.allows("Member::\"me\"", action, "Contact::\"theirs\"", world("owner"), how);
            assert_eq!(allowed, expected, "{action} at {risk}");
        }
    }
}

// control: POL-01
#[test]
fn nothing_is_allowed_to_somebody_without_a_role() {
    let table = Table::load();
    let attributes = [("organization", reference("Organization::\"a\"")), ("role", text(""))];
    let mut entities = entities_of("viewer");
    entities.retain(|known| known.uid() != uid("Member::\"me\""));
    entities.push(entity("Member::\"me\"", &["Organization::\"a\""], &attributes));
    let entities = Entities::from_entities(entities, Some(&table.schema)).unwrap();
    for action in table.actions() {
        let kind = table.resource_type(&action);
        for (which, resource) in resources(&kind) {
            // A member without a role can still leave.
            let leaves = action.id().unescaped() == "RemoveMember" && which == "oneself";
            if !table.takes_users(&action) && !leaves {
                let allowed = table.allows("Member::\"me\"", action.id().unescaped(), resource, &entities, PROVED);
                assert!(!allowed, "{action} on {resource}");
            }
        }
    }
}

// control: IDN-09
#[test]
fn the_privileged_roles_are_one_group_and_no_policy_lists_them() {
    let registry = registry();
    authz::Policies::load(registry.policies()).unwrap();
    let contexts: Vec<_> = registry.policies().iter().filter_map(|source| source.context).collect();
    let groups: Vec<_> = contexts.iter().flat_map(|context| context.role_groups).collect();
    assert_eq!(
        groups.iter().map(|group| (group.name, group.roles)).collect::<Vec<_>>(),
        [("any", &ROLES[..]), ("privileged", &PRIVILEGED[..])]
    );
    for policy in Table::load().policies.policies() {
        let text = policy.to_string();
        let listed = PRIVILEGED.iter().all(|role| text.contains(&format!("\"{role}\"")));
        assert!(!listed, "say RoleGroup::\"privileged\": {text}");
    }
}

/// The actions that give access, or take a passkey proved just now.
pub(crate) fn sensitive() -> BTreeSet<String> {
    let table = Table::load();
    ["GivesAccess", "NeedsFreshPasskey"].into_iter().flat_map(|group| table.group(group)).collect()
}

/// The roles that may do nothing without a passkey.
pub(crate) const PRIVILEGED: [&str; 4] = ["owner", "admin", "billing_admin", "finance"];
