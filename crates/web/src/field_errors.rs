use std::collections::BTreeMap;

use crate::FieldName;

/// The errors of a form, by field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(BTreeMap<FieldName, String>);

impl FieldErrors {
    /// Creates a set with one error.
    #[must_use]
    pub fn of(field: FieldName, error: impl Into<String>) -> Self {
        Self(BTreeMap::from([(field, error.into())]))
    }

    /// Adds an error. If the field has an error already, the first one stays.
    pub fn add(&mut self, field: FieldName, error: impl Into<String>) {
        self.0.entry(field).or_insert_with(|| error.into());
    }

    /// Returns the error of the field.
    #[must_use]
    pub fn get(&self, field: FieldName) -> Option<&str> {
        self.0.get(&field).map(String::as_str)
    }

    /// Whether there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns field names and errors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(field, error)| (field.as_str(), error.as_str()))
    }
}
