use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

use crate::{Control, FieldError, FieldSpec, FieldText};

/// An id in a request: a UUID in its canonical spelling, with 36 lowercase characters. Other spellings (capitals, braces,
/// `urn:uuid:`, missing hyphens) are refused, so an id is stored and compared as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(Uuid);

impl Id {
    /// Returns the id as a UUID.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Id> for Uuid {
    fn from(id: Id) -> Self {
        id.0
    }
}

/// The text is not an id in its canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoId;

impl fmt::Display for NoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is a UUID in lower case with hyphens")
    }
}

impl std::error::Error for NoId {}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        #[expect(clippy::disallowed_methods, reason = "the one door")]
        let id = Uuid::try_parse(text).map_err(|_| NoId)?;
        let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
        if *id.hyphenated().encode_lower(&mut canonical) == *text { Ok(Self(id)) } else { Err(NoId) }
    }
}

impl TryFrom<&str> for Id {
    type Error = FieldError;

    fn try_from(text: &str) -> Result<Self, FieldError> {
        text.parse().map_err(|NoId| "This is not an id.".into())
    }
}

/// A hidden field.
impl FieldText for Id {
    const SPEC: FieldSpec = FieldSpec { control: Control::Hidden, ..FieldSpec::TEXT };
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Deserializes an optional id. The field may be missing, or empty as browsers send it. For `#[serde(default,
/// deserialize_with)]`.
///
/// # Errors
///
/// The text is neither empty nor an id.
pub fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    match &*String::deserialize(deserializer)? {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = "018f0000-0000-7000-8000-00000000abcd";
        assert_eq!(id.parse::<Id>().unwrap().uuid().to_string(), id);
        for other in [
            &id.to_uppercase(),
            &id.replace('-', ""),
            &format!("{{{id}}}"),
            &format!("urn:uuid:{id}"),
            &format!(" {id}"),
            &format!("{id}\0"),
            "",
            "1",
        ] {
            assert_eq!(other.parse::<Id>(), Err(NoId), "{other}");
        }
    }
}
