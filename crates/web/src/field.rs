//! The description of a form's fields, and the types that their text is parsed into.

mod name;

use std::fmt;

pub use name::FieldName;

/// An option that a person can choose.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The value that is sent.
    pub key: &'static str,
    /// The label that people see.
    pub label: &'static str,
    /// A sentence below the label.
    pub about: &'static str,
}

/// The description of a form field. Pages, error messages and the API schema are all generated from it.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The name in the form and in JSON. The id on the page contains it, too.
    pub name: FieldName,
    /// The label on the page.
    pub label: &'static str,
    /// What error messages call it, with its article: "a name".
    pub noun: &'static str,
    /// A sentence below the label.
    pub hint: &'static str,
    /// How a page shows the field.
    pub control: Control,
    /// The `autocomplete` attribute.
    pub autocomplete: &'static str,
    /// The minimum number of characters.
    pub min: usize,
    /// The maximum number of characters. 0 means that the type has its own limit.
    pub max: usize,
    /// Whether the value is a number, in JSON too.
    pub number: bool,
    /// Whether the field can be left out.
    pub presence: Presence,
    /// Whether the field has its own policy. Pages show it in a separate section, and programs cannot write it.
    pub sensitive: bool,
    /// Whether the value is valid for one attempt only, such as a code. No page shows it again.
    pub single_use: bool,
    /// The initial value.
    pub initial: &'static str,
    /// The options, if they are the same for everybody. If empty, the page supplies them.
    pub choices: &'static [Choice],
}

/// Whether a field can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The field must be filled in.
    Required,
    /// The field can be left out, and is then empty.
    Optional,
    /// The field exists only if the page offered it.
    Conditional,
}

impl Presence {
    /// The presence of a text with this minimum length.
    #[must_use]
    pub const fn of(min: usize) -> Self {
        if min > 0 { Self::Required } else { Self::Optional }
    }
}

/// How a page shows a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// An input of this HTML type.
    Input(&'static str),
    /// A short code in monospaced characters.
    Code,
    /// Digits that a person gets elsewhere and types once.
    Digits,
    /// A secret. No page shows it again.
    Password,
    /// Several lines. The number is how many are visible at once.
    TextArea(usize),
    /// One of a few options.
    Radios,
    /// One of many options.
    Select,
    /// A single checkbox that sends `yes`.
    Checkbox,
    /// Any number of a few options. The field is sent once for each.
    Checkboxes,
    /// A value that the page carries without showing it.
    Hidden,
}

impl FieldSpec {
    /// A single line of text. Field types start from this specification.
    pub const TEXT: Self = Self {
        name: FieldName::NONE,
        label: "",
        noun: "this field",
        hint: "",
        control: Control::Input("text"),
        autocomplete: "off",
        min: 0,
        max: 0,
        number: false,
        presence: Presence::Required,
        sensitive: false,
        single_use: false,
        initial: "",
        choices: &[],
    };

    /// Whether a page shows the submitted value again. Secrets and single-use values must be typed again.
    #[must_use]
    pub const fn is_shown_again(&self) -> bool {
        !self.single_use && !matches!(self.control, Control::Password)
    }

    /// Whether a form without this field can be parsed. A browser sends nothing for radio buttons if none is chosen. A
    /// person must then see an error at the field.
    pub(crate) fn may_be_missing(&self) -> bool {
        self.presence != Presence::Required || self.is_choice()
    }

    pub(crate) fn is_choice(&self) -> bool {
        matches!(self.control, Control::Radios | Control::Select | Control::Checkbox | Control::Checkboxes)
    }
}

/// Why the text of a field is not valid. The field puts the error into its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The field is empty.
    Empty,
    /// The text is shorter than this many characters.
    TooShort(usize),
    /// The text is longer than the first number. The second number is its length.
    TooLong(usize, usize),
    /// A complete sentence that does not name the field.
    Sentence(String),
}

