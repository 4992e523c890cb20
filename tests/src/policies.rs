//! The whole permission table, asked of the policies themselves and kept as a reviewed file.

mod situations;

use crate::harness::registry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression, Schema,
};

pub(crate) const ROLES: [&str; 7] = ["owner", "admin", "billing_admin", "finance", "creator", "editor", "viewer"];

/// An engine of our own, so that the table does not depend on the one it judges.
struct Table {
    schema: Schema,
    policies: PolicySet,
}

impl Table {
    fn load() -> Self {
        let registry = registry();
        let sources = registry.policies().to_vec();
        let schema = sources.iter().map(|source| source.schema).collect::<Vec<_>>().join("\n");
        let context = sources.iter().filter_map(|source| source.context).map(|fragment| fragment.schema);
        let schema = format!("{schema}\ntype RequestContext = {{ {} }};", context.collect::<Vec<_>>().join("\n"));
        let policies = sources.iter().map(|source| source.policies).collect::<Vec<_>>().join("\n");
        Self { schema: schema.parse().unwrap(), policies: policies.parse().unwrap() }
    }

    fn allows(&self, principal: &str, action: &str, resource: &str, entities: &[Entity], how: How) -> bool {
        let long = RestrictedExpression::new_long;
        let mut context = vec![
            ("auth_age".to_owned(), long(how.auth_age)),
            ("passkey_enrolled".to_owned(), RestrictedExpression::new_bool(how.enrolled)),
            ("totp_enrolled".to_owned(), RestrictedExpression::new_bool(how.totp_enrolled)),
            ("risk_score".to_owned(), long(how.risk)),
        ];
        context.extend(how.passkey_age.map(|age| ("passkey_age".to_owned(), long(age))));
        context.extend(how.totp_age.map(|age| ("totp_age".to_owned(), long(age))));
        let is = |name: &str| (name.to_owned(), RestrictedExpression::new_bool(true));
        context.extend(how.by_link.then(|| is("by_link")));
        context.extend(how.unaccepted.then(|| is("unaccepted")));
        context.extend(how.elevated.then(|| is("elevated")));
        context.extend(how.sign_on.map(|id| ("sign_on".to_owned(), RestrictedExpression::new_entity_uid(uid(id)))));
        context.extend(how.recovery_age.map(|age| ("recovery_age".to_owned(), long(age))));
        let context = Context::from_pairs(context).unwrap();
        let action = format!("Action::\"{action}\"").parse().unwrap();
        let (principal, resource) = (principal.parse().unwrap(), resource.parse().unwrap());
        let request = Request::new(principal, action, resource, context, Some(&self.schema)).unwrap();
        let entities = Entities::from_entities(entities.to_vec(), Some(&self.schema)).unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        assert_eq!(response.diagnostics().errors().count(), 0, "{request}");
        response.decision() == Decision::Allow
    }

    /// Type of the resource an action is done to.
    fn resource_type(&self, action: &EntityUid) -> String {
        self.schema.resources_for_action(action).unwrap().next().unwrap().to_string()
    }

    /// Whether it is for people outside of any organization.
    fn takes_users(&self, action: &EntityUid) -> bool {
        self.schema.principals_for_action(action).unwrap().any(|kind| kind.to_string() == "User")
    }

    /// Those that can be asked for: a group applies to nothing.
    fn actions(&self) -> BTreeSet<EntityUid> {
        let asked = |action: &&EntityUid| self.schema.resources_for_action(action).unwrap().next().is_some();
        self.schema.actions().filter(asked).cloned().collect()
    }

    /// Names of the actions in a group.
    fn group(&self, name: &str) -> BTreeSet<String> {
        let (actions, group) = (self.schema.action_entities().unwrap(), uid(&format!("Action::\"{name}\"")));
        let inside = |action: &&EntityUid| actions.ancestors(action).is_some_and(|mut of| of.any(|one| *one == group));
        self.schema.actions().filter(inside).map(|action| action.id().unescaped().to_owned()).collect()
    }
}

