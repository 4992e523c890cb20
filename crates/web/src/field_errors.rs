use std::collections::BTreeMap;

/// What is wrong with which field.
#[derive(Clone, Debug, Default)]
pub struct FieldErrors(BTreeMap<&'static str, String>);

impl FieldErrors {
    /// Notes an error. The first one of a field stands.
    pub fn add(&mut self, field: &'static str, error: impl Into<String>) {
        self.0.entry(field).or_insert_with(|| error.into());
    }

    /// Parses one field into its type, or notes why not.
    pub fn parse<'a, T: TryFrom<&'a str, Error = String>>(&mut self, field: &'static str, text: &'a str) -> Option<T> {
        T::try_from(text).map_err(|error| self.add(field, error)).ok()
    }

    /// The field with its text and its error, for a form that is shown again.
    #[must_use]
    pub fn field(&self, name: &'static str, value: impl Into<String>) -> Field {
        Field { name, value: value.into(), error: self.0.get(name).cloned() }
    }

    /// Nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Field and error, by name of the field.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(field, error)| (*field, error.as_str()))
    }
}

/// An input of a form, as templates show it.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name and id of the input.
    pub name: &'static str,
    /// What it holds.
    pub value: String,
    /// What is wrong with it.
    pub error: Option<String>,
}
