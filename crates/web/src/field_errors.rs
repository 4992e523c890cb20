use std::collections::BTreeMap;

/// The errors of a form, by field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(BTreeMap<&'static str, String>);

impl FieldErrors {
    /// Adds an error. The first error of a field is kept.
    pub fn add(&mut self, field: &'static str, error: impl Into<String>) {
        self.0.entry(field).or_insert_with(|| error.into());
    }

    /// Parses one field into its type, or adds an error.
    pub fn parse<'a, T: TryFrom<&'a str, Error = String>>(&mut self, field: &'static str, text: &'a str) -> Option<T> {
        T::try_from(text).map_err(|error| self.add(field, error)).ok()
    }

    /// The field with its input and its error, to show the form again.
    #[must_use]
    pub fn field(&self, name: &'static str, value: impl Into<String>) -> Field {
        Field { name, value: value.into(), error: self.0.get(name).cloned() }
    }

    /// Whether there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Field names and errors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(field, error)| (*field, error.as_str()))
    }
}

/// A form input, as templates show it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name, and part of the id.
    pub name: &'static str,
    /// The input.
    pub value: String,
    /// The error.
    pub error: Option<String>,
}
