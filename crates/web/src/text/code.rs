use std::ops::Deref;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use unicode_normalization::UnicodeNormalization;

use crate::{Control, FieldError, FieldSpec, FieldText};

/// The maximum length of input that is parsed, including separators.
const MAX_LENGTH: usize = 64;

/// Normalizes a typed or pasted code. Wide forms become narrow (NFKC), and digits of every script become `0` to `9`.
/// Spaces, hyphens, dots and invisible characters are removed.
#[must_use]
pub fn typed_code(text: &str) -> String {
    text.chars().take(MAX_LENGTH).nfkc().filter(|c| !separates(*c)).map(|c| digit(c).unwrap_or(c)).collect()
}

/// A code of `N` digits that a person typed. Only input of that form becomes one, so other input does not count as an
/// attempt.
pub struct DigitCode<const N: usize>(String);

impl<const N: usize> Deref for DigitCode<N> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> TryFrom<&str> for DigitCode<N> {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        let code = typed_code(text);
        let digits = code.len() == N && code.bytes().all(|byte| byte.is_ascii_digit());
        if digits { Ok(Self(code)) } else { Err(format!("Enter the {N} digits of the code.").into()) }
    }
}

impl<const N: usize> FieldText for DigitCode<N> {
    const SPEC: FieldSpec =
        FieldSpec { label: "Code", noun: "the code", control: Control::Digits, single_use: true, ..FieldSpec::TEXT };
}

fn general(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn separates(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '.' | '·' | '\u{2212}')
        || matches!(general(c), GeneralCategory::DashPunctuation | GeneralCategory::Format)
}

/// Unicode has decimal digits in runs that begin with a zero. A run has ten characters, or a multiple of ten for several
/// styles (The Unicode Standard, section 4.6).
fn digit(c: char) -> Option<char> {
    let is_digit = |c: &char| general(*c) == GeneralCategory::DecimalNumber;
    if !is_digit(&c) {
        return None;
    }
    let before = (1..).map_while(|back| char::from_u32(u32::from(c).checked_sub(back)?).filter(is_digit)).count();
    char::from_digit(u32::try_from(before).ok()? % 10, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_in_every_script() {
        for text in [
            "123456",
            " 123 456 ",
            "123-456",
            "123\u{2013}456",
            "１２３４５６",
            "١٢٣٤٥٦",
            "۱۲۳۴۵۶",
            "१२३४५६",
            "１２３－４５６",
            "𝟏𝟐𝟑𝟒𝟓𝟔",
            "𝟷𝟸𝟹𝟺𝟻𝟼",
            "\u{200f}123456\u{200e}",
            "123\u{a0}456",
            "123.456",
            "①②③④⑤⑥",
            "１2٣४5𝟞",
        ] {
            assert_eq!(typed_code(text), "123456", "{text}");
        }
        assert_eq!(typed_code("０9٩"), "099");
        assert_eq!(typed_code("ＡＢＣＤ－ｅｆｇｈ"), "ABCDefgh");
        assert_eq!(typed_code("12x"), "12x");
        assert!(typed_code(&"1".repeat(10_000)).len() <= MAX_LENGTH);
        assert_eq!(&*DigitCode::<6>::try_from("１２３-４５６").unwrap(), "123456");
        for text in ["", "12345", "1234567", "12345a", "½23456", "-12345"] {
            assert!(DigitCode::<6>::try_from(text).is_err(), "{text}");
        }
    }
}
