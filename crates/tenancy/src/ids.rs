use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The text is not an id in its canonical spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID in lower case with hyphens")]
pub struct NotCanonical;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type, serde::Deserialize, serde::Serialize)]
        #[sqlx(transparent)]
        #[serde(try_from = "String", into = "Uuid")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. It is a UUIDv7, so ids sort by time and cannot be guessed.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id as a plain UUID.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        /// Accepts only the canonical spelling, so nothing else is ever stored or compared.
        impl FromStr for $name {
            type Err = NotCanonical;

            fn from_str(text: &str) -> Result<Self, NotCanonical> {
                #[expect(clippy::disallowed_methods, reason = "the only place that parses these ids")]
                let id = Uuid::try_parse(text).map_err(|_| NotCanonical)?;
                if id.to_string() == text { Ok(Self(id)) } else { Err(NotCanonical) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotCanonical;

            fn try_from(text: String) -> Result<Self, NotCanonical> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// An organization: the tenant that owns rows.
    TenantId
}
id! {
    /// A person, with any number of organizations.
    UserId
}
id! {
    /// A workspace inside an organization.
    WorkspaceId
}
