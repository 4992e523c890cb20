//! Who did something, as pages show it.

use web::DisplayEmail;

/// Who did something, or is about to. Pages show it with `parts::who`: what kind of actor it is, an element of the page says,
/// which nobody can type as a name; and beside the name of a person, which others may share, is the address that
/// tells them apart.
#[derive(Clone, Debug)]
pub(crate) enum DisplayActor {
    Person {
        name: String,
        email: DisplayEmail,
    },
    /// A client of the API that acts as a person.
    Client {
        name: String,
        person: String,
        email: DisplayEmail,
    },
    /// A client of the API with a role of its own.
    Service {
        name: String,
    },
    /// Somebody who has left. The name is empty if nothing kept it.
    FormerMember {
        name: String,
    },
    /// The application itself.
    System,
}

impl DisplayActor {
    /// A person as a query found them: name, stored address, and whether it is verified. Without a name they have left.
    pub(crate) fn person(name: Option<String>, email: Option<&str>, verified: Option<bool>) -> Self {
        match name {
            Some(name) => Self::Person {
                name,
                email: DisplayEmail::of_person(email.unwrap_or_default(), verified.unwrap_or_default()),
            },
            None => Self::FormerMember { name: String::new() },
        }
    }

    /// The same through a client of the API, if there was one.
    pub(crate) fn through(self, client: Option<String>) -> Self {
        match (self, client) {
            (Self::Person { name: person, email }, Some(name)) => Self::Client { name, person, email },
            (Self::FormerMember { name: person }, Some(name)) if !person.is_empty() => {
                Self::Client { name, person, email: DisplayEmail::of_person("", false) }
            }
            (_, Some(name)) => Self::Service { name },
            (actor, None) => actor,
        }
    }

    /// What a template reads: the kind, which is no text of theirs, and the name.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Person { .. } => "Person",
            Self::Client { .. } => "API client",
            Self::Service { .. } => "Service account",
            Self::FormerMember { .. } => "Former member",
            Self::System => "System",
        }
    }

    pub(crate) fn is_person(&self) -> bool {
        matches!(self, Self::Person { .. })
    }

    /// The name of the client or service, or else of the person.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Person { name, .. }
            | Self::Client { name, .. }
            | Self::Service { name }
            | Self::FormerMember { name } => name,
            Self::System => "",
        }
    }

    /// The person a client acts as.
    pub(crate) fn behind(&self) -> Option<&str> {
        match self {
            Self::Client { person, .. } => Some(person),
            _ => None,
        }
    }

    pub(crate) fn email(&self) -> Option<&DisplayEmail> {
        match self {
            Self::Person { email, .. } | Self::Client { email, .. } if !email.text.is_empty() => Some(email),
            _ => None,
        }
    }
}
