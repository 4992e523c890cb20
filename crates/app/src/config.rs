//! Configuration: `config/default.toml` is complete and embedded; a file and the environment override it.
//!
//! Nothing else in the workspace reads the environment. A key that ends in `_file` names a file that holds the value, so
//! secrets need not stand in the environment. Unknown keys, and values of the wrong type, stop the start.

use std::path::Path;

use serde::Deserialize;
use settings::{Refusal, Row, Rule, Setting, refusals, rows};
use toml::{Table, Value};

use crate::base::SecurityContact;

/// Keys whose values must never be shown.
const SECRETS: [&str; 4] = ["url", "client_secret", "key", "previous_key"];

/// Everything that can be configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the section of its name, documented where it is defined")]
pub struct Config {
    pub profile: Profile,
    pub log: Log,
    pub http: web::Config,
    pub database: tenancy::Config,
    pub mail: mail::Config,
    pub retention: jobs::RetentionConfig,
    pub encryption: encryption::Config,
    pub authn: authn::Config,
    pub tokens: tokens::Config,
    pub security: SecurityContact,
}

/// How strict the start is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Refuses to start on anything unsafe.
    Production,
    /// Allows plain HTTP on loopback and a powerful database login, which is then bound all the same.
    Development,
}

/// `[log]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What to log, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConfigError {
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("{0}, line {1}: {2}")]
    Toml(String, usize, String),
    #[error("{0}")]
    Value(Box<toml::de::Error>),
    #[error("{0}: set this, or set {0}_file, but not both")]
    Both(String),
    #[error("{0}: there is no such section")]
    NoSection(String),
    #[error("{0}: this names a file and must be text in quotes")]
    FileName(String),
    #[error("{0}: this is a secret and must be text in quotes")]
    Secret(String),
    #[error("profile production: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Unsafe(Vec<Refusal>),
}

impl Config {
    /// Reads the embedded defaults, then the file that `HOLDFAST_CONFIG` names, then `HOLDFAST__SECTION__KEY` variables.
    ///
    /// # Errors
    ///
    /// A source cannot be read, a key is unknown or has a wrong value, or the profile `production` has an unsafe setting.
    pub fn read() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let (file, variables) = (std::env::var_os("HOLDFAST_CONFIG"), std::env::vars_os());
        // A name that is no text is none of ours; a value that is none is refused where it is used.
        let texts =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into())));
        Self::from_parts(file.as_deref().map(Path::new), texts)
    }

    /// The same from a file and variables that are given.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_parts(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = parse("config/default.toml", include_str!("../../../config/default.toml"))?;
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File(name.clone(), error))?;
            merge(&mut table, parse(&name, &text)?);
        }
        for (name, value) in variables {
            if let Some(path) = name.strip_prefix("HOLDFAST__") {
                let path = path.to_ascii_lowercase();
                set(&mut table, &path.split("__").collect::<Vec<_>>(), value)
                    .map_err(|()| ConfigError::NoSection(name.clone()))?;
            }
        }
        read_files(&mut table, "")?;
        check_secrets(&table, "")?;
        let config: Self = Value::Table(table).try_into().map_err(|error| ConfigError::Value(Box::new(error)))?;
        config.check()?;
        Ok(config)
    }

    /// Whether this is production.
    #[must_use]
    pub fn production(&self) -> bool {
        self.profile == Profile::Production
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refused = if self.production() { self.refusals() } else { Vec::new() };
        if refused.is_empty() { Ok(()) } else { Err(ConfigError::Unsafe(refused)) }
    }

    fn refusals(&self) -> Vec<Refusal> {
        let mut all = refusals(SETTINGS, self);
        all.extend(refusals(web::SETTINGS, &self.http));
        all.extend(refusals(tenancy::SETTINGS, &self.database));
        all.extend(refusals(mail::SETTINGS, &self.mail));
        all.extend(refusals(encryption::SETTINGS, &self.encryption));
        all.extend(refusals(authn::SETTINGS, &self.authn));
        all.extend(refusals(tokens::SETTINGS, &self.tokens));
        all.extend(refusals(jobs::SETTINGS, &self.retention));
        all
    }
}

