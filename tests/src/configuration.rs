//! Configuration: complete, strict, and silent about secrets. And what those who run the application ask it.

mod operations;
mod production;
mod secrets;
mod settings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use app::config::Config;
use toml::{Table, Value};

const PROVIDER: [(&str, &str); 4] = [
    ("AUTHN__PROVIDERS__ACME__NAME", "Acme"),
    ("AUTHN__PROVIDERS__ACME__ISSUER", "https://id.acme.example"),
    ("AUTHN__PROVIDERS__ACME__CLIENT_ID", "holdfast"),
    ("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", "a secret"),
];

/// A configuration that production starts with, except for `changes`; an empty text takes a setting away.
fn read(file: Option<&Path>, changes: &[(&str, &str)]) -> Result<Config, String> {
    let whole = [
        ("HTTP__PUBLIC_URL", "https://app.acme.example"),
        ("HTTP__PROXIES", "1"),
        ("DATABASE__URL", "postgres://web:secret@db.acme.example/holdfast?sslmode=verify-full"),
        ("MAIL__URL", "smtps://holdfast:a-secret@mail.acme.example"),
        ("MAIL__FROM", "Acme <no-reply@acme.example>"),
        ("ENCRYPTION__KEY", "cw1DPw0ZtC8uGWuH1nXGQbUlCTmvJHYB8vXtGQyXy2E="),
        ("SECURITY__CONTACT", "mailto:security@acme.example"),
    ];
    let given = whole.iter().chain(&PROVIDER).filter(|(key, _)| !changes.iter().any(|(changed, _)| changed == key));
    let kept = changes.iter().filter(|(_, value)| !value.is_empty());
    let variables = given.chain(kept).map(|(key, value)| (format!("HOLDFAST__{key}"), (*value).to_owned()));
    Config::from_parts(file, variables).map_err(|error| error.to_string())
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("holdfast-{}-{name}", uuid::Uuid::now_v7()));
    std::fs::write(&path, text).unwrap();
    path
}

/// `config/default.toml`, also with what is commented out there put in.
fn defaults() -> (Table, Table) {
    let text = include_str!("../../config/default.toml");
    let uncommented: String = text
        .lines()
        .map(|line| {
            let setting = line.strip_prefix("# ").filter(|rest| {
                let key = rest.split(" = ").next().unwrap_or_default();
                rest.starts_with('[')
                    || (rest.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            });
            format!("{}\n", setting.unwrap_or(line))
        })
        .collect();
    (text.parse().unwrap(), uncommented.parse().unwrap())
}

fn keys(table: &Table, path: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => all.extend(keys(inner, &format!("{path}{key}."))),
            _ => drop(all.insert(format!("{path}{key}"))),
        }
    }
    all
}

/// The sections of a table, each with the dot after its name, and the table itself. The providers have names of the operator's
/// choice, so they are not a section.
fn sections(table: &Table, path: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    if path != "authn.providers." {
        all.insert(path.to_owned());
    }
    for (key, value) in table {
        if let Value::Table(inner) = value {
            all.extend(sections(inner, &format!("{path}{key}.")));
        }
    }
    all
}

#[test]
fn the_defaults_name_every_setting_there_is() {
    let (_, every) = defaults();
    let named = keys(&every, "");
    // An unknown key is refused with the list of known keys. That list is every field of the section.
    let mut known = BTreeSet::new();
    let sections = sections(&every, "");
    for section in &sections {
        let variable = format!("{section}NO_SUCH_KEY").to_uppercase().replace('.', "__");
        let error = read(None, &[(&variable, "1")]).unwrap_err();
        let (_, expected) = error.split_once("expected ").unwrap_or_else(|| panic!("{section}: {error}"));
        let expected = expected.lines().next().unwrap();
        known.extend(expected.split('`').skip(1).step_by(2).map(|key| format!("{section}{key}")));
    }
    known.retain(|key| key != "authn.providers" && !sections.contains(&format!("{key}.")));
    assert_eq!(named, known);
}

#[test]
fn the_defaults_that_are_commented_out_are_the_ones_in_force() {
    let (_, every) = defaults();
    let said = &every["authn"]["providers"]["acme"];
    let config = read(None, &[]).unwrap();
    let provider = &config.authn.providers["acme"];
    assert_eq!(said["max_age_seconds"].as_integer(), Some(provider.max_age_seconds.into()));
    assert_eq!(said["metadata_seconds"].as_integer(), Some(provider.metadata_seconds.into()));
    assert_eq!(said["retry_seconds"].as_integer(), Some(provider.retry_seconds.into()));
    assert_eq!(said["acr_values"].as_array().unwrap().len(), provider.acr_values.len());
    let scopes: Vec<_> = said["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()).collect();
    assert_eq!(scopes, provider.scopes);
}

// control: API-02
#[test]
fn what_is_unknown_of_the_wrong_type_or_missing_stops_the_start_by_name() {
    let word = file("word", "secret of a file");
    let word = word.to_str().unwrap();
    for (changes, named) in [
        (vec![("HTTP__LISTN", "x")], "listn"),
        (vec![("DATABSE__URL", "x")], "databse"),
        (vec![("AUTHN__PROVIDERS__ACME__SECRET", "x")], "secret"),
        (vec![("HTTP__REQUEST_SECONDS", "soon")], "request_seconds"),
        (vec![("HTTP__REQUEST_SECONDS", "-1")], "request_seconds"),
        (vec![("HTTP__PROXIES", "1.5")], "proxies"),
        (vec![("HTTP__LISTEN", "everywhere")], "listen"),
        (vec![("PROFILE", "testing")], "profile"),
        (vec![("DATABASE__URL", "")], "url"),
        (vec![("AUTHN__PROVIDERS__ACME__CLIENT_SECRET", "")], "client_secret"),
        (vec![("DATABASE__URL_FILE", word)], "database.url"),
        (vec![("AUTHN__PROVIDERS__ACME__CLIENT_SECRET_FILE", word)], "authn.providers.acme.client_secret"),
        (vec![("DATABASE__URL", ""), ("DATABASE__URL_FILE", "/no/such/file")], "/no/such/file"),
    ] {
        let error = read(None, &changes).unwrap_err();
        assert!(error.contains(named), "{changes:?}: {error}");
    }
    let taken = file("broken.toml", "[http]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n");
    let error = read(Some(&taken), &[]).unwrap_err();
    assert!(error.contains("line 3") && error.contains("broken.toml"), "{error}");
    assert!(read(Some(Path::new("/no/such/file")), &[]).unwrap_err().contains("/no/such/file"));
}

#[test]
fn the_environment_overrides_the_file_and_the_file_overrides_the_defaults() {
    let file = file("settings.toml", "[http]\nmax_connections = 70\nrequest_seconds = 8\n[log]\nfilter = \"warn\"\n");
    let config = read(Some(&file), &[("HTTP__REQUEST_SECONDS", "9")]).unwrap();
    assert_eq!((config.http.max_connections, config.http.request_seconds, config.http.header_seconds), (70, 9, 10));
    assert_eq!(config.log.filter, "warn");
}
