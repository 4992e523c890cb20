use super::characters::{composed, first_hidden};
use super::domain::{Domain, display_domain, is_shown_as_it_is};
use crate::{Control, FieldError, FieldSpec, FieldText};

/// An email address: a local part of RFC 5321 or RFC 6531 without quotes, and a [`Domain`] in A-labels, at most 254
/// bytes. Only a message that arrives verifies the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

as_text!([] Email);

impl TryFrom<&str> for Email {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        const EXAMPLE: &str = "Enter an address such as name@example.com.";
        let text = text.trim();
        if text.is_empty() {
            return Err(FieldError::Empty);
        }
        if text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:")) {
            return Err("Leave out “mailto:”.".into());
        }
        let (local, domain) = text.rsplit_once('@').ok_or(EXAMPLE)?;
        let local = composed(local);
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return Err("Before the @, a dot must be between two other characters.".into());
        }
        let atoms = !local.is_empty() && local.len() <= 64 && local.split('.').all(is_atom);
        if !atoms {
            return Err(EXAMPLE.into());
        }
        let domain =
            Domain::try_from(domain).map_err(|_| "The part after the @ is not a domain that can receive email.")?;
        let address = format!("{local}@{domain}");
        if address.len() <= 254 { Ok(Self(address)) } else { Err(FieldError::TooLong(254, address.len())) }
    }
}

impl FieldText for Email {
    const SPEC: FieldSpec = FieldSpec {
        label: "Email",
        noun: "an email address",
        control: Control::Input("email"),
        max: 254,
        ..FieldSpec::TEXT
    };
}

/// Whether the text is an atom of RFC 5321, section 4.1.2, with the letters of RFC 6531.
fn is_atom(atom: &str) -> bool {
    let chars: Vec<char> = atom.chars().collect();
    let takes = |c: &char| {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(*c) || !c.is_ascii() && !c.is_whitespace()
    };
    !chars.is_empty() && chars.iter().all(takes) && first_hidden(&chars).is_none()
}

impl Email {
    /// Returns the form in which addresses are compared, as in `identity.users.verified_email`. Only `A` to `Z` become
    /// lowercase. Other letters stay as they are, because some of them have a lowercase form in `a` to `z`.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Returns the part after the `@`, in A-labels.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit('@').next().unwrap_or_default()
    }
}

/// A stored email address for a page, and whether it is verified. It has no `Display`, so a template must show both, as
/// `parts::address` does.
#[derive(Clone, Debug, Default)]
pub struct DisplayEmail {
    /// The address, with its domain in its own letters. Empty if there is none.
    pub text: String,
    /// Whether the address is unverified although it is shown beside a name.
    pub unverified: bool,
}

impl DisplayEmail {
    /// Creates the email address of a person.
    #[must_use]
    pub fn of_person(stored: &str, verified: bool) -> Self {
        Self { text: display_email(stored), unverified: !verified && !stored.is_empty() }
    }

    /// Creates an address that identifies nobody, such as the address of a contact.
    #[must_use]
    pub fn of_nobody(stored: &str) -> Self {
        Self { text: display_email(stored), unverified: false }
    }
}

/// Formats a stored address as people read it. Its domain is in its own letters, unless that deceives.
#[must_use]
pub fn display_email(stored: &str) -> String {
    match stored.rsplit_once('@') {
        Some((local, domain)) if !is_shown_as_it_is(domain) => format!("{local}@{}", display_domain(domain)),
        _ => stored.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_mail() {
        for (text, stored) in [
            ("a@b.example", "a@b.example"),
            (" Name.Last+x@Example.COM ", "Name.Last+x@example.com"),
            ("zoë+x@bücher.example", "zoë+x@xn--bcher-kva.example"),
            ("zoe\u{308}+x@xn--bcher-kva.example", "zoë+x@xn--bcher-kva.example"),
            ("o'brien@b.example", "o'brien@b.example"),
        ] {
            assert_eq!(&*Email::try_from(text).unwrap(), stored);
        }
        assert_eq!(display_email("zoë@xn--bcher-kva.example"), "zoë@bücher.example");
        assert_eq!(Email::try_from("A@B.example").unwrap().folded(), "a@b.example");
    }

    #[test]
    fn what_no_mail_gets_to_is_refused() {
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
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "a@-x.example",
            "a@x-.example",
            "mailto:x@example.org",
            "MAILTO:x@example.org",
            "a@b..example",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "\"a b\"@c.example",
            "a,b@c.example",
            "a;b@c.example",
            "a:b@c.example",
            "a\u{200b}b@c.example",
            "a\u{202e}b@c.example",
            "a\u{3000}b@c.example",
            "a@b.example\r\nBcc: c@d.example",
            "a(b)@c.example",
            "a\\b@c.example",
            "a@b_c.example",
            "a@b.example.",
            &format!("{}@b.example", "a".repeat(65)),
            &format!("a@{}example", "abcdefgh.".repeat(30)),
        ] {
            // A trailing dot means the root of the DNS.
            assert!(Email::try_from(bad).is_err() || bad == "a@b.example.", "{bad}");
        }
    }
}
