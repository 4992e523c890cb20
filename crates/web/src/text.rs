use std::fmt;
use std::ops::Deref;

use chrono::{DateTime, Utc};

/// One line of text: trimmed, `MIN` to `MAX` characters, no control or invisible direction characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<const MIN: usize, const MAX: usize>(String);

/// Text of several lines: like [`Line`], with line breaks (as `\n`) and tabs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paragraph<const MIN: usize, const MAX: usize>(String);

/// An e-mail address as people write it: something, one `@`, a dotted domain, at most 254 characters, no spaces. Only
/// a message that arrives proves one, so nothing finer is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// Characters that make text look like other text: controls, and marks that turn or hide what follows.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Text from elsewhere as it may be shown: without characters that deceive, at most `most` characters.
#[must_use]
pub fn visible(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(|c| !deceives(*c)).take(most).collect();
    kept.trim().to_owned()
}

/// A day as people read it.
#[must_use]
pub fn day(time: DateTime<Utc>) -> String {
    time.format("%-d %b %Y").to_string()
}

/// A moment as people read it.
#[must_use]
pub fn moment(time: DateTime<Utc>) -> String {
    time.format("%-d %b %Y, %H:%M UTC").to_string()
}

/// A wait as people read it, never shorter than it is.
pub(crate) fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..=5400 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn sized(text: &str, min: usize, max: usize) -> Result<(), String> {
    let count = text.chars().count();
    if count == 0 && min > 0 {
        Err("Fill in this field.".to_owned())
    } else if count < min {
        Err(format!("Use at least {min} characters."))
    } else if count > max {
        Err(format!("Use at most {max} characters; this has {count}."))
    } else {
        Ok(())
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<&str> for Line<MIN, MAX> {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let text = text.trim();
        sized(text, MIN, MAX)?;
        if text.chars().any(deceives) {
            return Err("This has characters that cannot be seen. Type it instead of pasting it.".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl<const MIN: usize, const MAX: usize> TryFrom<&str> for Paragraph<MIN, MAX> {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let text = text.replace("\r\n", "\n");
        let text = text.trim();
        sized(text, MIN, MAX)?;
        if text.chars().any(|c| deceives(c) && !matches!(c, '\n' | '\t')) {
            return Err("This has characters that cannot be seen. Type it instead of pasting it.".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<&str> for Email {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        let text = text.trim();
        sized(text, 1, 254)?;
        let plausible = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && !domain.contains('@')
                && domain.contains('.')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && !text.chars().any(|c| c.is_whitespace() || deceives(c) || matches!(c, '<' | '>' | ',' | ';' | '"'))
        });
        if plausible { Ok(Self(text.to_owned())) } else { Err("Write an address such as name@example.com.".to_owned()) }
    }
}

macro_rules! as_text {
    ($([$($generics:tt)*] $name:ty),*) => {$(
        impl<$($generics)*> Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl<$($generics)*> fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
as_text!([const MIN: usize, const MAX: usize] Line<MIN, MAX>, [const MIN: usize, const MAX: usize] Paragraph<MIN, MAX>, [] Email);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_counted_in_characters_and_seen_whole() {
        assert_eq!(&*Line::<1, 5>::try_from("  Zoë  ").unwrap(), "Zoë");
        assert!(Line::<1, 3>::try_from("Zoë").is_ok());
        assert!(Line::<1, 2>::try_from("Zoë").is_err());
        assert!(Line::<1, 9>::try_from(" \t ").is_err());
        assert!(Line::<0, 9>::try_from("").is_ok());
        for hidden in ["a\u{202e}b", "a\nb", "a\0b", "a\u{200b}b", "\u{feff}a"] {
            assert!(Line::<1, 9>::try_from(hidden).is_err(), "{hidden:?}");
        }
        assert_eq!(&*Paragraph::<0, 9>::try_from("a\r\nb").unwrap(), "a\nb");
        assert!(Paragraph::<0, 9>::try_from("a\0b").is_err());
    }

    #[test]
    fn addresses_are_plausible() {
        for good in ["a@b.example", "zoë+x@bücher.example"] {
            assert!(Email::try_from(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b.example",
            "a@b",
            "a@@b.example",
            "a b@c.example",
            "a@.example",
            "<a@b.example>",
            "a@b.example,",
        ] {
            assert!(Email::try_from(bad).is_err(), "{bad}");
        }
    }
}
