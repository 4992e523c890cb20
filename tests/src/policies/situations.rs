//! How somebody comes to ask, and what is closed to them then: every rule of this kind in one reviewed table.

use super::*;
use crate::harness::registry;

const CODE: How = How { totp_enrolled: true, totp_age: Some(10), ..NO_PASSKEY };

const SITUATIONS: [(&str, How); 13] = [
    ("passkey now", PROVED),
    ("passkey before", AN_HOUR_AGO),
    ("not proved", NOT_PROVED),
    ("no passkey", NO_PASSKEY),
    ("no passkey old", How { auth_age: 7_200, ..NO_PASSKEY }),
    ("code now", CODE),
    ("code before", How { totp_age: Some(3_600), ..CODE }),
    ("no code", How { totp_age: None, ..CODE }),
    ("recovered", How { recovery_age: Some(60), ..NOT_PROVED }),
    ("by link", How { flags: &["by_link"], ..NO_PASSKEY }),
    ("by SSO", How { sso_organization: Some("Organization::\"a\""), ..PROVED }),
    ("not taken", How { flags: &["unaccepted"], ..PROVED }),
    ("unusual", How { risk: 31, ..PROVED }),
];

/// All of them, with those that the tests of features register.
fn situations() -> Vec<(&'static str, How)> {
    let mut added: Vec<_> = inventory::iter::<Situation>().map(|one| (one.name, one.how)).collect();
    added.sort_by_key(|(name, _)| *name);
    SITUATIONS.into_iter().chain(added).collect()
}

