use std::fmt;

/// The name of a field of a declared form, such as `ContactForm::FIELD.email`. Only [`form!`](crate::form!) creates
/// these names, so a misspelled field does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldName(&'static str);

impl FieldName {
    /// The name for errors of the form as a whole.
    pub(crate) const FORM: Self = Self("form");

    /// The name of a field that no form has declared yet.
    pub(super) const NONE: Self = Self("");

    /// For [`form!`](crate::form!).
    #[doc(hidden)]
    #[must_use]
    pub const fn declared(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as it is in the form and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