/// How somebody comes to ask.
#[derive(Clone, Copy)]
struct How {
    auth_age: i64,
    enrolled: bool,
    passkey_age: Option<i64>,
    recovery_age: Option<i64>,
    totp_enrolled: bool,
    totp_age: Option<i64>,
    by_link: bool,
    unaccepted: bool,
    elevated: bool,
    /// The organization whose own provider they came with.
    sign_on: Option<&'static str>,
    risk: i64,
}

/// A passkey proved just now, and nothing unusual.
const PROVED: How = How {
    auth_age: 60,
    enrolled: true,
    passkey_age: Some(10),
    recovery_age: None,
    totp_enrolled: false,
    totp_age: None,
    by_link: false,
    unaccepted: false,
    elevated: false,
    sign_on: None,
    risk: 0,
};
/// The same, and nothing more proved for an hour.
const AN_HOUR_AGO: How = How { auth_age: 7_200, passkey_age: Some(3_600), ..PROVED };
/// A provider alone vouches for somebody who has no passkey.
const NO_PASSKEY: How = How { enrolled: false, passkey_age: None, ..PROVED };
/// A provider alone vouches for somebody who has one.
const NOT_PROVED: How = How { passkey_age: None, ..PROVED };

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn entity(name: &str, parents: &[&str], attributes: &[(&str, RestrictedExpression)]) -> Entity {
    let attributes: HashMap<_, _> = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let parents: HashSet<_> = parents.iter().map(|parent| uid(parent)).collect();
    Entity::new(uid(name), attributes, parents).unwrap()
}

fn member(name: &str, role: &str, organization: &str) -> Entity {
    let (role_uid, organization_uid) = (format!("Role::\"{role}\""), format!("Organization::\"{organization}\""));
    let attributes = [
        ("organization", RestrictedExpression::new_entity_uid(uid(&organization_uid))),
        ("role", RestrictedExpression::new_string(role.to_owned())),
    ];
    entity(name, &[&[&*role_uid, &organization_uid], groups(role)].concat(), &attributes)
}

/// The groups of a role.
fn groups(role: &str) -> &'static [&'static str] {
    let any = ["RoleGroup::\"any\""].as_slice();
    if PRIVILEGED.contains(&role) { &["RoleGroup::\"any\"", "RoleGroup::\"privileged\""] } else { any }
}

fn contact(name: &str, workspace: &str, creator: &str) -> Entity {
    entity(name, &[workspace], &[("created_by", RestrictedExpression::new_entity_uid(uid(creator)))])
}

fn invitation(name: &str, organization: &str, email: &str, role: &str, inviter_role: &str) -> Entity {
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let attributes = [("email", text(email)), ("role", text(role)), ("inviter_role", text(inviter_role))];
    entity(name, &[&[organization, &*format!("Role::\"{role}\"")], groups(role)].concat(), &attributes)
}

fn client(name: &str, organization: &str, member: Option<&str>) -> Entity {
    let member = member.map(|member| ("member", RestrictedExpression::new_entity_uid(uid(member))));
    entity(name, &[&format!("Organization::\"{organization}\"")], &member.into_iter().collect::<Vec<_>>())
}

fn elevation(name: &str, organization: &str, member: &str, role: &str) -> Entity {
    let attributes = [
        ("member", RestrictedExpression::new_entity_uid(uid(member))),
        ("role", RestrictedExpression::new_string(role.to_owned())),
    ];
    entity(name, &[organization], &attributes)
}

fn approval(name: &str, kind: &str, requested_by: &str, requester_role: &str, target_role: Option<&str>) -> Entity {
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let mut attributes = vec![
        ("kind", text(kind)),
        ("requested_by", RestrictedExpression::new_entity_uid(uid(requested_by))),
        ("requester_role", text(requester_role)),
    ];
    attributes.extend(target_role.map(|role| ("target_role", text(role))));
    let all =
        ["me", "owner", "admin"].map(|id| RestrictedExpression::new_entity_uid(uid(&format!("Member::\"{id}\""))));
    attributes.push(("approvers", RestrictedExpression::new_set(all)));
    let organization = if name.contains("foreign") { "Organization::\"b\"" } else { "Organization::\"a\"" };
    entity(name, &[organization], &attributes)
}