/// What production accepts of every setting there is, in the order of their sections.
#[must_use]
pub fn production() -> Vec<Row> {
    let sections = [
        rows(SETTINGS),
        rows(web::SETTINGS),
        rows(tenancy::SETTINGS),
        rows(mail::SETTINGS),
        rows(encryption::SETTINGS),
        rows(authn::SETTINGS),
        rows(tokens::SETTINGS),
        rows(jobs::SETTINGS),
    ];
    sections.into_iter().flatten().collect()
}

const SETTINGS: &[Setting<Config>] = &[
    Setting {
        name: "profile",
        rule: Rule::Everywhere("`production`, which is the default"),
        why: "In `development` nothing of this page is checked.",
    },
    Setting {
        name: "log.filter",
        rule: Rule::Must("`info` or `warn`, and for single modules no other level than these", |config| {
            is_log_filter(&config.log.filter)
        }),
        why: "With less, nobody learns of an attack; with more, libraries log what they send and receive.",
    },
    Setting {
        name: "security.contact",
        rule: Rule::Must("a mailto: or https: address of yours, not at example.com", |config| {
            is_contact(&config.security.contact)
        }),
        why: "People who find a vulnerability need somebody to tell.",
    },
    Setting {
        name: "security.policy",
        rule: Rule::Must("unset, or an https: address", |config| {
            config.security.policy.as_ref().is_none_or(|policy| policy.starts_with("https://"))
        }),
        why: "An attacker on the network could change it.",
    },
];

fn is_log_filter(filter: &str) -> bool {
    let is_level = |level: &str| ["info", "warn"].contains(&level.trim().to_ascii_lowercase().as_str());
    let directives = || filter.split(',').map(str::trim);
    directives().any(is_level) && directives().all(|one| is_level(one.rsplit('=').next().unwrap_or_default()))
}

fn is_contact(contact: &str) -> bool {
    let known = contact.starts_with("mailto:") || contact.starts_with("https://");
    known && !contact.to_ascii_lowercase().ends_with("@example.com") && !contact.starts_with("https://example.com")
}

fn parse(name: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| {
        // SECURITY: the error's own text quotes the line, and there may be a secret on it.
        let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.split('\n').count());
        ConfigError::Toml(name.to_owned(), line, error.message().to_owned())
    })
}

/// Values of a later source stand; tables are merged.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Errs where the path leads through something that is no section.
fn set(table: &mut Table, path: &[&str], text: String) -> Result<(), ()> {
    match path {
        [] => Err(()),
        [key] => {
            let value = typed(key, table.get(*key), text);
            table.insert((*key).to_owned(), value);
            Ok(())
        }
        [key, rest @ ..] => match table.entry(*key).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, text),
            _ => Err(()),
        },
    }
}

/// A variable is text, also if all of it is digits, as a secret may be. It is a number where the defaults have one, and
/// where they cannot: those of a provider are all times and end in `_seconds`, and `proxies` has none.
fn typed(key: &str, default: Option<&Value>, text: String) -> Value {
    let wants_number = matches!(default, Some(Value::Integer(_))) || key.ends_with("_seconds") || key == "proxies";
    match text.parse() {
        Ok(number) if wants_number => Value::Integer(number),
        _ => Value::String(text),
    }
}

/// SECURITY: a secret of another type would be quoted in the error that says so.
fn check_secrets(table: &Table, path: &str) -> Result<(), ConfigError> {
    for (key, value) in table {
        match value {
            Value::Table(inner) => check_secrets(inner, &format!("{path}{key}."))?,
            Value::String(_) => {}
            _ if SECRETS.contains(&key.as_str()) => return Err(ConfigError::Secret(format!("{path}{key}"))),
            _ => {}
        }
    }
    Ok(())
}

/// Replaces each `key_file` by `key` with the content of that file.
fn read_files(table: &mut Table, path: &str) -> Result<(), ConfigError> {
    let named: Vec<String> = table.keys().filter(|key| key.ends_with("_file")).cloned().collect();
    for name in named {
        let Some(Value::String(file)) = table.remove(&name) else {
            return Err(ConfigError::FileName(format!("{path}{name}")));
        };
        let key = name.trim_end_matches("_file").to_owned();
        if table.contains_key(&key) {
            return Err(ConfigError::Both(format!("{path}{key}")));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| ConfigError::File(file, error))?;
        table.insert(key, Value::String(text.trim_end().to_owned()));
    }
    for (key, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            read_files(inner, &format!("{path}{key}."))?;
        }
    }
    Ok(())
}
