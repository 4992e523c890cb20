//! How somebody comes to ask, and what is closed to them then: every rule of this kind in one reviewed table.

use super::*;

const CODE: How = How { totp_enrolled: true, totp_age: Some(10), ..NO_PASSKEY };

const SITUATIONS: [(&str, How); 14] = [
    ("passkey now", PROVED),
    ("passkey before", AN_HOUR_AGO),
    ("not proved", NOT_PROVED),
    ("no passkey", NO_PASSKEY),
    ("no passkey old", How { auth_age: 7_200, ..NO_PASSKEY }),
    ("code now", CODE),
    ("code before", How { totp_age: Some(3_600), ..CODE }),
    ("no code", How { totp_age: None, ..CODE }),
    ("recovered", How { recovery_age: Some(60), ..NOT_PROVED }),
    ("by link", How { by_link: true, ..NO_PASSKEY }),
    ("by sign-on", How { sign_on: Some("Organization::\"a\""), ..PROVED }),
    ("not taken", How { unaccepted: true, ..PROVED }),
    ("unusual", How { risk: 31, ..PROVED }),
    ("elevated", How { elevated: true, ..PROVED }),
];

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
    let table = Table::load();
    let mut text = String::new();
    for role in ["owner", "editor"] {
        write!(text, "{:40}", format!("{role}: allowed in …")).unwrap();
        for (situation, _) in SITUATIONS {
            write!(text, " {situation:14}").unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        for action in table.actions() {
            let name = action.id().unescaped().to_owned();
            let kind = table.resource_type(&action);
            let principal = if table.takes_users(&action) { "User::\"me\"" } else { "Member::\"me\"" };
            for (which, resource) in resources(&kind) {
                let allows = |how| table.allows(principal, &name, resource, &world(role), how);
                let answers: Vec<_> = SITUATIONS.iter().map(|(_, how)| allows(*how)).collect();
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