/// What an owner asks for, and that `approver` alone can approve.
fn named(name: &str, kind: &str, requested_by: &str, approver: &str) -> Entity {
    let (id, mut attributes, parents) = approval(name, kind, requested_by, "owner", None).into_inner();
    let approvers = RestrictedExpression::new_set([RestrictedExpression::new_entity_uid(uid(approver))]);
    attributes.insert("approvers".to_owned(), approvers);
    if ["remove_owner", "demote_owner"].contains(&kind) {
        attributes.insert("done_to_an_owner".to_owned(), RestrictedExpression::new_bool(true));
    }
    Entity::new(id, attributes, parents).unwrap()
}

/// `me` with the role, in organization `a`; everything there is in `a` and, to be refused, in `b`.
fn world(role: &str) -> Vec<Entity> {
    let owned = |name, owner| entity(name, &[], &[("owner", RestrictedExpression::new_entity_uid(uid(owner)))]);
    let mut entities = vec![
        owned("Account::\"mine\"", "User::\"me\""),
        owned("Account::\"theirs\"", "User::\"other\""),
        owned("Passkey::\"mine\"", "User::\"me\""),
        owned("Passkey::\"theirs\"", "User::\"other\""),
        owned("Session::\"mine\"", "User::\"me\""),
        owned("Session::\"theirs\"", "User::\"other\""),
        entity("User::\"me\"", &[], &[("verified_email", RestrictedExpression::new_string("me@a".to_owned()))]),
        invitation("Invitation::\"viewer\"", "Organization::\"a\"", "me@a", "viewer", "admin"),
        invitation("Invitation::\"owner\"", "Organization::\"a\"", "me@a", "owner", "owner"),
        invitation("Invitation::\"too much\"", "Organization::\"a\"", "me@a", "owner", "admin"),
        invitation("Invitation::\"demoted\"", "Organization::\"a\"", "me@a", "viewer", "editor"),
        invitation("Invitation::\"theirs\"", "Organization::\"a\"", "other@a", "viewer", "admin"),
        invitation("Invitation::\"foreign\"", "Organization::\"b\"", "other@a", "viewer", "admin"),
        entity("FailedJob::\"a\"", &["Organization::\"a\""], &[]),
        entity("FailedJob::\"b\"", &["Organization::\"b\""], &[]),
        entity("Domain::\"a\"", &["Organization::\"a\""], &[]),
        entity("Domain::\"b\"", &["Organization::\"b\""], &[]),
        entity("Workspace::\"a\"", &["Organization::\"a\""], &[]),
        entity("Workspace::\"b\"", &["Organization::\"b\""], &[]),
        contact("Contact::\"mine\"", "Workspace::\"a\"", "Member::\"me\""),
        contact("Contact::\"theirs\"", "Workspace::\"a\"", "Member::\"other\""),
        contact("Contact::\"foreign\"", "Workspace::\"b\"", "Member::\"me\""),
        client("ApiClient::\"mine\"", "a", Some("Member::\"me\"")),
        client("ApiClient::\"theirs\"", "a", Some("Member::\"other\"")),
        client("ApiClient::\"service\"", "a", None),
        client("ApiClient::\"foreign\"", "b", Some("Member::\"me\"")),
        approval("Approval::\"mine\"", "delete_organization", "Member::\"me\"", "owner", None),
        approval("Approval::\"deletion\"", "delete_organization", "Member::\"owner\"", "owner", None),
        approval("Approval::\"by an admin\"", "delete_organization", "Member::\"owner\"", "admin", None),
        approval("Approval::\"relax by an admin\"", "stop_requiring_sso", "Member::\"owner\"", "admin", None),
        approval("Approval::\"reset\"", "reset_factors", "Member::\"admin\"", "admin", Some("admin")),
        approval("Approval::\"reset of an owner\"", "reset_factors", "Member::\"admin\"", "admin", Some("owner")),
        named("Approval::\"by another of today\"", "delete_organization", "Member::\"owner\"", "Member::\"admin\""),
        approval("Approval::\"by a viewer\"", "reset_factors", "Member::\"viewer\"", "viewer", Some("viewer")),
        named("Approval::\"named\"", "remove_owner", "Member::\"me\"", "Member::\"me\""),
        named("Approval::\"not named\"", "remove_owner", "Member::\"me\"", "Member::\"owner\""),
        approval("Approval::\"foreign\"", "reset_factors", "Member::\"me\"", "owner", Some("viewer")),
        elevation("Elevation::\"mine\"", "Organization::\"a\"", "Member::\"me\"", "editor"),
        elevation("Elevation::\"editor\"", "Organization::\"a\"", "Member::\"viewer\"", "editor"),
        elevation("Elevation::\"admin\"", "Organization::\"a\"", "Member::\"viewer\"", "admin"),
        elevation("Elevation::\"foreign\"", "Organization::\"b\"", "Member::\"me\"", "editor"),
        member("Member::\"me\"", role, "a"),
        member("Member::\"foreign\"", "viewer", "b"),
    ];
    entities.extend(ROLES.map(|other| member(&format!("Member::\"{other}\""), other, "a")));
    entities
}

