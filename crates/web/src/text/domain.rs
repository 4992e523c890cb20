use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_security::{RestrictionLevel, RestrictionLevelDetection as _, skeleton};

use crate::{FieldError, FieldSpec, FieldText};

/// A domain name as in the DNS: in A-labels (RFC 5890, UTS #46), lowercase, with a dot, and not a number. All spellings
/// of a domain become the same text, such as `bücher.example`, `BÜCHER．example` and `xn--bcher-kva.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(String);

as_text!([] Domain);

impl TryFrom<&str> for Domain {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        let refused = || FieldError::from("Enter a domain such as example.com.");
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .map_err(|_| refused())?;
        let (_, top) = ascii.rsplit_once('.').ok_or_else(refused)?;
        let named = top.len() > 1 && top.starts_with(|first: char| first.is_ascii_alphabetic());
        if named { Ok(Self(ascii.into_owned())) } else { Err(refused()) }
    }
}

impl FieldText for Domain {
    const SPEC: FieldSpec = FieldSpec { label: "Domain", noun: "a domain", max: 253, ..FieldSpec::TEXT };
}

impl Domain {
    /// Returns the domain as people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        display_domain(&self.0)
    }
}

/// Converts a domain in A-labels to what people read. It keeps its own letters, unless a label mixes scripts or looks
/// like another label in plain letters (UTS #39).
#[must_use]
pub fn display_domain(domain: &str) -> String {
    if is_shown_as_it_is(domain) {
        return domain.to_owned();
    }
    let honest = |label: &[char], _: &[char], _: bool| {
        let label: String = label.iter().collect();
        label.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive)
            && !skeleton(&label).all(|c| c.is_ascii())
    };
    Uts46::new().to_user_interface(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Allow, honest).0.into_owned()
}

/// Whether the domain can be shown without conversion. That is true of most domains, and a page shows many. UTS #46
/// would take 20 times as long to find out.
pub(super) fn is_shown_as_it_is(domain: &str) -> bool {
    domain.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')) && !domain.contains("xn--")
}

#[cfg(test)]
mod tests {
    use super::*;

    // control: IDN-15
    #[test]
    fn a_domain_has_one_spelling() {
        let one = "xn--bcher-kva.example";
        for text in [
            one,
            "bücher.example",
            "BU\u{308}CHER.Example",
            " bücher．example. ",
            "XN--BCHER-KVA.EXAMPLE",
            "bücher。example",
        ] {
            assert_eq!(&*Domain::try_from(text).unwrap(), one, "{text}");
        }
        assert_eq!(Domain::try_from(one).unwrap().shown(), "bücher.example");
        assert_eq!(&*Domain::try_from(" a-b.C1.example. ").unwrap(), "a-b.c1.example");
        for text in [
            "",
            "a",
            ".",
            "https://a.example",
            "localhost",
            "example",
            "-x.example",
            "x-.example",
            "a..b",
            ".example.com",
            "a.b",
            "a.1",
            "1.2.3.4",
            "a b.example",
            "a_b.example",
            "a/b.example",
            "user@b.example",
            "[127.0.0.1]",
            "xn--a.example",
            "xn--abc-.example",
            "a\u{202e}b.example",
            "\u{200d}a.example",
            "example.com:80",
            &format!("{}.example", "a".repeat(64)),
            &"a.".repeat(200),
            "example.com..",
        ] {
            assert!(Domain::try_from(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_domain_that_looks_like_another_is_shown_as_the_dns_has_it() {
        for (text, seen) in [
            ("аррӏе.example", "xn--80ak6aa92e.example"),
            ("pаypal.example", "xn--pypal-4ve.example"),
            ("münchen.example", "münchen.example"),
            ("例え.example", "例え.example"),
            ("пример.example", "пример.example"),
        ] {
            assert_eq!(Domain::try_from(text).unwrap().shown(), seen);
        }
    }
}
