//! What production accepts of each setting: one table, which is checked at the start and printed in the documentation.

use std::collections::BTreeSet;
use std::fmt::Write;

use app::config::production;
use toml::{Table, Value};

use super::{defaults, keys, read};

/// Values that production does not start with, of the settings whose rule is a sentence.
const UNSAFE: [(&str, &[&str]); 11] = [
    (
        "http.listen",
        &[
            "0.0.0.0:8080",
            "[::]:8080",
            "[::ffff:0.0.0.0]:8080",
            "198.51.100.7:80",
            "[2001:db8::1]:80",
            "169.254.1.1:80",
        ],
    ),
    (
        "http.public_url",
        &[
            "",
            "http://app.acme.example",
            "https://app.acme.example/",
            "https://app.acme.example/base",
            "https://",
            "https://a@b",
        ],
    ),
    ("http.proxies", &["", "9"]),
    (
        "database.url",
        &[
            "postgres://web:a-word@db.acme.example/x",
            "postgres://web:a-word@db.acme.example/x?sslmode=disable",
            "postgres://web:a-word@db.acme.example/x?sslmode=allow",
            "postgres://web:a-word@db.acme.example/x?sslmode=prefer",
            "postgres://web:a-word@db.acme.example/x?ssl-mode=disable",
            "postgres://web:a-word@db.acme.example/x?sslmode=require",
            "postgres://web:a-word@db.acme.example/x?sslmode=verify-full&sslmode=disable",
            "postgres://web:a-word@db.acme.example/x?sslmode=verify-ca&sslrootcert=/ca.pem",
            "postgres://web:a-word@127.0.0.1/x?host=db.acme.example",
            "postgres://web:a-word@127.0.0.1/x?hostaddr=198.51.100.7",
            "postgres://web:a-word@10.0.0.7/x",
            "postgres://web:a-word@localhost.acme.example/x",
        ],
    ),
    (
        "mail.url",
        &[
            "smtp://me:a-word@mail.acme.example",
            "smtp://me:a-word@mail.acme.example?tls=opportunistic",
            "smtp://me:a-word@mail.acme.example?tls=none#?tls=required",
            "smtp://me:a-word@mail.acme.example?tls=opportunistic&tls=required",
            "smtp://me:a-word@10.0.0.7:25",
            "http://me:a-word@mail.acme.example",
        ],
    ),
    ("mail.from", &["nobody", "Holdfast <no-reply@example.com>", "Holdfast <no-reply@EXAMPLE.com>"]),
    ("log.filter", &["off", "error", "debug", "trace", "info,authn=off", "info,hyper=trace", "app=info"]),
    ("security.contact", &["", "security@acme.example", "mailto:security@example.com", "http://acme.example"]),
    ("security.policy", &["http://acme.example/security"]),
    ("authn.providers.*.name", &[" "]),
    ("authn.session.absolute_seconds", &["1799"]),
];

/// Values that it starts with, of the same.
const SAFE: [(&str, &[&str]); 6] = [
    ("http.listen", &["127.0.0.1:8080", "[::1]:8080", "10.1.2.3:8080", "192.168.1.1:80", "[fd00::1]:80"]),
    ("http.proxies", &["0", "8"]),
    (
        "database.url",
        &[
            "postgres://web:a-word@db.acme.example/x?sslmode=verify-full",
            "postgres://web:a-word@db.acme.example/x?sslmode=verify-full&sslrootcert=/ca.pem",
            "postgres://web:a-word@127.0.0.1/x",
            "postgres://web:a-word@[::1]/x?sslmode=disable",
            "postgres://web:a-word@localhost/x",
            "postgres://web@%2Fvar%2Frun%2Fpostgresql/x",
            "postgres://web@db.acme.example/x?host=/var/run/postgresql",
        ],
    ),
    (
        "mail.url",
        &["smtps://me:a-word@mail.acme.example", "smtp://me@mail.acme.example:587?tls=required", "smtp://127.0.0.1:25"],
    ),
    ("log.filter", &["info", "warn", "info,sqlx=warn", "WARN,app=info"]),
    ("security.policy", &["https://acme.example/security"]),
];

fn variable(name: &str) -> String {
    name.replace('*', "acme").replace('.', "__").to_uppercase()
}

fn with(name: &str, value: &str) -> Result<(), String> {
    read(None, &[(&variable(name), value)]).map(drop)
}

#[test]
fn every_setting_has_its_row_and_no_row_is_of_another() {
    let (_, every) = defaults();
    let settings: BTreeSet<_> = keys(&every, "").iter().map(|name| name.replace(".acme.", ".*.")).collect();
    let rows: BTreeSet<_> = production().iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(rows, settings, "give each setting a row in the SETTINGS of its crate");
    for row in production() {
        assert!(row.why.ends_with('.') && row.why.len() > 20, "{}: say why", row.name);
    }
}