/// The resources a policy could tell apart, by type.
fn resources(kind: &str) -> Vec<(&'static str, &'static str)> {
    match kind {
        "Account" => vec![("own", "Account::\"mine\""), ("somebody's", "Account::\"theirs\"")],
        "Passkey" => vec![("own", "Passkey::\"mine\""), ("somebody's", "Passkey::\"theirs\"")],
        "Session" => vec![("own", "Session::\"mine\""), ("somebody's", "Session::\"theirs\"")],
        "Organization" => vec![("own", "Organization::\"a\""), ("foreign", "Organization::\"b\"")],
        "Domain" => vec![("own", "Domain::\"a\""), ("foreign", "Domain::\"b\"")],
        "Workspace" => vec![("own", "Workspace::\"a\""), ("foreign", "Workspace::\"b\"")],
        "Member" => vec![
            ("oneself", "Member::\"me\""),
            ("an owner", "Member::\"owner\""),
            ("an admin", "Member::\"admin\""),
            ("a viewer", "Member::\"viewer\""),
            ("foreign", "Member::\"foreign\""),
        ],
        "Contact" => vec![
            ("made by oneself", "Contact::\"mine\""),
            ("made by another", "Contact::\"theirs\""),
            ("foreign", "Contact::\"foreign\""),
        ],
        "Invitation" => vec![
            ("as a viewer", "Invitation::\"viewer\""),
            ("as an owner", "Invitation::\"owner\""),
            ("beyond inviter", "Invitation::\"too much\""),
            ("by an editor", "Invitation::\"demoted\""),
            ("not to oneself", "Invitation::\"theirs\""),
            ("foreign", "Invitation::\"foreign\""),
        ],
        "ApiClient" => vec![
            ("acts as oneself", "ApiClient::\"mine\""),
            ("acts as another", "ApiClient::\"theirs\""),
            ("service account", "ApiClient::\"service\""),
            ("foreign", "ApiClient::\"foreign\""),
        ],
        "Approval" => vec![
            ("own deletion", "Approval::\"mine\""),
            ("deletion", "Approval::\"deletion\""),
            ("deletion by admin", "Approval::\"by an admin\""),
            ("relaxed by admin", "Approval::\"relax by an admin\""),
            ("admin, by admin", "Approval::\"reset\""),
            ("owner, by admin", "Approval::\"reset of an owner\""),
            ("deletion, not named", "Approval::\"by another of today\""),
            ("viewer, by viewer", "Approval::\"by a viewer\""),
            ("of an owner, named", "Approval::\"named\""),
            ("of an owner, not named", "Approval::\"not named\""),
            ("foreign", "Approval::\"foreign\""),
        ],
        "FailedJob" => vec![("own", "FailedJob::\"a\""), ("foreign", "FailedJob::\"b\"")],
        "Elevation" => vec![
            ("of oneself", "Elevation::\"mine\""),
            ("as an editor", "Elevation::\"editor\""),
            ("as an admin", "Elevation::\"admin\""),
            ("foreign", "Elevation::\"foreign\""),
        ],
        other => panic!("{other}: say here which resources of this type a policy could tell apart"),
    }
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
                let allows = |how| table.allows(principal, &name, resource, &world(role), how);
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
    insta::assert_snapshot!("role_x_action", text);
}

