//! Validated text. What is stored and compared has one spelling, and that spelling is what people see.

/// Implements `Deref`, `Display` and `Serialize` for types that wrap a string.
macro_rules! as_text {
    ($([$($generics:tt)*] $name:ty),*) => {$(
        impl<$($generics)*> std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<$($generics)*> std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<$($generics)*> serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    )*};
}

mod characters;
mod code;
mod domain;
mod email;
mod likeness;

pub use characters::visible;
pub use code::{DigitCode, typed_code};
pub use domain::{Domain, display_domain};
pub use email::{DisplayEmail, Email, display_email};
pub use likeness::name_key;

use characters::{composed, first_hidden};

use crate::{Control, FieldError, FieldSpec, FieldText, Presence};

/// A single line of text: in NFC, trimmed, with `MIN` to `MAX` characters, and without deceptive characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleLine<const MIN: usize, const MAX: usize>(String);

/// Several lines of text: like [`SingleLine`], but with line breaks (as `\n`) and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiLine<const MIN: usize, const MAX: usize>(String);

fn sized(text: &str, min: usize, max: usize) -> Result<(), FieldError> {
    let count = text.chars().count();
    if count == 0 && min > 0 {
        Err(FieldError::Empty)
    } else if count < min {
        Err(FieldError::TooShort(min))
    } else if count > max {
        Err(FieldError::TooLong(max, count))
    } else {
        Ok(())
    }
}

/// Normalizes text and validates it. `breaks` lists the control characters that it may contain.
fn read(text: &str, min: usize, max: usize, breaks: &[char]) -> Result<String, FieldError> {
    let text = composed(text.trim());
    sized(&text, min, max)?;
    let mut from = 0;
    for part in text.split(breaks) {
        let chars: Vec<char> = part.chars().collect();
        if let Some(at) = first_hidden(&chars) {
            let code = u32::from(chars[at]);
            return Err(FieldError::Sentence(format!(
                "Character {} cannot be seen or changes how others are shown (U+{code:04X}). Delete it, or type the text \
                 instead of pasting it.",
                from + at + 1,
            )));
        }
        from += chars.len() + 1;
    }
    Ok(text)
}

impl<const MIN: usize, const MAX: usize> TryFrom<&str> for SingleLine<MIN, MAX> {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        read(text, MIN, MAX, &[]).map(Self)
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<&str> for MultiLine<MIN, MAX> {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        read(&text.replace("\r\n", "\n"), MIN, MAX, &['\n', '\t']).map(Self)
    }
}

impl<const MIN: usize, const MAX: usize> FieldText for SingleLine<MIN, MAX> {
    const SPEC: FieldSpec = FieldSpec { min: MIN, max: MAX, presence: Presence::of(MIN), ..FieldSpec::TEXT };
}

impl<const MIN: usize, const MAX: usize> FieldText for MultiLine<MIN, MAX> {
    const SPEC: FieldSpec =
        FieldSpec { control: Control::TextArea(5), min: MIN, max: MAX, presence: Presence::of(MIN), ..FieldSpec::TEXT };
}

as_text!([const MIN: usize, const MAX: usize] SingleLine<MIN, MAX>, [const MIN: usize, const MAX: usize] MultiLine<MIN, MAX>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_counted_in_characters_and_seen_whole() {
        assert_eq!(&*SingleLine::<1, 5>::try_from("  Zoë  ").unwrap(), "Zoë");
        assert!(SingleLine::<1, 3>::try_from("Zoë").is_ok());
        assert!(SingleLine::<1, 2>::try_from("Zoë").is_err());
        assert!(SingleLine::<1, 9>::try_from(" \t ").is_err());
        assert!(SingleLine::<0, 9>::try_from("").is_ok());
        for hidden in ["a\u{202e}b", "a\nb", "a\0b", "a\u{200b}b", "\u{feff}a"] {
            assert!(SingleLine::<1, 9>::try_from(hidden).is_err(), "{hidden:?}");
        }
        assert_eq!(&*MultiLine::<0, 9>::try_from("a\r\nb").unwrap(), "a\nb");
        assert!(MultiLine::<0, 9>::try_from("a\0b").is_err());
        assert_eq!(&*SingleLine::<1, 4>::try_from("Zoe\u{308}").unwrap(), "Zoë");
        let error = MultiLine::<0, 9>::try_from("ab\nc\u{ad}d").unwrap_err().to_string();
        assert!(error.starts_with("Character 5 ") && error.contains("U+00AD"), "{error}");
    }
}