/// Names of the settings that are numbers.
fn numbers(table: &Table, path: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => all.extend(numbers(inner, &format!("{path}{key}."))),
            Value::Integer(_) => drop(all.insert(format!("{path}{key}"))),
            _ => {}
        }
    }
    all
}

#[test]
fn production_starts_within_the_bounds_of_every_number_and_not_beyond() {
    let mut tried = BTreeSet::new();
    for row in production() {
        let Some((least, most)) = row.bounds else { continue };
        tried.insert(row.name.to_owned());
        let beyond = [least.checked_sub(1), most.checked_add(1)];
        for value in beyond.into_iter().flatten() {
            let error = with(row.name, &value.to_string()).unwrap_err();
            let said =
                format!("profile production: {} is {value}, and must be {least} to {most}. {}", row.name, row.why);
            assert!(error.contains(&said), "{error}");
        }
        for value in [least, most] {
            let refused = with(row.name, &value.to_string()).err().unwrap_or_default();
            assert!(!refused.contains(&format!("{} is", row.name)), "{refused}");
        }
    }
    // How many proxies there are is for the operator to say, so this number has no bounds.
    let mut numbers = numbers(&defaults().1, "");
    assert!(numbers.remove("http.proxies"));
    let numbers = numbers.into_iter().map(|name| name.replace(".acme.", ".*."));
    let checked = |name: &String| production().iter().any(|row| row.name == name && row.checked);
    assert_eq!(tried, numbers.filter(checked).collect(), "every number that is checked has bounds");
}

#[test]
fn production_starts_with_nothing_that_a_sentence_refuses_and_tells_no_secret() {
    let checked: BTreeSet<_> =
        production().iter().filter(|row| row.checked && row.bounds.is_none()).map(|row| row.name).collect();
    assert_eq!(UNSAFE.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), checked, "say what is unsafe");
    for (name, values) in UNSAFE {
        for value in values {
            let error = with(name, value).unwrap_err();
            assert!(error.starts_with("profile production: ") && error.contains(name), "{name} {value}: {error}");
            assert!(!error.contains("a-word"), "{error}");
            let development = read(None, &[(&variable(name), value), ("PROFILE", "development")]);
            assert!(development.is_ok(), "{name} {value}: {}", development.err().unwrap_or_default());
        }
    }
    for (name, values) in SAFE {
        for value in values {
            assert_eq!(with(name, value), Ok(()), "{name} {value}");
        }
    }
    let container = [("HTTP__LISTEN", "0.0.0.0:8080"), ("HTTP__TLS", "in_front")];
    assert!(read(None, &container).is_ok(), "in a container, if the operator confirms it");
    assert!(with("http.tls", "none").unwrap_err().contains("in_front"));
}

#[test]
fn production_says_all_that_is_unsafe_at_once() {
    let changes = [
        ("HTTP__LISTEN", "0.0.0.0:8080"),
        ("HTTP__PROXIES", ""),
        ("AUTHN__LIMITS__SIGN_INS_PER_MINUTE", "60000"),
        ("AUTHN__LIMITS__FREE_PERCENT", "100"),
        ("AUTHN__RECOVERY__WAIT_SECONDS", "0"),
        ("DATABASE__URL", "postgres://web:a-word@db.acme.example/x?sslmode=disable"),
    ];
    let error = read(None, &changes).unwrap_err();
    for (name, _) in changes {
        assert!(error.contains(&name.to_lowercase().replace("__", ".")), "{name}: {error}");
    }
}

/// The page of the documentation, from the table.
fn page() -> String {
    let set = Value::Table(defaults().0);
    let default = |name: &str| {
        let value = name.split('.').try_fold(&set, |value, part| value.get(part));
        value.map(|value| format!("`{value}`")).unwrap_or_default()
    };
    let mut page = String::from(
        "# What production accepts\n\n\
         With `profile = \"production\"`, which is the default, the program does not start on a setting outside\n\
         of this table. It says which, what is accepted and why, all at once. The table is made from the code\n\
         that checks it (`SETTINGS` of each crate); a test compares them, and\n\
         `INSTA_UPDATE=always bin/test reviewed` writes it. What each setting does is in\n\
         [config/default.toml](../config/default.toml).\n\n\
         | Setting | Default | Production accepts | Why |\n|---|---|---|---|\n",
    );
    for row in production() {
        writeln!(page, "| `{}` | {} | {} | {} |", row.name, default(row.name), row.accepts, row.why).unwrap();
    }
    page
}

#[test]
fn the_reviewed_page_of_production_settings_is_the_table_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/production-settings.md");
    if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
        std::fs::write(path, page()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, page(), "read the difference, then: INSTA_UPDATE=always bin/test reviewed");
}