// control: POL-03
#[test]
fn nobody_reaches_another_organization_whatever_else_is_permitted() {
    let mut table = Table::load();
    // Even with a policy that forgets the organization: the forbid in base.cedar stands above it.
    let careless = r#"permit (principal is Member, action, resource) when { principal in Role::"owner" };"#;
    table
        .policies
        .add(cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new("careless")), careless).unwrap())
        .unwrap();
    let mut asked = 0;
    for action in table.actions().into_iter().filter(|action| !table.takes_users(action)) {
        let kind = table.resource_type(&action);
        for (which, resource) in resources(&kind) {
            if which == "foreign" {
                assert!(
                    !table.allows("Member::\"me\"", action.id().unescaped(), resource, &world("owner"), PROVED),
                    "{action}"
                );
                asked += 1;
            }
        }
    }
    assert!(asked > 10, "{asked} questions");
}

// control: POL-05
#[test]
fn an_unusual_session_does_not_see_or_change_restricted_fields() {
    let table = Table::load();
    for action in ["ViewRestrictedFields", "EditRestrictedFields"] {
        for (risk, expected) in [(0, true), (30, true), (31, false), (100, false)] {
            let how = How { risk, ..PROVED };
            let allowed = table.allows("Member::\"me\"", action, "Contact::\"theirs\"", &world("owner"), how);
            assert_eq!(allowed, expected, "{action} at {risk}");
        }
    }
}

// control: POL-01
#[test]
fn nothing_is_allowed_to_somebody_without_a_role() {
    let table = Table::load();
    let organization = RestrictedExpression::new_entity_uid(uid("Organization::\"a\""));
    let attributes = [("organization", organization), ("role", RestrictedExpression::new_string(String::new()))];
    let mut entities = world("viewer");
    entities.retain(|known| known.uid() != uid("Member::\"me\"") && known.uid() != uid("Contact::\"mine\""));
    entities.push(entity("Member::\"me\"", &["Organization::\"a\""], &attributes));
    for action in table.actions() {
        let kind = table.resource_type(&action);
        for (which, resource) in resources(&kind) {
            // Whoever is there without a role can still leave.
            let leaves = action.id().unescaped() == "RemoveMember" && which == "oneself";
            if !table.takes_users(&action) && which != "made by oneself" && !leaves {
                let allowed = table.allows("Member::\"me\"", action.id().unescaped(), resource, &entities, PROVED);
                assert!(!allowed, "{action} on {resource}");
            }
        }
    }
}

// control: POL-06
#[test]
fn an_elevation_closes_what_gives_access_and_nothing_else() {
    let table = Table::load();
    let mut closed = BTreeSet::new();
    for action in table.actions().iter().filter(|action| !table.takes_users(action)) {
        let name = action.id().unescaped();
        for (what, resource) in resources(&table.resource_type(action)) {
            let allowed = |how| table.allows("Member::\"me\"", name, resource, &world("owner"), how);
            if allowed(PROVED) != allowed(How { elevated: true, ..PROVED }) {
                assert!(!allowed(How { elevated: true, ..PROVED }), "{name} {what}");
                closed.insert(name.to_owned());
            }
        }
    }
    // Owners make no clients of their own, or this would be one of them.
    closed.insert("MakeOwnClient".to_owned());
    assert_eq!(table.group("GivesAccess"), closed);
    insta::assert_snapshot!("closed_while_elevated", closed.into_iter().collect::<Vec<_>>().join("\n"));
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