impl From<String> for FieldError {
    fn from(sentence: String) -> Self {
        Self::Sentence(sentence)
    }
}

impl From<&str> for FieldError {
    fn from(sentence: &str) -> Self {
        Self::Sentence(sentence.to_owned())
    }
}

/// Formats the error of a text that does not belong to a form field.
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of(&FieldSpec { noun: "a text", ..FieldSpec::TEXT }))
    }
}

impl std::error::Error for FieldError {}

impl FieldError {
    /// Formats the error in the words of the field.
    #[must_use]
    pub fn of(&self, field: &FieldSpec) -> String {
        let noun = field.noun;
        let verb = if field.is_choice() { "Choose" } else { "Enter" };
        match self {
            Self::Empty => format!("{verb} {noun}."),
            Self::TooShort(min) => format!("{} has at least {min} characters.", capitalized(noun)),
            Self::TooLong(max, count) => {
                format!("{} has at most {max} characters. This one has {count}.", capitalized(noun))
            }
            Self::Sentence(text) => text.clone(),
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A type that is parsed from one text.
pub trait FieldText: for<'a> TryFrom<&'a str, Error = FieldError> {
    /// The default specification of a field of this type. A form can override it.
    const SPEC: FieldSpec;
}

/// The type of a form field: a [`FieldText`], an `Option` of one, a [`Conditional`] one, or one of a few other types.
pub trait FieldValue: Sized {
    /// The default specification of a field of this type. A form can override it.
    const SPEC: FieldSpec;

    /// Parses what was sent for the field: nothing, one text, or several.
    ///
    /// # Errors
    /// The reason why the value is not valid.
    fn read(sent: &[String]) -> Result<Self, FieldError>;
}

fn first(sent: &[String]) -> &str {
    sent.first().map_or("", String::as_str)
}

impl<T: FieldText> FieldValue for T {
    const SPEC: FieldSpec = T::SPEC;

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        T::try_from(first(sent))
    }
}

impl<T: FieldText> FieldValue for Option<T> {
    const SPEC: FieldSpec = FieldSpec { presence: Presence::Optional, ..T::SPEC };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        let text = first(sent);
        if text.trim().is_empty() { Ok(None) } else { T::try_from(text).map(Some) }
    }
}

/// A field that exists only if the page offered it. `None` means that it was not sent, which is different from empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditional<T>(pub Option<T>);

impl<T: FieldValue> FieldValue for Conditional<T> {
    const SPEC: FieldSpec = FieldSpec { presence: Presence::Conditional, ..T::SPEC };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        if sent.is_empty() { Ok(Self(None)) } else { T::read(sent).map(|value| Self(Some(value))) }
    }
}

impl<T: serde::Serialize> serde::Serialize for Conditional<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The selected checkboxes of a group. At least one must be selected.
impl FieldValue for Vec<String> {
    const SPEC: FieldSpec = FieldSpec { control: Control::Checkboxes, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        if sent.is_empty() { Err(FieldError::Empty) } else { Ok(sent.to_vec()) }
    }
}

/// Whether a checkbox is selected.
impl FieldValue for bool {
    const SPEC: FieldSpec = FieldSpec { control: Control::Checkbox, presence: Presence::Optional, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        match first(sent) {
            "" => Ok(false),
            "yes" => Ok(true),
            _ => Err(FieldError::Sentence("This is neither ticked nor not.".to_owned())),
        }
    }
}

impl FieldValue for i64 {
    const SPEC: FieldSpec = FieldSpec { control: Control::Hidden, number: true, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        first(sent).parse().map_err(|_| FieldError::Sentence("This is not a number.".to_owned()))
    }
}

/// Any text that the page carries without showing it.
impl FieldValue for String {
    const SPEC: FieldSpec = FieldSpec { control: Control::Hidden, presence: Presence::Optional, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        Ok(first(sent).to_owned())
    }
}
