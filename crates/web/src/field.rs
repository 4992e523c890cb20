//! What a form says about each of its fields, and what the text of a field is read into.

mod name;

use std::fmt;

pub use name::FieldName;

/// One of what there is to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What is sent.
    pub key: &'static str,
    /// What people read.
    pub label: &'static str,
    /// A sentence below it.
    pub about: &'static str,
}

/// A field of a form. All that is known about it is here: pages, errors and the description of the API are made from it.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Its name in the form, in JSON and in its id on the page.
    pub name: FieldName,
    /// Its label on the page.
    pub label: &'static str,
    /// What errors call it, with its article: "a name".
    pub noun: &'static str,
    /// A sentence below the label.
    pub hint: &'static str,
    /// How a page shows it.
    pub control: Control,
    /// The `autocomplete` attribute.
    pub autocomplete: &'static str,
    /// The fewest characters.
    pub min: usize,
    /// The most characters. 0: the type has another limit.
    pub max: usize,
    /// It is a number, which JSON has as such.
    pub number: bool,
    /// Whether it can be left out.
    pub presence: Presence,
    /// A policy of its own guards it. Pages set it apart, and programs cannot write it.
    pub sensitive: bool,
    /// It is good for one attempt, as a code is. No page shows it again.
    pub single_use: bool,
    /// What it holds until somebody types.
    pub initial: &'static str,
    /// What there is to choose from, where that is the same for everybody. Empty: the page says it.
    pub choices: &'static [Choice],
}

/// Whether a field can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It cannot.
    Required,
    /// It can, and is empty then.
    Optional,
    /// It is there only where the page offered it.
    Conditional,
}

impl Presence {
    /// That of a text with at least so many characters.
    #[must_use]
    pub const fn of(min: usize) -> Self {
        if min > 0 { Self::Required } else { Self::Optional }
    }
}

/// How a page shows a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// An input of this type.
    Input(&'static str),
    /// A short code in figures of one width.
    Code,
    /// Digits that somebody gets from elsewhere and types once.
    Digits,
    /// A secret, which no page shows again.
    Password,
    /// Several lines, of which this many are seen at once.
    TextArea(usize),
    /// One of a few.
    Radios,
    /// One of many.
    Select,
    /// A box to tick, which sends `yes`.
    Checkbox,
    /// Any number of a few: the field is sent once for each.
    Checkboxes,
    /// What the page carries along.
    Hidden,
}

impl FieldSpec {
    /// One line of text, which types of fields begin with.
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

    /// Whether a page shows again what was sent. A secret is typed again, and so is what is good for one attempt.
    #[must_use]
    pub const fn is_shown_again(&self) -> bool {
        !self.single_use && !matches!(self.control, Control::Password)
    }

    /// Whether a form without it is read. A browser sends no field for radio buttons of which none is chosen, so that is an
    /// error for a person to read.
    pub(crate) fn may_be_missing(&self) -> bool {
        self.presence != Presence::Required || self.is_choice()
    }

    pub(crate) fn is_choice(&self) -> bool {
        matches!(self.control, Control::Radios | Control::Select | Control::Checkbox | Control::Checkboxes)
    }
}

/// Why the text of a field is not acceptable. The field says it in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// There is none.
    Empty,
    /// Fewer characters than this.
    TooShort(usize),
    /// More characters than the first number: the second one.
    TooLong(usize, usize),
    /// A sentence that needs no name.
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

/// The error of a text that is no field of a form.
impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of(&FieldSpec { noun: "a text", ..FieldSpec::TEXT }))
    }
}

impl std::error::Error for FieldError {}

impl FieldError {
    /// The error in the words of the field.
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

/// A type that one text is read into.
pub trait FieldText: for<'a> TryFrom<&'a str, Error = FieldError> {
    /// What a field of this type is unless its form says otherwise.
    const SPEC: FieldSpec;
}

/// A type of a field: a [`FieldText`], an `Option` of one that may be empty, an [`Conditional`] one, or one of a few others.
pub trait FieldValue: Sized {
    /// What a field of this type is unless its form says otherwise.
    const SPEC: FieldSpec;

    /// Reads what was sent for the field: nothing, one text, or several.
    ///
    /// # Errors
    /// The reason why it is not acceptable.
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

/// A field that is there only where the page offered it. `None`: it was not sent, which is not the same as empty.
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

/// What is ticked of several boxes, of which at least one has to be.
impl FieldValue for Vec<String> {
    const SPEC: FieldSpec = FieldSpec { control: Control::Checkboxes, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        if sent.is_empty() { Err(FieldError::Empty) } else { Ok(sent.to_vec()) }
    }
}

/// Whether a box is ticked.
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

/// Text that the page carries along, of any kind.
impl FieldValue for String {
    const SPEC: FieldSpec = FieldSpec { control: Control::Hidden, presence: Presence::Optional, ..FieldSpec::TEXT };

    fn read(sent: &[String]) -> Result<Self, FieldError> {
        Ok(first(sent).to_owned())
    }
}
