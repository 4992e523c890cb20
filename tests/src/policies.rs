//! The whole permission table, asked of the policies themselves and kept as a reviewed file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression, Schema,
};

const ROLES: [&str; 7] = ["owner", "admin", "billing_admin", "finance", "creator", "editor", "viewer"];

/// An engine of our own, so that the table does not depend on the one it judges.
struct Table {
    schema: Schema,
    policies: PolicySet,
}

impl Table {
    fn load() -> Self {
        let sources = app::policies();
        let schema = sources.iter().map(|source| source.schema).collect::<Vec<_>>().join("\n");
        let policies = sources.iter().map(|source| source.policies).collect::<Vec<_>>().join("\n");
        Self { schema: schema.parse().unwrap(), policies: policies.parse().unwrap() }
    }

    fn allows(&self, principal: &str, action: &str, resource: &str, entities: &[Entity], risk: i64) -> bool {
        let context = Context::from_pairs([
            ("auth_age".to_owned(), RestrictedExpression::new_long(60)),
            ("methods".to_owned(), RestrictedExpression::new_set([])),
            ("risk_score".to_owned(), RestrictedExpression::new_long(risk)),
        ])
        .unwrap();
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

    fn actions(&self) -> BTreeSet<EntityUid> {
        self.schema.actions().cloned().collect()
    }
}

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
    entity(name, &[&role_uid, &organization_uid], &attributes)
}

fn contact(name: &str, workspace: &str, creator: &str) -> Entity {
    entity(name, &[workspace], &[("created_by", RestrictedExpression::new_entity_uid(uid(creator)))])
}

/// `me` with the role, in organization `a`; everything there is in `a` and, to be refused, in `b`.
fn world(role: &str) -> Vec<Entity> {
    let account = |name, owner| entity(name, &[], &[("owner", RestrictedExpression::new_entity_uid(uid(owner)))]);
    let mut entities = vec![
        account("Account::\"mine\"", "User::\"me\""),
        account("Account::\"theirs\"", "User::\"other\""),
        entity("Workspace::\"a\"", &["Organization::\"a\""], &[]),
        entity("Workspace::\"b\"", &["Organization::\"b\""], &[]),
        contact("Contact::\"mine\"", "Workspace::\"a\"", "Member::\"me\""),
        contact("Contact::\"theirs\"", "Workspace::\"a\"", "Member::\"other\""),
        contact("Contact::\"foreign\"", "Workspace::\"b\"", "Member::\"me\""),
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
        "Organization" => vec![("own", "Organization::\"a\""), ("foreign", "Organization::\"b\"")],
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
        let principal = if kind == "Account" { "User::\"me\"" } else { "Member::\"me\"" };
        for (which, resource) in resources(&kind) {
            write!(text, "{name:22} {:26}", format!("{kind}: {which}").trim_start_matches("Account: ")).unwrap();
            for role in ROLES {
                let allowed = table.allows(principal, &name, resource, &world(role), 0);
                write!(text, " {:13}", if allowed { "yes" } else { "-" }).unwrap();
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
    for action in table.actions() {
        let kind = table.resource_type(&action);
        for (which, resource) in resources(&kind) {
            if which == "foreign" {
                assert!(
                    !table.allows("Member::\"me\"", action.id().unescaped(), resource, &world("owner"), 0),
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
            let allowed = table.allows("Member::\"me\"", action, "Contact::\"theirs\"", &world("owner"), risk);
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
            if kind != "Account" && which != "made by oneself" {
                let allowed = table.allows("Member::\"me\"", action.id().unescaped(), resource, &entities, 0);
                assert!(!allowed, "{action} on {resource}");
            }
        }
    }
}