// control: IDN-08
// control: IDN-09
// control: IDN-10
// control: IDN-11
// control: IDN-12
// control: IDN-15
// control: POL-06
// control: POL-07
#[test]
fn what_each_way_to_come_closes_is_the_reviewed_table() {
    let (table, situations) = (Table::load(), situations());
    let mut text = String::new();
    for role in ["owner", "editor"] {
        write!(text, "{:40}", format!("{role}: allowed in …")).unwrap();
        for (situation, _) in &situations {
            write!(text, " {situation:14}").unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        for action in table.actions() {
            let name = action.id().unescaped().to_owned();
            let kind = table.resource_type(&action);
            let principal = if table.takes_users(&action) { "User::\"me\"" } else { "Member::\"me\"" };
            for (which, resource) in resources(&kind) {
                let allows = |how| table.allows(principal, &name, resource, world(role), how);
                let answers: Vec<_> = situations.iter().map(|(_, how)| allows(*how)).collect();
                if !answers.contains(&true) {
                    continue;
                }
                write!(text, "{:40}", format!("{name} {kind}: {which}")).unwrap();
                for allowed in answers {
                    write!(text, " {:14}", if allowed { "yes" } else { "-" }).unwrap();
                }
                text.truncate(text.trim_end().len());
                text.push('\n');
            }
        }
        text.push('\n');
    }
    insta::assert_snapshot!("situation_x_action", text);
}

// control: POL-07
#[test]
fn nobody_does_alone_what_takes_two_people_even_if_other_policies_permit_it() {
    let mut table = Table::load();
    let careless = r#"permit (principal is Member, action, resource) when { principal in Role::"owner" };"#;
    let id = cedar_policy::PolicyId::new("careless");
    table.policies.add(cedar_policy::Policy::parse(Some(id), careless).unwrap()).unwrap();
    let alone = |action: &str, resource: &str| table.allows("Member::\"me\"", action, resource, world("owner"), PROVED);
    for action in ["DeleteOrganizationAlone", "StopEnforcingSsoAlone"] {
        assert!(!alone(action, "Organization::\"a\""), "{action}");
    }
    for (role, expected) in [("owner", false), ("admin", false), ("viewer", true)] {
        assert_eq!(alone("ResetFactorsAlone", &format!("Member::\"{role}\"")), expected, "{role}");
    }
    assert!(!alone("Approve", "Approval::\"mine\""), "nor both of the two");
    assert!(!alone("Approve", "Approval::\"by a viewer\""), "nor for somebody who may not any more");
}

// control: IDN-09
#[test]
fn privileged_roles_may_do_nothing_in_their_organization_until_they_have_proved_a_passkey() {
    let table = Table::load();
    for action in table.actions() {
        for (_, resource) in resources(&table.resource_type(&action)) {
            if table.takes_users(&action) {
                continue;
            }
            let principal = "Member::\"me\"";
            for role in ROLES {
                let allows = |how| table.allows(principal, action.id().unescaped(), resource, world(role), how);
                assert!(!allows(NOT_PROVED), "{role} {action} {resource}: has one, and has not proved it");
                let without = allows(NO_PASSKEY);
                assert!(!without || !PRIVILEGED.contains(&role), "{role} {action} {resource}");
                // Those whose role does not ask for one lose nothing but what takes a fresh proof.
                if !PRIVILEGED.contains(&role) {
                    assert_eq!(without, allows(AN_HOUR_AGO), "{role} {action} {resource}");
                }
            }
        }
    }
}

// control: IDN-10
#[test]
fn a_proof_is_fresh_for_five_minutes() {
    let table = Table::load();
    let sensitive = [
        ("ChangeMemberRole", "Member::\"me\"", "Member::\"viewer\""),
        ("GrantOwnership", "Member::\"me\"", "Member::\"viewer\""),
        ("RemoveMember", "Member::\"me\"", "Member::\"viewer\""),
        ("EndMemberSessions", "Member::\"me\"", "Member::\"viewer\""),
        ("RemovePasskey", "User::\"me\"", "Passkey::\"mine\""),
        ("EnrolPasskey", "User::\"me\"", "Account::\"mine\""),
    ];
    for (action, principal, resource) in sensitive {
        for (age, expected) in [(0, true), (300, true), (301, false), (40_000, false)] {
            let how = How { passkey_age: Some(age), ..PROVED };
            assert_eq!(table.allows(principal, action, resource, world("owner"), how), expected, "{action} at {age}");
        }
        for how in [NOT_PROVED, How { risk: 31, ..PROVED }] {
            assert!(!table.allows(principal, action, resource, world("owner"), how), "{action} without, or unusual");
        }
    }
}

// control: IDN-09
#[test]
fn the_first_passkey_is_made_soon_after_sign_in() {
    let table = Table::load();
    for (auth_age, expected) in [(0, true), (900, true), (901, false)] {
        let how = How { auth_age, ..NO_PASSKEY };
        let allowed = table.allows("User::\"me\"", "EnrolPasskey", "Account::\"mine\"", world("viewer"), how);
        assert_eq!(allowed, expected, "{auth_age}");
    }
}

// control: IDN-11
#[test]
fn a_recovery_lets_a_passkey_be_made_and_allows_nothing_else() {
    let table = Table::load();
    let how = |age| How { recovery_age: Some(age), ..NOT_PROVED };
    for action in table.actions() {
        let kind = table.resource_type(&action);
        let own_account = table.schema.principals_for_action(&action).unwrap().any(|kind| kind.to_string() == "User");
        let principal = if own_account { "User::\"me\"" } else { "Member::\"me\"" };
        for (_, resource) in resources(&kind) {
            for role in ROLES {
                let name = action.id().unescaped();
                let allowed = table.allows(principal, name, resource, world(role), how(60));
                let wanted =
                    ["ListPasskeys", "EnrolPasskey", "StorePasskey"].contains(&name) && resource == "Account::\"mine\"";
                assert_eq!(allowed, wanted, "{role} {name} {resource}");
            }
        }
    }
    let allowed = table.allows("User::\"me\"", "EnrolPasskey", "Account::\"mine\"", world("owner"), how(901));
    assert!(!allowed, "for a quarter of an hour");
}

// control: IDN-11
#[test]
fn a_code_is_a_second_factor_and_no_passkey() {
    let table = Table::load();
    for action in table.actions() {
        let kind = table.resource_type(&action);
        let of_user = table.takes_users(&action);
        let principal = if of_user { "User::\"me\"" } else { "Member::\"me\"" };
        for (_, resource) in resources(&kind) {
            for role in ROLES {
                let name = action.id().unescaped();
                let allowed = |how| table.allows(principal, name, resource, world(role), how);
                let code = How { totp_enrolled: true, totp_age: Some(10), ..NOT_PROVED };
                let wanted = allowed(AN_HOUR_AGO) && (of_user || !PRIVILEGED.contains(&role));
                // What has just proved to be its owner makes a first factor, and with a passkey there is none to make.
                let wanted = wanted && !["EnrolPasskey", "AddAuthenticator"].contains(&name);
                assert_eq!(allowed(code), wanted, "{role} {name} {resource}");
                let not_proved = How { totp_enrolled: true, ..NO_PASSKEY };
                assert!(!allowed(not_proved), "a person with an app must verify it: {role} {name} {resource}");
            }
        }
    }
    for (name, age, passkey, expected) in [
        ("RemoveAuthenticator", 300, false, true),
        ("RemoveAuthenticator", 301, false, false),
        ("RemoveAuthenticator", 10, true, false),
        ("GenerateRecoveryCodes", 300, false, true),
        ("GenerateRecoveryCodes", 10, true, false),
        ("RemovePasskey", 10, false, false),
    ] {
        let how = How { enrolled: passkey, totp_enrolled: true, totp_age: Some(age), ..NO_PASSKEY };
        let resource = if name == "RemovePasskey" { "Passkey::\"mine\"" } else { "Account::\"mine\"" };
        assert_eq!(
            table.allows("User::\"me\"", name, resource, world("viewer"), how),
            expected,
            "{name} {age} {passkey}"
        );
    }
}

// control: IDN-09
// control: IDN-11
// control: IDN-12
#[test]
fn a_weaker_factor_makes_no_stronger_one() {
    let table = Table::load();
    let has_passkey = How { enrolled: true, ..CODE };
    let recovered = How { recovery_age: Some(60), ..NOT_PROVED };
    let link = |how| How { flags: &["by_link"], ..how };
    for (proved, how, [passkey, app, codes]) in [
        ("the provider", NO_PASSKEY, [true, true, false]),
        ("the provider, long ago", How { auth_age: 7_200, ..NO_PASSKEY }, [false; 3]),
        ("a code", CODE, [true; 3]),
        ("a code, of somebody with a passkey", has_passkey, [false; 3]),
        ("a passkey", PROVED, [true; 3]),
        ("a passkey, long ago", AN_HOUR_AGO, [false; 3]),
        ("a recovery", recovered, [true, false, false]),
        ("a link", link(NO_PASSKEY), [false; 3]),
        ("a link and a code", link(CODE), [false; 3]),
        ("a link and a recovery", link(recovered), [false; 3]),
        ("a link and a passkey", link(PROVED), [true; 3]),
    ] {
        for (made, expected) in [("EnrolPasskey", passkey), ("AddAuthenticator", app), ("GenerateRecoveryCodes", codes)]
        {
            let allowed = table.allows("User::\"me\"", made, "Account::\"mine\"", world("viewer"), how);
            assert_eq!(allowed, expected, "{made} with {proved}");
        }
    }
}

// control: IDN-10
// control: IDN-18
#[test]
fn no_client_is_offered_what_takes_a_passkey() {
    let fresh = Table::load().group("NeedsFreshPasskey");
    assert!(fresh.contains("DeleteContact") && fresh.contains("EditRestrictedFields"), "{fresh:?}");
    let offered: Vec<_> = registry().scopes().into_iter().filter(|scope| fresh.contains(*scope)).collect();
    assert!(offered.is_empty(), "{offered:?}");
}

// control: IDN-12
// control: IDN-15
#[test]
fn a_way_of_signing_in_only_restricts_actions() {
    let table = Table::load();
    let mut closed = Vec::new();
    for action in table.actions() {
        let name = action.id().unescaped();
        let of_user = table.takes_users(&action);
        let principal = if of_user { "User::\"me\"" } else { "Member::\"me\"" };
        for (what, resource) in resources(&table.resource_type(&action)) {
            let allowed = |how| table.allows(principal, name, resource, world("owner"), how);
            let unaccepted = How { flags: &["unaccepted"], ..PROVED };
            assert!(of_user || !allowed(unaccepted), "an organization that does not accept it: {name} {resource}");
            for (way, how) in [
                ("a link", How { flags: &["by_link"], ..NO_PASSKEY }),
                ("its own provider", How { sso_organization: Some("Organization::\"a\""), ..PROVED }),
                ("another provider", How { sso_organization: Some("Organization::\"b\""), ..PROVED }),
            ] {
                let usual = How { flags: &[], sso_organization: None, ..how };
                if allowed(usual) && !allowed(how) {
                    closed.push(format!("{name} {what}: {way}"));
                }
            }
        }
    }
    closed.sort();
    assert_eq!(
        closed,
        [
            "AcceptInvitation as a viewer: another provider",
            "AcceptInvitation as an owner: a link",
            "AcceptInvitation as an owner: another provider",
            "AddAuthenticator own: a link",
            "CreateOrganization own: a link",
            "CreateOrganization own: another provider",
            "CreateOrganization own: its own provider",
            "EnrolPasskey own: a link",
        ]
    );
}
