//! Configuration: `config/default.toml` is complete and embedded; a file and the environment override it.
//!
//! Nothing else in the workspace reads the environment. A key that ends in `_file` names a file that holds the value, so
//! secrets need not stand in the environment. Unknown keys, and values of the wrong type, stop the start.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::operations::SecurityContact;

/// Everything that can be configured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the section of its name, documented where it is defined")]
pub struct Config {
    pub profile: Profile,
    pub log: Log,
    pub http: web::Config,
    pub database: tenancy::Config,
    pub authn: authn::Config,
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
    #[error("{0} is no TOML: {1}")]
    Toml(String, Box<toml::de::Error>),
    #[error("{0}")]
    Value(Box<toml::de::Error>),
    #[error("{0}: set this, or set {0}_file, but not both")]
    Both(String),
    #[error("profile production: {0}")]
    Unsafe(&'static str),
}

impl Config {
    /// Reads the embedded defaults, then the file `HOLDFAST_CONFIG` names, then `HOLDFAST__SECTION__KEY` variables.
    pub fn read() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let (file, variables) = (std::env::var("HOLDFAST_CONFIG").ok(), std::env::vars());
        Self::from_parts(file.as_deref().map(Path::new), variables)
    }

    /// The same from given parts.
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
                set(&mut table, &path.split("__").collect::<Vec<_>>(), scalar(value));
            }
        }
        read_files(&mut table, "")?;
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
        if !self.production() {
            return Ok(());
        }
        let url = &self.http.public_url;
        if !url.starts_with("https://") || url.ends_with('/') {
            return Err(ConfigError::Unsafe("http.public_url must be https:// and end without a slash"));
        }
        if self.authn.providers.is_empty() {
            return Err(ConfigError::Unsafe("authn.providers is empty; nobody could sign in"));
        }
        if self.security.contact.ends_with("@example.com") {
            return Err(ConfigError::Unsafe("security.contact is the placeholder; reports would go nowhere"));
        }
        Ok(())
    }
}

fn parse(name: &str, text: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error| ConfigError::Toml(name.to_owned(), Box::new(error)))
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

fn set(table: &mut Table, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert((*key).to_owned(), value);
        }
        [key, rest @ ..] => {
            let inner = table.entry(*key).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// A variable is a number or a truth value where it reads like one, otherwise text.
fn scalar(text: String) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Integer(number);
    }
    match text.as_str() {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text),
    }
}

/// Replaces each `key_file` by `key` with the content of that file.
fn read_files(table: &mut Table, path: &str) -> Result<(), ConfigError> {
    let named: Vec<String> = table.keys().filter(|key| key.ends_with("_file")).cloned().collect();
    for name in named {
        let Some(Value::String(file)) = table.remove(&name) else { continue };
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
